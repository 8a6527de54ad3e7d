"""The shapes in which faces are told to programs. Fixed: other tools rely on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from indexer.archive import Archive
from indexer.grouping.groups import FILE_NAME, Groups, read_groups


def album_groups(archive: Archive) -> np.ndarray:
    """Give the group of each face of the archive, int64 (N,): 0 for none. A named or ignored face has none."""
    groups = read_groups(archive.album.index / FILE_NAME).of(archive.faces.face_ids)
    return np.where((archive.persons < 0) & ~archive.ignored, groups, 0)


def face_lines(archive: Archive, groups: np.ndarray, rows: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield {"photo", "box", "face_id", "group", "person"} for the faces at ``rows``.

    Args:
        groups: from ``album_groups``.
    """
    for row in rows.tolist():
        yield {
            "photo": archive.paths[row],
            "box": archive.box(row),
            "face_id": int(archive.faces.face_ids[row]),
            "group": int(groups[row]) or None,
            "person": archive.people.persons.get(int(archive.persons[row])),
        }


def shown_rows(archive: Archive) -> np.ndarray:
    """Give the rows of all faces but the ignored, by photo and from left to right: int64 (M,)."""
    rows = np.flatnonzero(~archive.ignored)
    return np.array(sorted(rows.tolist(), key=lambda r: (archive.paths[r], archive.box(r))), np.int64)


def save_groups(archive: Archive, groups: Groups) -> None:
    """Write the groups into the album."""
    from indexer.album import write_whole
    from indexer.grouping.groups import write_groups

    archive.album.index.mkdir(exist_ok=True, mode=0o700)
    write_whole(archive.album.index / FILE_NAME, write_groups(groups))
