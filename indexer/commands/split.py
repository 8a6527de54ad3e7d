"""`visavis split`: a group, or the faces of a person, are several people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.desk import Desk, lay_out
from indexer.commands.options import ANY_PATH, album_option, count, json_option, print_json, print_table, say
from indexer.commands.sheets import cut_tiles

if TYPE_CHECKING:
    import numpy as np

    from indexer.face_names import Someone

_EXAMPLES, _ON_SHEET = 3, 60  # faces of a part that are named, and drawn, at the most


@click.command()
@click.argument("who", metavar="PERSON_OR_GROUP")
@click.option("--parts", type=click.IntRange(2), default=2, show_default=True, help="How many people there are.")
@click.option("--sheet", type=ANY_PATH, metavar="FILE.jpg", help="Write a contact sheet of each part, all in one file.")
@click.option("--accept", is_flag=True, help="Carry the proposal out.")
@click.option("--faces", "by_hand", multiple=True, metavar="FACE,...", help="Part these faces from the rest, at once.")
@click.option("--to", "name", metavar="NAME", help="Of a person: who the smaller part is. [default: nobody yet]")
@click.option("--new", is_flag=True, help="NAME is a person who is not in the album yet.")
@album_option
@json_option
def split(
    who: str,
    parts: int,
    sheet: Path | None,
    accept: bool,
    by_hand: tuple[str, ...],
    name: str | None,
    new: bool,
    album: Path,
    as_json: bool,
) -> None:
    """Part a group, or the faces of a person, into the people that they are.

    Shows which faces would go together, and keeps to what was said of pairs; --accept does it. With
    --faces your word holds: what stands against it, that faces are the same, is taken back. The parts
    of a group become groups, and no clustering joins them again. Of a person the largest part keeps
    the name; the others go --to somebody, or are nobody until they are named.

    \b
    Examples:
      visavis split 7 --sheet parts.jpg
      visavis split 7 --accept
      visavis split "Ann Lee" --faces party.jpg#2,beach.jpg#1 --to "Eva Lee"
    """
    from indexer.album import open_album
    from indexer.locks import changing_groups

    how = _How(name, new)
    if name is not None and not (accept or by_hand):
        raise click.UsageError("--to says who a part is once it is parted: add --accept or --faces")
    if by_hand and (accept or parts != 2):
        raise click.UsageError("--faces parts these faces from the rest: leave out --accept and --parts")
    changes = accept or bool(by_hand)
    with changing_groups(open_album(album)) if changes else nullcontext():
        desk = lay_out(album)
        whole = desk.someone(who)
        divided = _by_hand(desk, whole, by_hand) if by_hand else _propose(desk, whole, parts)
        if sheet is not None:
            _draw(desk, whole, divided, sheet)
        if changes:
            _carry_out(desk, whole, divided, how)
    if as_json:
        print_json(line | {"part": n} for n, rows in enumerate(divided, 1) for line in desk.lines(rows))
    elif not changes:
        _print_parts(desk, divided)
    if not changes:
        say(f"`visavis split {_quoted(who)} --accept` parts them; --sheet FILE.jpg shows them first.")


@dataclass(frozen=True)
class _How:
    """Who the smaller part of a person is: None for nobody yet."""

    name: str | None
    new: bool


def _by_hand(desk: Desk, whole: Someone, faces: Sequence[str]) -> list[np.ndarray]:
    """Part the faces that a user typed from the rest: the rest is the first part."""
    import numpy as np

    typed = [face for text in faces for face in re.split(r"(?<=\d),", text)]  # a path may hold a comma
    chosen = desk.names.rows(typed)
    for row in chosen.tolist():
        if row not in whole.rows:
            raise click.ClickException(f"{desk.names.short(row)} is not in {whole.title}: name faces that are")
    rest = np.setdiff1d(whole.rows, chosen)
    if not len(rest):
        raise click.ClickException(f"these are all faces of {whole.title}: name those that are somebody else")
    return [rest, chosen]


def _propose(desk: Desk, whole: Someone, parts: int) -> list[np.ndarray]:
    import numpy as np

    from indexer.grouping.division import divide
    from indexer.grouping.face_constraints import photo_pairs

    archive, size = desk.archive, len(whole.rows)
    if size < parts:
        raise click.ClickException(f"{whole.title} has {count(size, 'face')}: too few for {parts} parts")
    heads, unit = np.unique(archive.heads[whole.rows], return_inverse=True)
    if len(heads) < parts:
        raise click.ClickException(
            f"by what was said to be the same person, {whole.title} is {count(len(heads), 'person', 'people')}, not "
            f"{parts}: --faces parts faces from the rest all the same, and takes back that they are the same"
        )
    place = dict(zip(archive.heads[whole.rows].tolist(), range(size), strict=True))
    different = [tuple(archive.people.heads.get(face, face) for face in pair) for pair in archive.people.different]
    said = [(place[a], place[b]) for a, b in different if a in place and b in place]
    photos = photo_pairs(archive.photo_numbers[whole.rows], np.arange(size), np.zeros(size, np.int64))
    apart = np.concatenate([np.array(said, np.int64).reshape(-1, 2), photos])
    labels = divide(archive.embeddings[whole.rows], unit.astype(np.int64), apart, parts)
    return [whole.rows[labels == part] for part in range(parts)]


def _carry_out(desk: Desk, whole: Someone, divided: list[np.ndarray], how: _How) -> None:
    from indexer.grouping.regrouping import part_group
    from indexer.people.orders import TAKING_BACK

    if whole.person is not None:
        _take_from_person(desk, whole.person, divided, how)
        return
    if how.name is not None:
        raise click.UsageError("--to is for a person's faces: a part of a group gets its name with `visavis name`")
    with desk.people() as store:
        action = store.split([desk.refs(rows) for rows in divided], of=whole.title)
    if action is None:
        raise click.ClickException(f"{whole.title} was parted so already: `visavis cluster` groups it anew")
    numbers = part_group(desk.archive, divided, action.action_id)
    names = ", ".join(
        f"group {number} ({count(len(rows), 'face')})" if number else f"{desk.names.short(int(rows[0]))} alone"
        for number, rows in zip(numbers, divided, strict=True)
    )
    say(f"{whole.title.capitalize()} is parted: {names}. `visavis undo` takes it back.")
    if taken_back := desk.names.explain(action.text).partition(TAKING_BACK)[2]:
        say(f"Taken back: {taken_back}.")


def _take_from_person(desk: Desk, person: int, divided: list[np.ndarray], how: _How) -> None:
    """Take all but the first part from a person, as one action."""
    import numpy as np

    from indexer.face_names import find_person

    if how.name is not None and len(divided) > 2:
        raise click.UsageError("--to says who one part is, and here are several: leave out --to, or --parts")
    rows = np.concatenate(divided[1:])
    refs, to = desk.refs(rows), None
    if how.name is not None and not how.new:
        to = find_person(desk.archive.people, how.name, "; --new makes a new person")
    with desk.people() as store:
        if how.name is None:
            action = store.reject(refs, person, loosen=True)
        elif to is None:
            action = store.move_to_new(refs, how.name, loosen=True)
        else:
            action = store.move(refs, to, loosen=True)
    if action is not None and how.name is not None:
        desk.warn_of_photos(rows, to)
    desk.report(action, divided[1], as_json=False)


def _draw(desk: Desk, whole: Someone, divided: list[np.ndarray], target: Path) -> None:
    from indexer.sheet import contact_sheet, encode_jpeg, stack_sheets

    sheets = []
    for number, rows in enumerate(divided, 1):
        faces = (
            (Path(desk.archive.paths[r]), desk.archive.box(r), desk.names.short(r)) for r in rows[:_ON_SHEET].tolist()
        )
        title = f"{whole.title}, part {number}: {count(len(rows), 'face')}"
        sheets.append(contact_sheet(title, cut_tiles(faces)))
    target.write_bytes(encode_jpeg(stack_sheets(sheets)))


def _print_parts(desk: Desk, divided: list[np.ndarray]) -> None:
    """Print the parts, and how alike faces of one are, and of two."""
    import numpy as np

    means = [np.asarray(desk.archive.embeddings[rows]).mean(0) for rows in divided]
    within = [
        (len(r) ** 2 * m @ m - len(r)) / max(len(r) ** 2 - len(r), 1) for r, m in zip(divided, means, strict=True)
    ]
    lines: list[tuple[str, ...]] = [
        (
            str(n),
            f"{len(rows):,}",
            f"{alike:.2f}" if len(rows) > 1 else "-",
            ", ".join(map(desk.names.short, rows[:_EXAMPLES].tolist())),
        )
        for n, (rows, alike) in enumerate(zip(divided, within, strict=True), 1)
    ]
    print_table(("PART", "FACES ", "ALIKE ", "SUCH AS"), lines)
    between = [a @ b for n, a in enumerate(means) for b in means[:n]]
    say(f"Faces of two parts are alike to {max(between):.2f} on average.")


def _quoted(who: str) -> str:
    return f'"{who}"' if " " in who else who
