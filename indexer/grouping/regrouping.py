"""Change groups at once, as a human said, without grouping the album anew; and back, when that is undone.

The caller holds the lock of the groups (``indexer.locks.changing_groups``), from before it reads them or says anything:
what was said is written first, and nobody must see it with groups that do not know it, and write them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from indexer.album import Album, write_whole
from indexer.archive import Archive
from indexer.grouping.groups import FILE_NAME, Groups, read_groups, remember, write_groups
from indexer.seals import seal_path

CHANGES_NAME = "regrouped.json"
"""What the groups were before each change: derived like the groups, and forgotten with them."""
_KEPT = 100  # changes; an undo that goes further back leaves the groups to the next `visavis cluster`


def join_groups(archive: Archive, rows: np.ndarray, number: int, action_id: int) -> None:
    """Put the faces at ``rows``, all of them in groups, into the group of this number."""
    _change(archive, rows, np.full(len(rows), number, np.int64), action_id)


def part_group(archive: Archive, parts: list[np.ndarray], action_id: int) -> list[int]:
    """Make a group of each part of a group; the first of them keeps the number, a part of one face has none.

    Args:
        archive: the album.
        parts: int64 (M,) each, rows.
        action_id: of the action that is the reason.
    Returns:
        the number of each part, 0 for none.
    """
    groups = read_groups(archive.album.index / FILE_NAME)
    number = int(groups.of(archive.faces.face_ids[parts[0][:1]])[0])
    free = iter([number, *range(groups.next_number, groups.next_number + len(parts))])
    numbers = [next(free) if len(part) > 1 else 0 for part in parts]
    _change(archive, np.concatenate(parts), np.repeat(numbers, [len(part) for part in parts]), action_id)
    return numbers


def put_back(album: Album, action_id: int) -> bool:
    """Give the faces that an action regrouped their former groups again, where nothing has changed them since.

    Returns:
        whether groups were changed.
    """
    changes = _read_changes(album.index / CHANGES_NAME)
    change = changes.pop(str(action_id), None)
    if change is None:
        return False
    face_ids, former, then = np.array(change, np.int64).T
    path = album.index / FILE_NAME
    groups = read_groups(path)
    unchanged = (groups.of(face_ids) == then) & np.isin(face_ids, groups.face_ids)
    numbers = groups.groups.copy()
    places = _places(groups.face_ids, face_ids[unchanged])
    numbers[places] = former[unchanged]
    write_whole(path, write_groups(_renumbered(groups, numbers)))
    write_whole(album.index / CHANGES_NAME, json.dumps(changes).encode())
    return bool(unchanged.any())


def forget_changes(album: Album) -> None:
    """Forget what changed groups that are lost: their numbers will stand for others."""
    path = album.index / CHANGES_NAME
    path.unlink(missing_ok=True)
    seal_path(path).unlink(missing_ok=True)


def _change(archive: Archive, rows: np.ndarray, new: np.ndarray, action_id: int) -> None:
    path, face_ids = archive.album.index / FILE_NAME, archive.faces.face_ids[rows]
    groups = read_groups(path)
    places = _places(groups.face_ids, face_ids)
    numbers = groups.groups.copy()
    numbers[places] = new
    changes = _read_changes(archive.album.index / CHANGES_NAME)
    change = np.stack([face_ids, groups.groups[places], new], axis=1)
    changes[str(action_id)] = change.tolist()
    kept = dict(list(changes.items())[-_KEPT:])
    write_whole(archive.album.index / CHANGES_NAME, json.dumps(kept).encode())
    next_number = max(groups.next_number, int(new.max(initial=0)) + 1)
    write_whole(path, write_groups(replace(_renumbered(groups, numbers), next_number=next_number)))


def _renumbered(groups: Groups, numbers: np.ndarray) -> Groups:
    return replace(groups, groups=numbers, formerly=remember(groups.formerly, groups.groups, numbers))


def _places(face_ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Find the places of faces that are all there: int64 (M,)."""
    order = np.argsort(face_ids, kind="stable")
    return np.asarray(order[np.searchsorted(face_ids, wanted, sorter=order)])


def _read_changes(path: Path) -> dict[str, list[list[int]]]:
    """Read the former groups; a file that was damaged is as good as none, since `visavis cluster` groups anew."""
    try:
        changes: dict[str, list[list[int]]] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return changes
