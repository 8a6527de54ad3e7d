"""The groups of unnamed faces, as the last clustering left them. Derived: may be deleted at any time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILE_NAME = "groups.parquet"


class GroupsError(Exception):
    """Groups that were never made, or a group that is not there."""


@dataclass(frozen=True)
class Groups:
    """Which group each face is in.

    Attributes:
        face_ids: int64 (N,).
        groups: int64 (N,), numbers from 1 on; 0 where a face stands alone.
    """

    face_ids: np.ndarray
    groups: np.ndarray

    def of(self, face_ids: np.ndarray) -> np.ndarray:
        """Give the group of each of ``face_ids`` (int64 (M,)): int64 (M,), 0 where there is none."""
        if not len(self.face_ids):
            return np.zeros(len(face_ids), np.int64)
        order = np.argsort(self.face_ids)
        places = np.minimum(np.searchsorted(self.face_ids, face_ids, sorter=order), len(order) - 1)
        found = order[places]
        return np.where(self.face_ids[found] == face_ids, self.groups[found], 0)


def keep_numbers(labels: np.ndarray, former: np.ndarray, next_number: int) -> np.ndarray:
    """Number new groups so that a group keeps its number when the clustering runs again.

    A new group takes the number of the former group with which it shares most faces; where two
    want the same number, the one that shares more gets it. Others get new numbers.

    Args:
        labels: int64 (N,), the new grouping, any numbers from 0 on; −1 for a face alone.
        former: int64 (N,), the former group of each face; 0 for none.
        next_number: the first number that was never used.
    Returns:
        int64 (N,): numbers from 1 on; 0 for a face alone.
    """
    both = (labels >= 0) & (former > 0)
    pairs, shared = np.unique(np.stack([labels[both], former[both]]), axis=1, return_counts=True)
    number_of: dict[int, int] = {}
    taken: set[int] = set()
    for place in np.lexsort((pairs[1], -shared)):
        label, number = (int(v) for v in pairs[:, place])
        if label not in number_of and number not in taken:
            number_of[label] = number
            taken.add(number)
    present, sizes = np.unique(labels[labels >= 0], return_counts=True)
    for label in present[np.argsort(-sizes, kind="stable")]:
        if int(label) not in number_of:
            number_of[int(label)] = next_number
            next_number += 1
    return np.array([number_of.get(int(label), 0) for label in labels], np.int64)


def write_groups(groups: Groups) -> bytes:
    """Give the content of the groups file; the caller writes it."""
    sink = pa.BufferOutputStream()
    table = pa.table({"face_id": pa.array(groups.face_ids, pa.int64()), "group": pa.array(groups.groups, pa.int64())})
    pq.write_table(table, sink, write_page_checksum=True)
    return bytes(sink.getvalue().to_pybytes())


def read_groups(path: Path) -> Groups:
    """Read the groups file; no groups at all if there is none yet.

    Raises:
        GroupsError: if it is damaged.
    """
    if not path.exists():
        return Groups(np.empty(0, np.int64), np.empty(0, np.int64))
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
        return Groups(table.column("face_id").to_numpy(), table.column("group").to_numpy())
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise GroupsError(f"{path} is damaged ({error}): delete it and run `visavis cluster` again") from error
