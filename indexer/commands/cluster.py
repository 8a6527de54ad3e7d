"""`visavis cluster`: group faces into people, and propose names."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.commands.options import album_option, count, json_option, print_json, print_table, say
from indexer.commands.progress import duration

if TYPE_CHECKING:
    import numpy as np

    from indexer.archive import Archive
    from indexer.grouping.album_grouping import Regrouped
    from indexer.grouping.changes import Changes
    from indexer.grouping.link_threshold import LinkThreshold

_SHOWN = 20
_CHANGES_SHOWN = 5  # of each kind
_PEOPLE_SHOWN = 5


@click.command()
@album_option
@click.option("--stricter", count=True, help="Accept half as many wrong pairs; may be given several times.")
@click.option("--looser", count=True, help="Accept twice as many wrong pairs; may be given several times.")
@json_option
def cluster(album: Path, stricter: int, looser: int, as_json: bool) -> None:
    """Group the faces: one group, one person.

    Faces of one photo never share a group, and no group holds two names. Faces that are grouped with
    somebody who has a name are proposed for that name: `visavis name --accept` takes them. The
    threshold comes from the album itself. Groups keep their numbers when the album grows and this
    runs again. --json prints a line for each face, and at the end one for the groups: what has
    changed, who is proposed, and the threshold.

    \b
    Examples:
      visavis cluster
      visavis cluster --stricter
    """
    from indexer.album import open_album
    from indexer.answers import album_proposals, face_lines, shown_rows
    from indexer.grouping.album_grouping import group_album
    from indexer.grouping.changes import changes
    from indexer.locks import writing

    started = time.monotonic()
    opened = open_album(album)
    with writing(album):
        made = group_album(opened, wrong_share_factor=2.0 ** (looser - stricter))
    archive, groups = made.archive, made.groups
    proposed, _ = album_proposals(archive)  # what `visavis name --accept` will take
    if made.damage is not None:
        say(f"{made.damage.partition(': run')[0]}: made anew, and numbers of groups begin with 1. What you said holds.")
    changed = None
    if made.former.any():
        changed = changes(made.former, groups.groups, (archive.persons >= 0) | (proposed >= 0))
    seconds = time.monotonic() - started
    if as_json:
        print_json(face_lines(archive, groups.groups, shown_rows(archive)))
        print_json([_as_json(made, proposed, changed, seconds)])
    else:
        _print_largest(archive, groups.groups)
    if changed is not None:
        _say_changes(changed)
    _say_proposals(_by_person(archive, proposed))
    _say_summary(made, proposed, seconds)
    _say_threshold(made.threshold, stricter - looser)


def _print_largest(archive: Archive, groups: np.ndarray) -> None:
    import numpy as np

    numbers, sizes = np.unique(groups[groups > 0], return_counts=True)
    order = np.lexsort((numbers, -sizes))
    photos = {n: len(set(archive.photo_numbers[groups == n].tolist())) for n in numbers[order[:_SHOWN]].tolist()}
    rows = [
        (f"group {n}", str(s), str(photos[n]))
        for n, s in zip(numbers[order].tolist(), sizes[order].tolist(), strict=True)
        if n in photos
    ]
    if rows:
        print_table(("WHO", "FACES ", "PHOTOS "), [tuple(row) for row in rows])
    if len(numbers) > _SHOWN:
        say(f"and {count(len(numbers) - _SHOWN, 'smaller group')}: `visavis people` lists all")


def _say_changes(changed: Changes) -> None:
    """Tell what became of the former groups, a line for each kind."""
    kinds = (
        ("new", [str(n) for n in changed.new]),
        ("grown", [f"{n} (+{faces})" for n, faces in changed.grown.items()]),
        ("shrunk", [f"{n} (-{faces})" for n, faces in changed.shrunk.items()]),
        ("merged", [f"{' and '.join(map(str, parts))} (now {n})" for n, parts in changed.merged.items()]),
        ("split", [f"{n} (now {' and '.join(map(str, parts))})" for n, parts in changed.split.items()]),
        ("gone, since they have a name", [str(n) for n in changed.named]),
        ("gone, their faces alone", [str(n) for n in changed.dissolved]),
    )
    lines = [f"  {kind}: {_listed(told)}" for kind, told in kinds if told]
    say("\n".join(["Since the last time:", *lines]) if lines else "No group has changed since the last time.")


def _listed(told: list[str]) -> str:
    more = f", and {len(told) - _CHANGES_SHOWN:,} more" if len(told) > _CHANGES_SHOWN else ""
    return ", ".join(told[:_CHANGES_SHOWN]) + more


def _by_person(archive: Archive, proposed: np.ndarray) -> list[tuple[str, int]]:
    """List for whom faces are proposed, and how many; most first."""
    import numpy as np

    people, faces = np.unique(proposed[proposed >= 0], return_counts=True)
    order = np.argsort(-faces, kind="stable")
    most = zip(people[order].tolist(), faces[order].tolist(), strict=True)
    return [(archive.people.persons[person], number) for person, number in most]


def _faces_alone(made: Regrouped, proposed: np.ndarray) -> int:
    archive = made.archive
    return int(((made.groups.groups == 0) & (proposed < 0) & (archive.persons < 0) & ~archive.ignored).sum())


def _say_proposals(proposed: list[tuple[str, int]]) -> None:
    if not proposed:
        return
    most = [f"{name} ({faces})" for name, faces in proposed]
    named = ", ".join(most[:_PEOPLE_SHOWN]) + (", …" if len(most) > _PEOPLE_SHOWN else "")
    say(
        f"Proposed: {count(sum(faces for _, faces in proposed), 'face')} for {count(len(most), 'person', 'people')}: "
        f"{named}. `visavis name --accept NAME` takes them, `visavis review` asks."
    )


def _say_summary(made: Regrouped, proposed: np.ndarray, seconds: float) -> None:
    grouped = made.groups.groups[made.groups.groups > 0]
    say(
        f"{count(len(set(grouped.tolist())), 'group')} of {count(len(grouped), 'face')} "
        f"without a name, {count(_faces_alone(made, proposed), 'face')} alone, in {duration(seconds)}."
    )


def _say_threshold(threshold: LinkThreshold, steps: int) -> None:
    """Say where links begin, and what that means in wrong pairs.

    Args:
        steps: how much stricter than usual was asked for; negative for looser.
    """
    from indexer.grouping.link_threshold import Evidence

    begin = f"Faces are linked from a similarity of {threshold.similarity:.3f} on"
    if threshold.evidence is Evidence.ALBUM:
        say(f"{begin}: about {threshold.wrong_share:.1%} of the pairs just there are expected to be two people.")
        return
    number = {1: "one step", 2: "two steps"}.get(abs(steps), f"{abs(steps)} steps")
    how = f"{number} {'stricter' if steps > 0 else 'looser'} than" if steps else "as"
    say(f"{begin}, {how} usual for this network: the album is too small to tell by itself.")


def _as_json(made: Regrouped, proposed: np.ndarray, changed: Changes | None, seconds: float) -> dict[str, Any]:
    """Describe the grouping for programs; what the album does not tell, and changes the first time, are null."""
    threshold, groups = made.threshold, made.groups.groups
    return {
        "groups": len(set(groups[groups > 0].tolist())),
        "grouped_faces": int((groups > 0).sum()),
        "faces_alone": _faces_alone(made, proposed),
        "proposals": [{"person": name, "faces": faces} for name, faces in _by_person(made.archive, proposed)],
        "changes": None if changed is None else _changes_as_json(changed),
        "threshold": round(threshold.similarity, 4),
        "wrong_share": None if math.isnan(threshold.wrong_share) else round(threshold.wrong_share, 4),
        "numbers_kept": made.damage is None,
        "seconds": round(seconds, 1),
    }


def _changes_as_json(changed: Changes) -> dict[str, list[Any]]:
    return {
        "new": list(changed.new),
        "grown": [{"group": number, "faces": faces} for number, faces in changed.grown.items()],
        "shrunk": [{"group": number, "faces": faces} for number, faces in changed.shrunk.items()],
        "merged": [{"group": number, "from": list(parts)} for number, parts in changed.merged.items()],
        "split": [{"group": number, "into": list(parts)} for number, parts in changed.split.items()],
        "gone_named": list(changed.named),
        "gone_alone": list(changed.dissolved),
    }
