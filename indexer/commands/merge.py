"""`visavis merge`: two people, two groups, or a person and a group, are one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.desk import Desk, lay_out
from indexer.commands.options import album_option, count, json_option, say

if TYPE_CHECKING:
    import numpy as np

    from indexer.face_names import Someone
    from indexer.people import Action, PeopleStore


@click.command()
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@album_option
@json_option
def merge(one: str, other: str, album: Path, as_json: bool) -> None:
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
        with desk.people() as store:
            action = _merge(desk, store, a, b)
    _warn_of_photos(desk, a.rows, b.rows)
    desk.report(action, rows, as_json=as_json)


def _merge(desk: Desk, store: PeopleStore, a: Someone, b: Someone) -> Action | None:
    import numpy as np

    from indexer.grouping.regrouping import join_groups

    if a.person is not None and b.person is not None:
        return store.merge(a.person, b.person)
    if a.group is not None and b.group is not None:
        if a.group == b.group:
            raise click.ClickException(f"{a.title} is one group already: name another one")
        rows = np.concatenate([a.rows, b.rows])
        action = store.join(desk.refs(rows))
        if action is not None:
            join_groups(desk.archive, rows, a.group, action.action_id)
        return action
    person, group = (a, b) if a.group is None else (b, a)
    return store.assign(desk.refs(group.rows), person.title, add_to_existing=True)


def _warn_of_photos(desk: Desk, rows: np.ndarray, others: np.ndarray) -> None:
    """Say which photos show both: a mistake, mostly, but there are mirrors, and photos of photos."""
    import numpy as np

    photos = desk.archive.photo_numbers
    both, first, second = np.intersect1d(photos[rows], photos[others], return_indices=True)
    if len(both):
        names = f"{desk.names.short(int(rows[first[0]]))} and {desk.names.short(int(others[second[0]]))}"
        say(f"Warning: {count(len(both), 'photo')} with two faces that are one person now, as {names}.")
