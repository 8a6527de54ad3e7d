"""`visavis undo`, `history` and `facts`: what was said so far, taken back, shown, carried to another album."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.commands.options import album_option, count, json_option, print_json, print_table, say

if TYPE_CHECKING:
    from indexer.album import Album
    from indexer.people import Action


@click.command()
@album_option
@json_option
def undo(album: Path, as_json: bool) -> None:
    """Take back the last thing that was said and still holds: a name, a merge, a split, any correction.

    Once more takes back the one before. `visavis history` shows what there is.

    \b
    Example:
      visavis undo
    """
    from indexer.album import open_album
    from indexer.grouping.regrouping import put_back
    from indexer.locks import changing_groups
    from indexer.people import PeopleStore

    opened = open_album(album)
    with changing_groups(opened):
        with PeopleStore(opened.people) as store:
            action = store.undo()
        assert action.undoes is not None, "an undo undoes an action"
        put_back(opened, action.undoes)
    line = next(_lines(opened, [action]))
    if as_json:
        print_json([line])
    say(f"Taken back: {line['what'].partition(': ')[2]}.")


@click.command()
@click.option("--most", type=click.IntRange(1), default=20, show_default=True, help="How many, the latest first.")
@album_option
@json_option
def history(most: int, album: Path, as_json: bool) -> None:
    """List what was said, the latest first: when, by whom, and whether it was taken back.

    \b
    Examples:
      visavis history
      visavis history --most 1000 --json > said.jsonl
    """
    from indexer.album import open_album
    from indexer.people import PeopleStore

    opened = open_album(album)
    with PeopleStore(opened.people) as store:
        actions = store.history(most)
    if as_json:
        print_json(_lines(opened, actions))
        return
    lines: list[tuple[str, ...]] = [
        (
            str(line["action"]),
            line["at"][:16].replace("T", " "),
            line["who"],
            line["what"],
            "taken back" * line["undone"],
        )
        for line in _lines(opened, actions)
    ]
    if lines:
        print_table(("NO ", "WHEN (UTC)", "WHO", "WHAT", ""), lines)
    else:
        say("Nothing was said yet: `visavis name` says who a group is.")


@click.group()
def facts() -> None:
    """Carry all that was said about faces to another album: names, corrections, what is ignored.

    \b
    Examples:
      visavis facts export people.json
      visavis facts import people.json --album other
    """


@facts.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@album_option
@json_option
def export_facts(file: Path, album: Path, as_json: bool) -> None:
    """Write all that holds into FILE, as JSON; - is stdout. It names faces by the content of their photo, and the box.

    The file holds names of people: it is readable by its owner only.

    \b
    Examples:
      visavis facts export people.json
      visavis facts export - | gpg -c > people.json.gpg
    """
    from indexer.album import open_album
    from indexer.people import PeopleStore

    to_stdout = str(file) == "-"
    if to_stdout and as_json:
        raise click.UsageError("with - the facts themselves go to stdout: leave out --json")
    with PeopleStore(open_album(album).people) as store:
        document = store.export_facts()
    content = (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()
    if to_stdout:
        click.echo(content, nl=False)
    else:
        _write_export(file, content)
    people, faces = len(document["people"]), len(document["faces"])
    if as_json:
        print_json([{"file": str(file), "people": people, "faces": faces}])
    say(f"{count(people, 'person', 'people')} and {count(faces, 'face')} in {'stdout' if to_stdout else file}.")


def _write_export(file: Path, content: bytes) -> None:
    from indexer.album import write_whole

    try:
        write_whole(file, content)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise click.ClickException(f"{file} cannot be written, since there is no folder {file.parent}") from error
    except PermissionError as error:
        raise click.ClickException(f"{file} cannot be written: nothing may be put into {file.parent}") from error


@facts.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@album_option
@json_option
def import_facts(file: Path, album: Path, as_json: bool) -> None:
    """Take over what another album's export says. All of it, or nothing where it contradicts what was said here.

    Faces are found by the content of their photo and the place in it, whatever model the albums were
    made with. People of one name are one person. Facts about photos that are not here yet wait for them.

    \b
    Example:
      visavis facts import people.json
    """
    from indexer.album import open_album
    from indexer.archive import read_archive_even_empty
    from indexer.face_names import FaceNames
    from indexer.people import PeopleError, PeopleStore
    from indexer.people.exchange import from_document
    from indexer.waiting_facts import faces_now

    try:
        document = json.loads(file.read_bytes())
    except ValueError as error:
        raise click.ClickException(f"{file} is no JSON ({error}): `visavis facts export` writes such a file") from error
    archive = read_archive_even_empty(open_album(album))
    spoken_of = from_document(document).faces.values()
    present = faces_now(archive, {face.photo_id for face in spoken_of})
    with PeopleStore(archive.album.people) as store:
        try:
            action = store.import_facts(document, present)
        except PeopleError as error:
            raise click.ClickException(FaceNames(archive).explain(str(error))) from error
    here = sum(face.photo_id in present for face in spoken_of)
    if as_json:
        print_json([{"file": str(file), "changed": action is not None, "faces": len(spoken_of), "in_album": here}])
    say(f"Done: {action.text}." if action else "Nothing is changed: all of it was said here.")
    if here < len(spoken_of):
        say(f"{count(len(spoken_of) - here, 'face')} of photos that are not in this album yet, or show no face here.")


@facts.command("reanchor")
@album_option
@json_option
def reanchor_facts(album: Path, as_json: bool) -> None:
    """Carry what was said over to the faces that now stand at the same places of the photos.

    For an album that was made anew with another detector, to which people.sqlite of the old one was
    copied. Faces with the same box need nothing, and `visavis index` does it for what waits for photos.

    \b
    Example:
      visavis facts reanchor
    """
    from indexer.album import open_album
    from indexer.archive import read_archive_even_empty
    from indexer.waiting_facts import carry_over

    carried = carry_over(read_archive_even_empty(open_album(album)))
    if as_json:
        print_json([{"changed": carried.action is not None, "faces_not_found": carried.lost}])
    say(f"Done: {carried.action.text}." if carried.action else "Nothing is changed.")
    if carried.lost:
        say(f"{count(carried.lost, 'face')} with something said have no place in this album.")


def _lines(album: Album, actions: list[Action]) -> Iterator[dict[str, Any]]:
    """Yield actions for programs; the album is read only where one speaks of single faces."""
    from indexer.archive import read_archive_even_empty
    from indexer.face_names import FaceNames

    names: FaceNames | None = None
    for action in actions:
        line = asdict(action)
        if re.search(r"faces \d+ and", action.text):
            names = names or FaceNames(read_archive_even_empty(album))
            line["text"] = names.explain(action.text)
        yield {"action": line.pop("action_id")} | {"what" if key == "text" else key: v for key, v in line.items()}
