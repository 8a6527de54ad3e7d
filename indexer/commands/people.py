"""`visavis people` and `visavis show`: who is in the album."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.options import ANY_PATH, album_option, count, json_option, print_json, print_table, say
from indexer.commands.sheets import draw_sheet

if TYPE_CHECKING:
    import numpy as np

    from indexer.archive import Archive


@click.command()
@album_option
@click.option("--faces", "each_face", is_flag=True, help="One line for each face instead of each person.")
@click.option(
    "--sort",
    "by",
    type=click.Choice(["size", "review"]),
    default="size",
    show_default=True,
    help="Order of the groups: the largest first, or as `visavis review` asks for names: large and sure ones first.",
)
@json_option
def people(album: Path, each_face: bool, by: str, as_json: bool) -> None:
    """List the people of the album and the groups that nobody has named yet, largest first.

    \b
    Examples:
      visavis people
      visavis people --sort review
      visavis people --faces --json > faces.jsonl
    """
    from indexer.album import open_album
    from indexer.answers import album_groups, shown_rows
    from indexer.archive import read_archive

    archive = read_archive(open_album(album))
    groups = album_groups(archive)
    if each_face:
        _print_faces(archive, groups, shown_rows(archive), as_json)
    else:
        _print_people(archive, groups, _as_asked(archive, groups) if by == "review" else {}, as_json=as_json)


@click.command()
@click.argument("who", metavar="PERSON_OR_GROUP")
@album_option
@click.option("--sheet", type=ANY_PATH, metavar="FILE.jpg", help="Write a contact sheet of the faces.")
@click.option("--most", type=click.IntRange(1), default=120, show_default=True, help="Faces on the sheet, at the most.")
@json_option
def show(who: str, album: Path, sheet: Path | None, most: int, as_json: bool) -> None:
    """List the faces of a person or group, each by its photo and its place from the left: party.jpg#2.

    \b
    Examples:
      visavis show "Ann Lee"
      visavis show 3 --sheet group3.jpg
    """
    import numpy as np

    from indexer.album import open_album
    from indexer.answers import album_groups, shown_rows
    from indexer.archive import read_archive
    from indexer.face_names import FaceNames, find_someone

    archive = read_archive(open_album(album))
    groups = album_groups(archive)
    whole = find_someone(archive, groups, who)
    rows = shown_rows(archive)
    rows = rows[np.isin(rows, whole.rows)]
    _print_faces(archive, groups, rows, as_json)
    if sheet is not None:
        names = FaceNames(archive)
        faces = ((Path(archive.paths[row]), archive.box(row), names.short(row)) for row in rows[:most].tolist())
        say(f"{count(draw_sheet(whole.title, faces, sheet), 'face')} on {sheet}.")


def _as_asked(archive: Archive, groups: np.ndarray) -> dict[int, float]:
    """Rate groups as a review does that asks who they are: group → faces settled."""
    import numpy as np

    from indexer.grouping.groups import FILE_NAME, read_groups
    from indexer.review.questions import settled_by_name

    stored = read_groups(archive.album.index / FILE_NAME)
    chance = stored.column(stored.chance, archive.faces.face_ids, 0)
    there = groups > 0
    numbers, place, faces = np.unique(groups[there], return_inverse=True, return_counts=True)
    sure = np.where(chance[there] > 0, chance[there], 1.0)  # alone for the clustering: joined by a human
    settled = settled_by_name(faces, np.bincount(place, sure, minlength=len(numbers)) / faces)
    return dict(zip(numbers.tolist(), settled.tolist(), strict=True))


def _print_people(archive: Archive, groups: np.ndarray, rating: dict[int, float], *, as_json: bool) -> None:
    """Print people and groups, the largest first; groups by their rating where they have one."""
    of_people = count_by_number(archive.persons + 1, archive.photo_numbers)
    of_groups = count_by_number(groups, archive.photo_numbers)
    lines: list[tuple[str | None, int | None, int, int]] = []
    lines += [(name, None, *of_people.get(person + 1, (0, 0))) for person, name in archive.people.persons.items()]
    lines += [(None, group, faces, photos) for group, (faces, photos) in of_groups.items()]
    lines.sort(key=lambda line: (line[0] is None, -rating.get(line[1] or 0, 0), -line[2], str(line[0])))
    if as_json:
        print_json({"person": p, "group": g, "faces": f, "photos": n} for p, g, f, n in lines)
        return
    rows_text: list[tuple[str, ...]] = [(name or f"group {group}", str(f), str(n)) for name, group, f, n in lines]
    if rows_text:
        print_table(("WHO", "FACES ", "PHOTOS "), rows_text)
    alone = int(((groups == 0) & (archive.persons < 0) & ~archive.ignored).sum())
    say(f"{count(alone, 'face')} without name or group." + (" `visavis cluster` groups them." if not lines else ""))


def count_by_number(numbers: np.ndarray, photo_numbers: np.ndarray) -> dict[int, tuple[int, int]]:
    """Count the faces of each number above 0, and the photos that they stand in: number → (faces, photos)."""
    import numpy as np

    there = numbers > 0
    present, faces = np.unique(numbers[there], return_counts=True)
    pairs = np.unique(np.stack([numbers[there], photo_numbers[there]]), axis=1)
    _, photos = np.unique(pairs[0], return_counts=True)
    return dict(zip(present.tolist(), zip(faces.tolist(), photos.tolist(), strict=True), strict=True))


def _print_faces(archive: Archive, groups: np.ndarray, rows: np.ndarray, as_json: bool) -> None:
    from indexer.answers import face_lines
    from indexer.face_names import FaceNames

    if as_json:
        print_json(face_lines(archive, groups, rows))
        return
    names = FaceNames(archive)
    for row, line in zip(rows.tolist(), face_lines(archive, groups, rows), strict=True):
        who = line["person"] or (f"group {line['group']}" if line["group"] else "-")
        click.echo(f"{names.name(row)}\t{','.join(str(v) for v in line['box'])}\t{who}")
