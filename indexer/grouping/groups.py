"""The groups of an archive, as the last clustering left them. Derived: may be deleted at any time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILE_NAME = "groups.parquet"
LINKS_NAME = "links.parquet"
NOBODY = -1

_ABOUT = b"visavis"
_COLUMNS = {"face_id": pa.int64(), "group": pa.int64(), "proposed": pa.int64()}
_COLUMNS |= {"sureness": pa.float32(), "chance": pa.float32(), "offset": pa.float32()}
_FORMERLY = "formerly"  # files of before have no such column


class GroupsError(Exception):
    """Groups that were never made, or a group that is not there."""


class DamagedGroups(GroupsError):
    """A file of the groups that is not what was written. All that it held is derived, but for the groups' numbers."""


@dataclass(frozen=True)
class Groups:
    """Which group each face is in, and who it may be.

    Attributes:
        face_ids: int64 (N,).
        groups: int64 (N,), numbers from 1 on; 0 where a face stands alone, or with somebody who has a name.
        proposed: int64 (N,), the person with whose faces an unnamed face was grouped; ``NOBODY`` for others.
        sureness: float32 (N,), how often a stranger would be less like the proposed person, by the recogniser; 0 if
            it knows somebody who is more alike, or nobody is proposed.
        chance: float32 (N,), how likely a face is rightly in its group, or with the person proposed; 0 alone.
        offset: float32 (N,), cosine: ``indexer.grouping.neighbour_graph.Background.offset``.
        formerly: int64 (N,), the number of the group that a face was in and that is no more; 0 where there is none.
        next_number: the first number that no group ever had.
        threshold: similarity from which faces were linked; nan if unknown.
        spread: ``indexer.grouping.neighbour_graph.Background.spread``; nan if unknown.
    """

    face_ids: np.ndarray
    groups: np.ndarray
    proposed: np.ndarray
    sureness: np.ndarray
    chance: np.ndarray
    offset: np.ndarray
    formerly: np.ndarray
    next_number: int
    threshold: float
    spread: float

    def of(self, face_ids: np.ndarray) -> np.ndarray:
        """Give the group of each of ``face_ids`` (int64 (M,)): int64 (M,), 0 where there is none."""
        return self.column(self.groups, face_ids, 0)

    def column(self, values: np.ndarray, face_ids: np.ndarray, missing: int) -> np.ndarray:
        """Give one of the columns for each of ``face_ids`` (int64 (M,)); ``missing`` for faces that came later."""
        if not len(self.face_ids):
            return np.full(len(face_ids), missing, values.dtype)
        order = np.argsort(self.face_ids)
        places = np.minimum(np.searchsorted(self.face_ids, face_ids, sorter=order), len(order) - 1)
        found = order[places]
        return np.where(self.face_ids[found] == face_ids, values[found], values.dtype.type(missing))


def only_groups(face_ids: np.ndarray, groups: np.ndarray) -> Groups:
    """Know the groups of faces, and nothing else about them."""
    nobody, unknown = np.full(len(groups), NOBODY, np.int64), np.zeros(len(groups), np.float32)
    next_number, never = int(groups.max(initial=0)) + 1, np.zeros(len(groups), np.int64)
    return Groups(face_ids, groups, nobody, unknown, unknown, unknown, never, next_number, float("nan"), float("nan"))


def no_groups() -> Groups:
    """What an album has that was never grouped."""
    return only_groups(np.empty(0, np.int64), np.empty(0, np.int64))


def keep_numbers(
    labels: np.ndarray, former: np.ndarray, next_number: int, formerly: np.ndarray | None = None
) -> np.ndarray:
    """Number new groups so that a group keeps its number when the clustering runs again.

    A new group takes the number of the former group with which it shares most faces; where two
    want the same number, the one that shares more gets it. Then groups that were gone, as their
    faces had a name or were grouped otherwise, get their number back: if nobody has it, and half
    of the faces that were in them are together again. Others get new numbers.

    Args:
        labels: int64 (N,), the new grouping, any numbers from 0 on; −1 for a face alone.
        former: int64 (N,), the former group of each face; 0 for none.
        next_number: the first number that was never used.
        formerly: int64 (N,), the group that is no more of each face, see ``remember``; None if nothing is remembered.
    Returns:
        int64 (N,): numbers from 1 on; 0 for a face alone.
    """
    formerly = np.zeros(len(labels), np.int64) if formerly is None else formerly
    number_of: dict[int, int] = {}
    pairs, shared = _shared(labels, former)
    always, theirs = _shared(labels, np.where(formerly > 0, 0, former))  # faces that had no other group before
    of_always = dict(zip(map(tuple, always.T.tolist()), theirs.tolist(), strict=True))
    native = np.array([of_always.get(tuple(pair), 0) for pair in pairs.T.tolist()], np.int64)
    _take(number_of, pairs[:, np.lexsort((pairs[1], -native, -shared))])
    pairs, shared = _shared(labels, formerly)
    again = 2 * shared >= np.bincount(formerly, minlength=1)[pairs[1]]
    _take(number_of, pairs[:, again][:, np.lexsort((pairs[1, again], -shared[again]))])
    present, sizes = np.unique(labels[labels >= 0], return_counts=True)
    for label in present[np.argsort(-sizes, kind="stable")]:
        if int(label) not in number_of:
            number_of[int(label)] = next_number
            next_number += 1
    numbers = np.zeros(int(labels.max(initial=-1)) + 2, np.int64)  # the last one stands for the label −1
    numbers[list(number_of)] = list(number_of.values())
    return np.asarray(numbers[labels])


def remember(formerly: np.ndarray, former: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Note of each face the number of the group that it was in and that is no more; of several the first that went.

    Args:
        formerly: int64 (N,), what was noted before.
        former, now: int64 (N,), the groups before and after a change; 0 for none.
    Returns:
        int64 (N,), 0 where there is none.
    """
    went = np.where(np.isin(formerly, now), 0, formerly)
    last = np.where(went > 0, went, former)
    return np.where(np.isin(last, now), 0, last)


def _shared(labels: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the faces that a label and a number share: (int64 (2, P) pairs of them, int64 (P,) how many)."""
    both = (labels >= 0) & (numbers > 0)
    return np.unique(np.stack([labels[both], numbers[both]]), axis=1, return_counts=True)


def _take(number_of: dict[int, int], pairs: np.ndarray) -> None:
    """Give labels their numbers, as long as neither has one: int64 (2, P), the first pair first."""
    taken = set(number_of.values())
    for label, number in pairs.T.tolist():
        if label not in number_of and number not in taken:
            number_of[label] = number
            taken.add(number)


def group_number(text: str, groups: np.ndarray) -> int:
    """Read the number of a group that is there, as a user writes it: "3" or "#3".

    Raises:
        GroupsError: if it is no number, or no group has it.
    """
    number = text.removeprefix("#")
    if not number.isdecimal():
        raise GroupsError(f"nobody here is called {text!r}: `visavis people` lists people and groups")
    if not (int(number) > 0 and (groups == int(number)).any()):
        raise GroupsError(f"there is no group {number}: `visavis people` lists people and groups")
    return int(number)


def write_groups(groups: Groups) -> bytes:
    """Give the content of the groups file; the caller writes it."""
    values = (groups.face_ids, groups.groups, groups.proposed, groups.sureness, groups.chance, groups.offset)
    columns = {name: pa.array(v, kind) for (name, kind), v in zip(_COLUMNS.items(), values, strict=True)}
    columns[_FORMERLY] = pa.array(groups.formerly, pa.int64())
    about = {"next_number": groups.next_number, "threshold": groups.threshold, "spread": groups.spread}
    return _parquet(pa.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about)}))


def read_groups(path: Path) -> Groups:
    """Read the groups file; no groups at all if there is none yet. One of version 0.1 has the groups only.

    Raises:
        DamagedGroups: if it is damaged.
    """
    if not path.exists():
        return no_groups()
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
        about = (table.schema.metadata or {}).get(_ABOUT)
        if about is None:
            return only_groups(table.column("face_id").to_numpy(), table.column("group").to_numpy())
        ids, groups, proposed, sureness, chance, offset = (table.column(name).to_numpy() for name in _COLUMNS)
        known = _FORMERLY in table.column_names
        formerly = table.column(_FORMERLY).to_numpy() if known else np.zeros(len(ids), np.int64)
        said = json.loads(about)
        numbers = int(said["next_number"]), float(said["threshold"]), float(said["spread"])
        return Groups(ids, groups, proposed, sureness, chance, offset, formerly, *numbers)
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise DamagedGroups(f"{path} is damaged ({error}): run `visavis cluster`, which makes it anew") from error


def write_links(pairs: np.ndarray) -> bytes:
    """Give the content of the links file: int64 (L, 2), face_ids of different groups that are alike all the same."""
    columns = {name: pa.array(pairs[:, place], pa.int64()) for place, name in enumerate(("face_a", "face_b"))}
    return _parquet(pa.table(columns))


def read_links(path: Path) -> np.ndarray:
    """Read the links file: int64 (L, 2).

    Raises:
        GroupsError: if there is none: the album was never grouped, or by version 0.1.
        DamagedGroups: if it is damaged.
    """
    if not path.exists():
        raise GroupsError("there is nothing to review yet: run `visavis cluster` first")
    try:
        table = pq.read_table(path, page_checksum_verification=True, partitioning=None)
        return np.stack([table.column("face_a").to_numpy(), table.column("face_b").to_numpy()], axis=1)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise DamagedGroups(f"{path} is damaged ({error}): run `visavis cluster`, which makes it anew") from error


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, write_page_checksum=True)
    return bytes(sink.getvalue().to_pybytes())
