"""`visavis move`, `reject`, `ignore`, `rename`, `same`, `different` and `retract`: a word about faces, or a person."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.desk import FACE, faces_argument, lay_out
from indexer.commands.options import album_option, json_option

if TYPE_CHECKING:
    from indexer.people import Conflict

loosen_option = click.option(
    "--loosen", is_flag=True, help="Take back, too, that these faces are the same person as others that stay behind."
)


def _or_loosen(conflict: Conflict) -> str:
    linked = any(reason.kind == "same" for reason in conflict.reasons)
    return conflict.remedy + ". With --loosen, these faces stop being the same as others" * linked


@click.command()
@faces_argument
@click.option("--to", "name", metavar="NAME", required=True, help="Whose faces they are.")
@click.option("--new", is_flag=True, help="NAME is a person who is not in the album yet.")
@loosen_option
@album_option
@json_option
def move(
    faces: tuple[str, ...], group: str | None, name: str, new: bool, loosen: bool, album: Path, as_json: bool
) -> None:
    """Give faces to a person, whoever they were before, also if they were ignored or rejected.

    A FACE is written PHOTO#2, the second from the left in the photo, as `visavis show` prints it.

    \b
    Examples:
      visavis move --to "Ann Lee" party.jpg#2 beach.jpg#1
      visavis move --to "Bob Ray" --new party.jpg#3
    """
    from indexer.face_names import find_person

    desk = lay_out(album)
    rows = desk.chosen(faces, group)
    person = None if new else find_person(desk.archive.people, name, "; --new makes a new person")
    with desk.people(_or_loosen) as store:
        if person is None:
            action = store.move_to_new(desk.refs(rows), name, loosen=loosen)
        else:
            action = store.move(desk.refs(rows), person, loosen=loosen)
    if action is not None:
        desk.warn_of_photos(rows, person)
    desk.report(action, rows, as_json=as_json)


@click.command()
@faces_argument
@click.option("--not", "name", metavar="NAME", help="Who they are not. [default: who they are, or are proposed for]")
@loosen_option
@album_option
@json_option
def reject(
    faces: tuple[str, ...], group: str | None, name: str | None, loosen: bool, album: Path, as_json: bool
) -> None:
    """Say that faces are not a person. Faces that were have no name then, and are never proposed for this one again.

    Without --not, of faces without a name it is said that they are not the person for whom they are proposed.

    A FACE is written PHOTO#2, the second from the left in the photo, as `visavis show` prints it.

    \b
    Examples:
      visavis reject party.jpg#2
      visavis reject --not "Ann Lee" --group 7
    """
    import numpy as np

    from indexer.answers import album_proposals
    from indexer.face_names import find_person

    desk = lay_out(album)
    rows = desk.chosen(faces, group)
    if name is None:
        persons = desk.archive.persons
        people = set(np.where(persons < 0, album_proposals(desk.archive)[0], persons)[rows].tolist())
        if len(people) != 1 or -1 in people:
            raise click.ClickException(
                "not all of these are faces of one person, or proposed for one: say with --not who they are not"
            )
        person = people.pop()
    else:
        person = find_person(desk.archive.people, name)
    with desk.people(_or_loosen) as store:
        action = store.reject(desk.refs(rows), person, loosen=loosen)
    desk.report(action, rows, as_json=as_json)


@click.command()
@faces_argument
@album_option
@json_option
def ignore(faces: tuple[str, ...], group: str | None, album: Path, as_json: bool) -> None:
    """Never show faces again: strangers in the background, statues, what is no face at all.

    A FACE is written PHOTO#2, the second from the left in the photo, as `visavis show` prints it. Ignored
    faces still count there. `visavis move` brings one back.

    \b
    Examples:
      visavis ignore party.jpg#4
      visavis ignore --group 7
    """
    desk = lay_out(album)
    rows = desk.chosen(faces, group)
    with desk.people() as store:
        action = store.ignore(desk.refs(rows))
    desk.report(action, rows, as_json=as_json)


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@album_option
@json_option
def rename(old: str, new: str, album: Path, as_json: bool) -> None:
    """Give a person another name.

    \b
    Example:
      visavis rename "Ann Lee" "Ann Ray"
    """
    import numpy as np

    from indexer.face_names import find_person

    desk = lay_out(album)
    person = find_person(desk.archive.people, old)
    with desk.people() as store:
        action = store.rename(person, new)
    desk.report(action, np.flatnonzero(desk.archive.persons == person), as_json=as_json)


@click.command()
@click.argument("one", metavar=FACE)
@click.argument("other", metavar=FACE)
@album_option
@json_option
def same(one: str, other: str, album: Path, as_json: bool) -> None:
    """Say that two faces are one person, whoever that is; also two faces of one photo, as in a mirror.

    A FACE is written PHOTO#2, the second from the left in the photo, as `visavis show` prints it. What
    `visavis cluster` does later, keeps to it.

    \b
    Example:
      visavis same party.jpg#2 beach.jpg#1
    """
    _say_of_two("same", one, other, album, as_json=as_json)


@click.command()
@click.argument("one", metavar=FACE)
@click.argument("other", metavar=FACE)
@album_option
@json_option
def different(one: str, other: str, album: Path, as_json: bool) -> None:
    """Say that two faces are two people, whoever they are.

    A FACE is written PHOTO#2, the second from the left in the photo, as `visavis show` prints it. What
    `visavis cluster` does later, keeps to it; `visavis split` parts a group at once.

    \b
    Example:
      visavis different party.jpg#2 beach.jpg#1
    """
    _say_of_two("different", one, other, album, as_json=as_json)


@click.command()
@click.argument("one", metavar=FACE)
@click.argument("other", metavar=FACE)
@album_option
@json_option
def retract(one: str, other: str, album: Path, as_json: bool) -> None:
    """Take back that two faces are the same or different, however long ago that was said.

    A FACE is written PHOTO#2, the second from the left in the photo, as `visavis show` prints it.

    \b
    Example:
      visavis retract party.jpg#2 beach.jpg#1
    """
    _say_of_two("retract", one, other, album, as_json=as_json)


def _say_of_two(what: str, one: str, other: str, album: Path, *, as_json: bool) -> None:
    import numpy as np

    desk = lay_out(album)
    rows = np.array([desk.names.row(one), desk.names.row(other)], np.int64)
    otherwise = "that was said before"
    if what == "retract":
        otherwise = "nothing was said of just these two"
        if len(set(desk.archive.heads[rows].tolist())) == 1:
            otherwise += "; they are the same by what was said of them and others"
    with desk.people() as store:
        said = {"same": store.same, "different": store.different, "retract": store.retract}[what]
        action = said(*desk.refs(rows))
    desk.report(action, rows, as_json=as_json, otherwise=otherwise)
