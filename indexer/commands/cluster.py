"""`visavis cluster`: group faces into people, and propose names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.options import album_option, count, json_option, print_json, print_table, say
from indexer.commands.progress import duration

if TYPE_CHECKING:
    import numpy as np

    from indexer.archive import Archive
    from indexer.grouping.archive_groups import ArchiveGroups
    from indexer.grouping.changes import Changes
    from indexer.grouping.groups import Groups
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
    runs again.

    \b
    Examples:
      visavis cluster
      visavis cluster --stricter
    """
    from indexer.album import open_album, writing
    from indexer.answers import album_proposals, face_lines, shown_rows
    from indexer.archive import read_archive
    from indexer.grouping.archive_groups import group_archive
    from indexer.grouping.changes import changes

    started = time.monotonic()
    opened = open_album(album)
    with writing(album):
        archive = read_archive(opened)
        found = group_archive(archive, wrong_share_factor=2.0 ** (looser - stricter))
        former, groups = _remember(archive, found)
    proposed, _ = album_proposals(archive)  # what `visavis name --accept` will take
    if as_json:
        print_json(face_lines(archive, groups.groups, shown_rows(archive)))
    else:
        _print_largest(archive, groups.groups)
    if former.any():
        _say_changes(changes(former, groups.groups, (archive.persons >= 0) | (proposed >= 0)))
    _say_proposals(archive, proposed)
    _say_summary(archive, groups, proposed, time.monotonic() - started)
    _say_threshold(found.clustering.threshold)


def _remember(archive: Archive, found: ArchiveGroups) -> tuple[np.ndarray, Groups]:
    """Number the new groups and write them with the proposals: (the former groups, int64 (N,); the new ones)."""
    import numpy as np

    from indexer.answers import save_groups
    from indexer.grouping.groups import FILE_NAME, Groups, keep_numbers, read_groups
    from indexer.grouping.proposals import propose

    faces = archive.faces.face_ids
    before = read_groups(archive.album.index / FILE_NAME)
    former = before.of(faces)
    labels = np.full(len(faces), -1, np.int64)
    labels[found.rows] = np.where(found.owner >= 0, -1, found.clustering.labels)
    numbers = keep_numbers(labels, former, before.next_number)
    proposed, sureness = propose(archive, found)
    chance, offset = np.zeros(len(faces), np.float32), np.zeros(len(faces), np.float32)
    chance[found.rows], offset[found.rows] = found.chance, found.offset
    groups = Groups(
        face_ids=faces,
        groups=numbers,
        proposed=proposed,
        sureness=sureness,
        chance=chance,
        offset=offset,
        next_number=max(before.next_number, int(numbers.max(initial=0)) + 1),
        threshold=found.clustering.threshold.similarity,
        spread=found.spread,
    )
    save_groups(archive, groups, faces[found.links])
    return former, groups


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
        say(f"and {len(numbers) - _SHOWN:,} smaller groups: `visavis people` lists all")


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


def _say_proposals(archive: Archive, proposed: np.ndarray) -> None:
    import numpy as np

    people, faces = np.unique(proposed[proposed >= 0], return_counts=True)
    if not len(people):
        return
    order = np.argsort(-faces, kind="stable")
    most = [
        f"{archive.people.persons[p]} ({n})" for p, n in zip(people[order].tolist(), faces[order].tolist(), strict=True)
    ]
    named = ", ".join(most[:_PEOPLE_SHOWN]) + (", …" if len(most) > _PEOPLE_SHOWN else "")
    say(
        f"Proposed: {count(int(faces.sum()), 'face')} for {count(len(people), 'person', 'people')}: {named}. "
        "`visavis name --accept NAME` takes them, `visavis review` asks."
    )


def _say_summary(archive: Archive, groups: Groups, proposed: np.ndarray, seconds: float) -> None:
    grouped = groups.groups > 0
    alone = ~grouped & (proposed < 0) & (archive.persons < 0) & ~archive.ignored
    say(
        f"{count(len(set(groups.groups[grouped].tolist())), 'group')} of {count(int(grouped.sum()), 'face')} "
        f"without a name, {count(int(alone.sum()), 'face')} alone, in {duration(seconds)}."
    )


def _say_threshold(threshold: LinkThreshold) -> None:
    """Say where links begin, and what that means in wrong pairs."""
    from indexer.grouping.link_threshold import Evidence

    begin = f"Faces are linked from a similarity of {threshold.similarity:.3f} on"
    if threshold.evidence is Evidence.ALBUM:
        say(f"{begin}: about {threshold.wrong_share:.1%} of the pairs just there are expected to be two people.")
    else:
        say(f"{begin}, as usual for this network: the album is too small to tell by itself.")
