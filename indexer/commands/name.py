"""`visavis name`: say who a group is, or take the faces that are proposed for somebody."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.options import ANY_PATH, album_option, count, json_option, print_json, say

if TYPE_CHECKING:
    import numpy as np

    from indexer.commands.desk import Desk


@click.command()
@click.argument("group", metavar="[GROUP]", required=False)
@click.argument("name", metavar="[NAME]", required=False)
@album_option
@click.option("--add", is_flag=True, help="Add the group to a person of that name who is there already.")
@click.option("--accept", metavar="NAME", multiple=True, help="Take the faces proposed for this person; repeatable.")
@click.option("--accept-all", is_flag=True, help="Take the faces proposed for anybody.")
@click.option(
    "--above",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Take only faces that are more like the person than this share of strangers.",
)
@click.option("--sheet", type=ANY_PATH, metavar="FILE.jpg", help="Take nothing: draw the proposed faces to look at.")
@json_option
def name(
    group: str | None,
    name: str | None,
    album: Path,
    *,
    add: bool,
    accept: tuple[str, ...],
    accept_all: bool,
    above: float,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Say who a group is. GROUP is its number, as `visavis people` shows it.

    After a name was given, `visavis cluster` proposes faces for it: --accept takes them. Those that are
    somebody else are rejected with `visavis reject FACE`, before or after, and are not proposed again.

    \b
    Examples:
      visavis name 3 "Ann Lee"
      visavis name 17 "Ann Lee" --add
      visavis name --accept "Ann Lee" --sheet look.jpg
      visavis name --accept "Ann Lee" --above 0.99
      visavis name --accept-all
    """
    from indexer.commands.desk import lay_out

    accepting = bool(accept) or accept_all
    if accepting and (group is not None or add):
        raise click.UsageError("--accept takes what is proposed: it goes with no GROUP, NAME or --add")
    if not accepting and (group is None or name is None):
        raise click.UsageError('say GROUP and NAME, as in: visavis name 3 "Ann Lee"; or --accept NAME')
    if not accepting and (above or sheet is not None):
        raise click.UsageError("--above and --sheet go with --accept or --accept-all")
    desk = lay_out(album)
    if accepting:
        _accept(desk, None if accept_all else accept, above, sheet=sheet, as_json=as_json)
    else:
        assert group is not None and name is not None
        _name_group(desk, group, name, add=add, as_json=as_json)


def _name_group(desk: Desk, group: str, name: str, *, add: bool, as_json: bool) -> None:
    import numpy as np

    from indexer.grouping.groups import group_number
    from indexer.people import NameTaken

    number = group_number(group, desk.groups)
    rows = np.flatnonzero(desk.groups == number)
    with desk.people(desk.ways_out(rows)) as store:
        try:
            action = store.assign(desk.refs(rows), name, add_to_existing=add)
        except NameTaken as error:
            person = desk.archive.people.person_named(name)
            faces = count(int((desk.archive.persons == person).sum()), "face")
            raise click.ClickException(
                f"{name} is in the album already, with {faces}: "
                "say --add if this group is the same person, or choose a name that tells the two apart"
            ) from error
    if as_json:
        print_json(desk.lines(rows))
    say(f"Group {number} is {name}: {count(len(rows), 'face')}.")
    if action is not None:
        desk.warn_of_photos(rows, desk.archive.people.person_named(name))


def _accept(desk: Desk, names: tuple[str, ...] | None, above: float, *, sheet: Path | None, as_json: bool) -> None:
    """Take proposals, each person's as one action; or only draw them.

    Raises:
        click.ClickException: in the end, if some could not be taken; those of the others are.
    """
    from indexer.commands.desk import GROUP_ANEW

    chosen = _proposed(desk, names, above)
    if not chosen:
        say(f"Nothing is proposed{f' from --above {above:g} on' if above else ''}: {GROUP_ANEW}.")
        return
    refused: dict[int, str] = {}
    if sheet is None:
        refused = _take(desk, chosen)
        chosen = {person: rows for person, rows in chosen.items() if person not in refused}
    if as_json:
        print_json(line for rows in chosen.values() for line in desk.lines(rows))
    if sheet is not None:
        _draw(desk, chosen, sheet)
        return
    for person, rows in chosen.items():
        say(f"{desk.archive.people.persons[person]}: {count(len(rows), 'face')} more.")
    if len(chosen) + len(refused) > 1:
        total = sum(len(rows) for rows in chosen.values())
        say(f"{count(total, 'face')} taken for {count(len(chosen), 'person', 'people')}.")
    if chosen:
        say("`visavis reject` says of a face that it is somebody else; `visavis undo` takes the last person's back.")
    if refused:
        raise click.ClickException("\n".join(refused.values()))


def _take(desk: Desk, chosen: dict[int, np.ndarray]) -> dict[int, str]:
    """Give people the faces that are proposed for them: person → why not, for those for whom it cannot be."""
    from indexer.commands.desk import GROUP_ANEW
    from indexer.people import PeopleError

    refused = {}
    with desk.people() as store:
        for person, rows in chosen.items():
            try:
                store.assign(desk.refs(rows), desk.archive.people.persons[person], add_to_existing=True)
            except PeopleError as error:
                refused[person] = desk.told(error, lambda _: f"That was said since they were proposed: {GROUP_ANEW}")
    return refused


def _proposed(desk: Desk, names: tuple[str, ...] | None, above: float) -> dict[int, np.ndarray]:
    """Find the faces proposed for people: person → rows, the surest first.

    Raises:
        click.ClickException: if a name is nobody's, or nothing is proposed for it.
    """
    import numpy as np

    from indexer.answers import album_proposals

    proposed, sureness = album_proposals(desk.archive)
    wanted = (proposed >= 0) & (sureness >= above)
    if names is None:
        people = np.unique(proposed[wanted]).tolist()
    else:
        people = [desk.archive.people.person_named(name) for name in names]
        for name, person in zip(names, people, strict=True):
            if person is None:
                raise click.ClickException(f"nobody here is called {name!r}: `visavis people` lists all names")
            if not (wanted & (proposed == person)).any():
                less = int((proposed == person).sum())
                remedy = f"{count(less, 'face is', 'faces are')} below --above {above:g}" if less else (
                    "`visavis cluster` proposes faces, once some have the name"
                )  # fmt: skip
                raise click.ClickException(f"nothing is proposed for {name}: {remedy}")
    chosen = {}
    for person in dict.fromkeys(people):
        rows = np.flatnonzero(wanted & (proposed == person))
        chosen[person] = rows[np.argsort(-sureness[rows], kind="stable")]
    return chosen


def _draw(desk: Desk, chosen: dict[int, np.ndarray], sheet: Path) -> None:
    """Draw proposed faces, each as `visavis reject` takes it, and with whom it is proposed for if there are several."""
    from indexer.commands.sheets import draw_sheet

    names, faces = [desk.archive.people.persons[person] for person in chosen], []
    for who, rows in zip(names, chosen.values(), strict=True):
        for row in rows.tolist():
            caption = desk.names.short(row) if len(names) == 1 else f"{who}: {desk.names.short(row)}"
            faces.append((Path(desk.archive.paths[row]), desk.archive.box(row), caption))
    whom = names[0] if len(names) == 1 else count(len(names), "person", "people")
    drawn = draw_sheet(f"Proposed for {whom}: {count(len(faces), 'face')}", faces, sheet)
    say(f"{count(drawn, 'face')} on {sheet}; nothing was taken.")
