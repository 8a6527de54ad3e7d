"""`visavis people`, `visavis name` and `visavis show`: who is in the album."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.commands.options import ANY_PATH, album_option, count, json_option, print_json, print_table, say

if TYPE_CHECKING:
    import numpy as np

    from indexer.archive import Archive


@click.command()
@album_option
@click.option("--faces", "each_face", is_flag=True, help="One line for each face instead of each person.")
@json_option
def people(album: Path, each_face: bool, as_json: bool) -> None:
    """List the people of the album and the groups that nobody has named yet, largest first.

    \b
    Examples:
      visavis people
      visavis people --faces --json > faces.jsonl
    """
    from indexer.album import open_album
    from indexer.answers import album_groups, face_lines, shown_rows
    from indexer.archive import read_archive

    archive = read_archive(open_album(album))
    groups = album_groups(archive)
    if each_face:
        _print_faces(list(face_lines(archive, groups, shown_rows(archive))), as_json)
    else:
        _print_people(archive, groups, as_json)


@click.command()
@click.argument("group", metavar="GROUP")
@click.argument("name", metavar="NAME")
@album_option
@click.option("--add", is_flag=True, help="Add the group to a person of that name who is there already.")
@json_option
def name(group: str, name: str, album: Path, add: bool, as_json: bool) -> None:
    """Say who a group is. GROUP is its number, as `visavis people` shows it.

    \b
    Examples:
      visavis name 3 "Ann Lee"
      visavis name 17 "Ann Lee" --add
    """
    import numpy as np

    from indexer.album import open_album
    from indexer.answers import album_groups, face_lines
    from indexer.archive import read_archive, read_people
    from indexer.people import NameTaken, PeopleStore

    opened = open_album(album)
    archive = read_archive(opened)
    groups = album_groups(archive)
    rows = np.flatnonzero(groups == _group_number(group, groups))
    with PeopleStore(opened.people) as store:
        try:
            store.assign([archive.ref(row) for row in rows.tolist()], name, add_to_existing=add)
        except NameTaken as error:
            person = archive.people.person_named(name)
            raise click.ClickException(
                f"{name} is in the album already, with {count(int((archive.persons == person).sum()), 'face')}: "
                "say --add if this group is the same person, or choose a name that tells the two apart"
            ) from error
    archive = replace(archive, people=read_people(opened))
    if as_json:
        print_json(face_lines(archive, album_groups(archive), rows))
    say(f"Group {group} is {name}: {count(len(rows), 'face')}.")


@click.command()
@click.argument("who", metavar="PERSON_OR_GROUP")
@album_option
@click.option("--sheet", type=ANY_PATH, metavar="FILE.jpg", help="Write a contact sheet of the faces.")
@click.option("--most", default=120, show_default=True, help="Faces on the sheet, at the most.")
@json_option
def show(who: str, album: Path, sheet: Path | None, most: int, as_json: bool) -> None:
    """List the photos of a person or group.

    \b
    Examples:
      visavis show "Ann Lee"
      visavis show 3 --sheet group3.jpg
    """
    from indexer.album import open_album
    from indexer.answers import album_groups, face_lines, shown_rows
    from indexer.archive import read_archive

    archive = read_archive(open_album(album))
    groups = album_groups(archive)
    person = archive.people.person_named(who)
    wanted = groups == _group_number(who, groups) if person is None else archive.persons == person
    rows = shown_rows(archive)
    rows = rows[wanted[rows]]
    _print_faces(list(face_lines(archive, groups, rows)), as_json)
    if sheet is not None:
        drawn = _write_sheet(
            archive, rows[:most], who if person is not None else f"group {who.removeprefix('#')}", sheet
        )
        say(f"{count(drawn, 'face')} on {sheet}.")


def _group_number(text: str, groups: np.ndarray) -> int:
    number = text.removeprefix("#")
    if not number.isdecimal():
        raise click.ClickException(f"nobody here is called {text!r}: `visavis people` lists people and groups")
    if not (int(number) > 0 and (groups == int(number)).any()):
        raise click.ClickException(f"there is no group {number}: `visavis people` lists people and groups")
    return int(number)


def _print_people(archive: Archive, groups: np.ndarray, as_json: bool) -> None:
    import numpy as np

    photos = archive.photo_numbers
    lines: list[tuple[str | None, int | None, int, int]] = []
    for person, name in archive.people.persons.items():
        rows = np.flatnonzero(archive.persons == person)
        lines.append((name, None, len(rows), len(set(photos[rows].tolist()))))
    for group in np.unique(groups[groups > 0]).tolist():
        rows = np.flatnonzero(groups == group)
        lines.append((None, group, len(rows), len(set(photos[rows].tolist()))))
    lines.sort(key=lambda line: (line[0] is None, -line[2], str(line[0])))
    if as_json:
        print_json({"person": p, "group": g, "faces": f, "photos": n} for p, g, f, n in lines)
        return
    rows_text: list[tuple[str, ...]] = [(name or f"group {group}", str(f), str(n)) for name, group, f, n in lines]
    if rows_text:
        print_table(("WHO", "FACES ", "PHOTOS "), rows_text)
    alone = int(((groups == 0) & (archive.persons < 0) & ~archive.ignored).sum())
    say(f"{count(alone, 'face')} without name or group." + (" `visavis cluster` groups them." if not lines else ""))


def _print_faces(lines: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(lines)
        return
    for line in lines:
        who = line["person"] or (f"group {line['group']}" if line["group"] else "-")
        click.echo(f"{line['photo']}\t{','.join(str(v) for v in line['box'])}\t{who}")


def _write_sheet(archive: Archive, rows: np.ndarray, title: str, target: Path) -> int:
    from embedder.decode import DecodeError, decode
    from indexer.sheet import Tile, contact_sheet, cut_face, encode_jpeg

    tiles = []
    for row in rows.tolist():
        path = Path(archive.paths[row])
        try:
            photo = decode(path.read_bytes())
        except (OSError, DecodeError) as error:
            say(f"  left out: {path}: {error}")
            continue
        tiles.append(Tile(cut_face(photo.pixels, archive.box(row)), path.name))
    target.write_bytes(encode_jpeg(contact_sheet(title, tiles)))
    return len(tiles)
