"""`visavis merge`: two people, two groups, or a person and a group, are one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.desk import Desk, lay_out
from indexer.commands.options import album_option, json_option

if TYPE_CHECKING:
    from indexer.face_names import Someone
    from indexer.people import Action, Conflict, PeopleStore


@click.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option(
    "--loosen",
    is_flag=True,
    help="Of two people: take back, too, that faces of theirs are two people, or not this one.",
)
@album_option
@json_option
def merge(one: str, other: str, loosen: bool, album: Path, as_json: bool) -> None:
    """Say that A and B are one person. Each is the name of a person or the number of a group.

    Of two people the first keeps its name. A group that is merged with a person takes the name. Two
    groups become one, with the number of the first, and stay one.

    \b
    Examples:
      visavis merge "Ann Lee" "Ann L."
      visavis merge "Ann Lee" 7
      visavis merge 3 7
    """
    import numpy as np

    from indexer.album import open_album
    from indexer.locks import changing_groups

    with changing_groups(open_album(album)):
        desk = lay_out(album)
        a, b = desk.someone(one), desk.someone(other)
        rows = np.concatenate([a.rows, b.rows])
        if loosen and (a.person is None or b.person is None):
            raise click.UsageError("--loosen is for two people who have a name: leave it out")
        with desk.people(_remedy(desk, a, b)) as store:
            action = _merge(desk, store, a, b, loosen=loosen)
    if action is not None:
        desk.warn_of_photos(rows, None)
    desk.report(action, rows, as_json=as_json)


def _remedy(desk: Desk, a: Someone, b: Someone) -> Callable[[Conflict], str] | None:
    """Say what to do where something was said against it."""
    if a.person is not None and b.person is not None:
        return lambda conflict: f"{conflict.remedy}. With --loosen, all that stands against it is taken back"
    if a.group is not None and b.group is not None:
        return None
    return desk.ways_out(a.rows if b.group is None else b.rows)


def _merge(desk: Desk, store: PeopleStore, a: Someone, b: Someone, *, loosen: bool) -> Action | None:
    import numpy as np

    from indexer.grouping.regrouping import join_groups

    if a.person is not None and b.person is not None:
        return store.merge(a.person, b.person, loosen=loosen)
    if a.group is not None and b.group is not None:
        if a.group == b.group:
            raise click.ClickException(f"{a.title} is one group already: name another one")
        rows = np.concatenate([a.rows, b.rows])
        action = store.join(desk.refs(rows), of=f"groups {a.group} and {b.group}")
        if action is not None:
            join_groups(desk.archive, rows, a.group, action.action_id)
        return action
    person, group = (a, b) if a.group is None else (b, a)
    return store.assign(desk.refs(group.rows), person.title, add_to_existing=True)
