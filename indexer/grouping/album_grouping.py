"""Group the faces of an album anew and write the groups, under the numbers that they had."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from indexer.album import Album
from indexer.answers import save_groups
from indexer.archive import Archive, read_archive, read_people
from indexer.grouping.archive_groups import ArchiveGroups, group_archive
from indexer.grouping.groups import FILE_NAME, DamagedGroups, Groups, keep_numbers, no_groups, read_groups, remember
from indexer.grouping.link_threshold import LinkThreshold
from indexer.grouping.proposals import propose
from indexer.grouping.regrouping import forget_changes
from indexer.locks import changing_groups


@dataclass(frozen=True)
class Regrouped:
    """What a clustering made of an album.

    Attributes:
        archive: the album, with what was said until then.
        former: int64 (N,), the group of each face before; 0 for none.
        groups: as they were written.
        threshold: from which on faces were linked.
        damage: why the former groups could not be read, so that numbers began anew; None if all was well.
    """

    archive: Archive
    former: np.ndarray
    groups: Groups
    threshold: LinkThreshold
    damage: str | None


@dataclass(frozen=True)
class _Proposed:
    """Groups without numbers yet, and who is proposed for their faces."""

    found: ArchiveGroups
    persons: np.ndarray
    sureness: np.ndarray


def group_album(album: Album, *, wrong_share_factor: float = 1.0) -> Regrouped:
    """Group the faces of an album and write the groups. The caller holds the album's lock.

    Groups may be merged, split and put back while this computes. As that would be lost when the new groups are
    written, they are made again then, with what was said; and meanwhile nobody may change them.

    Groups that are damaged are made anew like those that were never made, since nothing but their numbers is lost.

    Args:
        wrong_share_factor: see ``indexer.grouping.archive_groups.group_archive``.
    """
    begun, _ = _former_groups(album)  # before what was said: that is written first, the groups after it
    archive = read_archive(album)
    proposed = _group(archive, wrong_share_factor)
    with changing_groups(album):
        before, damage = _former_groups(album)
        if not _are_the_same(begun, before):
            archive = replace(archive, people=read_people(album))
            proposed = _group(archive, wrong_share_factor)
        if not len(before.face_ids):
            forget_changes(album)
        groups = _numbered(archive, proposed, before)
        save_groups(archive, groups, archive.faces.face_ids[proposed.found.links])
    return Regrouped(archive, before.of(archive.faces.face_ids), groups, proposed.found.clustering.threshold, damage)


def _former_groups(album: Album) -> tuple[Groups, str | None]:
    """Read the groups as they are, or none; and why they cannot be read, if they cannot."""
    try:
        return read_groups(album.index / FILE_NAME), None
    except DamagedGroups as error:
        return no_groups(), str(error)


def _group(archive: Archive, wrong_share_factor: float) -> _Proposed:
    found = group_archive(archive, wrong_share_factor=wrong_share_factor)
    return _Proposed(found, *propose(archive, found))


def _numbered(archive: Archive, proposed: _Proposed, before: Groups) -> Groups:
    """Give new groups the numbers that they had, and put together what is kept of them."""
    faces, found = archive.faces.face_ids, proposed.found
    labels = np.full(len(faces), -1, np.int64)
    labels[found.rows] = np.where(found.owner >= 0, -1, found.clustering.labels)
    former, formerly = before.of(faces), before.column(before.formerly, faces, 0)
    numbers = keep_numbers(labels, former, before.next_number, formerly)
    chance, offset = np.zeros(len(faces), np.float32), np.zeros(len(faces), np.float32)
    chance[found.rows], offset[found.rows] = found.chance, found.offset
    return Groups(
        face_ids=faces,
        groups=numbers,
        proposed=proposed.persons,
        sureness=proposed.sureness,
        chance=chance,
        offset=offset,
        formerly=remember(formerly, former, numbers),
        next_number=max(before.next_number, int(numbers.max(initial=0)) + 1),
        threshold=found.clustering.threshold.similarity,
        spread=found.spread,
    )


def _are_the_same(one: Groups, other: Groups) -> bool:
    return np.array_equal(one.face_ids, other.face_ids) and np.array_equal(one.groups, other.groups)
