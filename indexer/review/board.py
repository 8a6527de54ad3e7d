"""What is settled and what is open while somebody answers questions. Arrays in, arrays out; opens no file.

A *bundle* is faces that are taken for one person: by a name, a fact or a group. Its number is that of its first row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

Ints = npt.NDArray[np.int64]
Key = tuple[int, int]

NOBODY = -1


@dataclass(frozen=True)
class Board:
    """What is known of N faces at one moment. Answers make a new board, so going back is keeping the old one.

    Attributes:
        bundle: int64 (N,), the bundle of each face; -1 for an ignored face, which takes no part.
        person: int64 (N,), the named person of each face, the same for a whole bundle; ``NOBODY`` if it has no name.
        rejected: int64 (R, 2), rows and persons who they are not.
        different: int64 (C, 2), rows of faces that are two people.
        skipped: questions not to be asked again: two bundles, the lower number first, or (bundle, -1) for its name.
        urgent: two bundles that were one, likewise, of which it is to be asked first whether they are the same.
    """

    bundle: Ints
    person: Ints
    rejected: Ints
    different: Ints
    skipped: frozenset[Key] = frozenset()
    urgent: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Said:
    """What humans said, int64 (M, 2): in ``rejected`` pairs of a row and a person, in the other two of rows."""

    rejected: Ints
    same: Ints
    different: Ints


def lay_out(
    groups: Ints, person: Ints, ignored: npt.NDArray[np.bool_], said: Said, typical: npt.NDArray[np.floating]
) -> Board:
    """Make the board of an archive.

    Args:
        groups: (N,) numbers from 1 on; 0 for a face alone.
        person: (N,) named person; ``NOBODY`` without a name.
        ignored: (N,) faces that take no part.
        typical: (N,) any numbers, higher for a face that stands better for its group: of two in a group that were said
            to be different after the groups were made, the one that stands less well leaves it.
    """
    rows = np.arange(len(groups))
    inside = groups[said.different[:, 0]] == groups[said.different[:, 1]]
    inside &= groups[said.different[:, 0]] > 0
    one, other = said.different[inside].T
    grouped = groups.copy()
    grouped[np.where(typical[one] < typical[other], one, other)] = 0
    joins = [_follow(np.where(person >= 0, person, NOBODY), rows), _follow(np.where(person < 0, grouped, 0) - 1, rows)]
    ends = np.concatenate([*joins, said.same])
    links = sparse.coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(rows), len(rows)))
    part = connected_components(links, directed=False)[1] if len(rows) else np.empty(0, np.int64)
    first = np.unique(part, return_index=True)[1]
    bundle = np.where(ignored, -1, first[part]).astype(np.int64)
    owner = np.full(len(rows) + 1, NOBODY, np.int64)  # the last one stands for the bundle -1
    np.maximum.at(owner, bundle, person)
    owner[-1] = NOBODY
    return Board(_by_first_row(bundle), owner[bundle], said.rejected, said.different)


def rows_of(board: Board, bundle: int) -> Ints:
    """List the faces of a bundle, in the order of rows."""
    return np.flatnonzero(board.bundle == bundle)


def give_name(board: Board, rows: Ints, person: int) -> Board:
    """Put faces to a person, new or known."""
    rows = np.union1d(rows, np.flatnonzero(board.person == person))
    people = board.person.copy()
    people[rows] = person
    return replace(_rebundled(board, rows, np.full(len(rows), rows[0])), person=people)


def join(board: Board, bundles: Ints) -> Board:
    """Take bundles for one person; at most one of them has a name, and the others get it."""
    rows = np.flatnonzero(np.isin(board.bundle, bundles))
    people = board.person.copy()
    people[rows] = people[rows].max()
    return replace(_rebundled(board, rows, np.full(len(rows), rows[0])), person=people)


def take_out(board: Board, rows: Ints) -> Board:
    """Take faces out of their bundles; each stands alone, without a name."""
    people = board.person.copy()
    people[rows] = NOBODY
    return replace(_rebundled(board, rows, rows), person=people)


def part(board: Board, rows: Ints) -> Board:
    """Part an unnamed bundle in two, ``rows`` and the rest; ask next whether they are the same after all."""
    apart = _rebundled(board, rows, np.full(len(rows), rows[0]))
    rest = np.setdiff1d(rows_of(board, int(board.bundle[rows[0]])), rows)
    one, other = sorted((int(apart.bundle[rows[0]]), int(apart.bundle[rest[0]])))
    return replace(apart, urgent=((one, other), *apart.urgent))


def tell_apart(board: Board, pairs: Ints) -> Board:
    """Say of pairs of rows, int64 (M, 2), that they are two people."""
    return replace(board, different=np.concatenate([board.different, pairs]))


def reject(board: Board, rows: Ints, person: int) -> Board:
    """Say of faces that they are not a person."""
    pairs = np.stack([rows, np.full(len(rows), person)], axis=1)
    return replace(board, rejected=np.concatenate([board.rejected, pairs]))


def skip(board: Board, keys: frozenset[Key]) -> Board:
    """Ask these questions no more."""
    urgent = tuple(key for key in board.urgent if key not in keys)
    return replace(board, skipped=board.skipped | keys, urgent=urgent)


def _follow(group: Ints, rows: Ints) -> Ints:
    """Link each row with the next of its group, int64 (M, 2); group -1 is none."""
    members = rows[group >= 0]
    members = members[np.argsort(group[members], kind="stable")]
    follows = np.flatnonzero(group[members[1:]] == group[members[:-1]])
    return np.stack([members[follows], members[follows + 1]], axis=1)


def _rebundled(board: Board, rows: Ints, numbers: Ints) -> Board:
    """Move ``rows`` to bundles of their own, and drop the urgent questions about bundles that are no more."""
    bundle = board.bundle.copy()
    touched = np.unique(bundle[rows])
    bundle[rows] = numbers + len(bundle)  # numbers that no bundle has yet
    changed = np.flatnonzero(np.isin(bundle, touched) | (bundle >= len(bundle)))
    _, first, inverse = np.unique(bundle[changed], return_index=True, return_inverse=True)
    bundle[changed] = changed[first][inverse]
    there = set(np.unique(bundle[changed]).tolist()) | set(touched.tolist())
    urgent = tuple(key for key in board.urgent if not there & set(key))
    return replace(board, bundle=bundle, urgent=urgent)


def _by_first_row(bundle: Ints) -> Ints:
    """Number bundles by their first row that takes part."""
    rows = np.flatnonzero(bundle >= 0)
    _, first, inverse = np.unique(bundle[rows], return_index=True, return_inverse=True)
    numbered = bundle.copy()
    numbered[rows] = rows[first][inverse]
    return numbered
