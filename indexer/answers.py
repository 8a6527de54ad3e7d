"""The shapes in which faces are told to programs. Fixed: other tools rely on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from indexer.archive import Archive
from indexer.grouping.groups import FILE_NAME, LINKS_NAME, NOBODY, Groups, read_groups, write_groups, write_links


def album_groups(archive: Archive) -> np.ndarray:
    """Give the group of each face of the archive, int64 (N,): 0 for none. A named or ignored face has none."""
    groups = read_groups(archive.album.index / FILE_NAME).of(archive.faces.face_ids)
    return np.where((archive.persons < 0) & ~archive.ignored, groups, 0)


def album_proposals(archive: Archive) -> tuple[np.ndarray, np.ndarray]:
    """Give who is proposed for each face by the last clustering, as far as nothing said since is against it.

    Returns:
        (int64 (N,) person, ``NOBODY`` for most; float32 (N,) sureness, see ``indexer.grouping.groups.Groups``).
    """
    from indexer.naming.barred import barred_people

    stored = read_groups(archive.album.index / FILE_NAME)
    proposed = stored.column(stored.proposed, archive.faces.face_ids, NOBODY)
    there = np.fromiter(archive.people.persons, np.int64, len(archive.people.persons))
    proposed[(archive.persons >= 0) | archive.ignored | ~np.isin(proposed, there)] = NOBODY
    rows = np.flatnonzero(proposed >= 0)
    place, person = barred_people(archive, rows).T
    against = rows[place[proposed[rows[place]] == person]]
    proposed[against] = NOBODY
    return proposed, np.where(proposed >= 0, stored.column(stored.sureness, archive.faces.face_ids, 0), 0)


def face_lines(archive: Archive, groups: np.ndarray, rows: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield {"photo", "box", "face_id", "group", "person", "proposed"} for the faces at ``rows``.

    Args:
        groups: from ``album_groups``.
    """
    proposed, _ = album_proposals(archive)
    for row in rows.tolist():
        yield {
            "photo": archive.paths[row],
            "box": archive.box(row),
            "face_id": int(archive.faces.face_ids[row]),
            "group": int(groups[row]) or None,
            "person": archive.people.persons.get(int(archive.persons[row])),
            "proposed": archive.people.persons.get(int(proposed[row])),
        }


def shown_rows(archive: Archive) -> np.ndarray:
    """Give the rows of all faces but the ignored, by photo and from left to right: int64 (M,)."""
    rows = np.flatnonzero(~archive.ignored)
    return np.array(sorted(rows.tolist(), key=lambda r: (archive.paths[r], archive.box(r))), np.int64)


def save_groups(archive: Archive, groups: Groups, links: np.ndarray) -> None:
    """Write the groups into the album, and the links between them (int64 (L, 2), face_ids)."""
    from indexer.album import write_whole

    archive.album.index.mkdir(exist_ok=True, mode=0o700)
    write_whole(archive.album.index / LINKS_NAME, write_links(links))
    write_whole(archive.album.index / FILE_NAME, write_groups(groups))
