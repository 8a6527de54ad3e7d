"""Share people out among the faces of each photo: nobody is twice in one photo. Arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_NEVER = 1e6  # cost of what must not be: more than all similarities of a photo together
_TINY = 1e-9  # a similarity at the threshold is worth a name, and of equal faces the first is worth more


class Reason(IntEnum):
    """Why a face has the name that it has, or none."""

    NAMED = 0
    NOBODY_NEAR = 1
    """Nobody is similar enough."""
    AMBIGUOUS = 2
    """Two people are about equally similar."""
    POOR_FACE = 3
    """Nobody is similar enough, and the face is too small or unsure to tell."""
    TAKEN = 4
    """The most similar person is given to a surer face of the photo, or is barred for this face."""


@dataclass(frozen=True)
class Candidates:
    """The C most similar people of N faces, best first; all arrays are (N, C).

    Attributes:
        people: any numbers of at least 0.
        similarity: falling in each row.
        allowed: False where the face is known not to be this person.
    """

    people: Ints
    similarity: Floats
    allowed: NDArray[np.bool_]


def share_out(
    candidates: Candidates, photo: Ints, threshold: float, min_margin: float
) -> tuple[Ints, NDArray[np.int8]]:
    """Choose for each photo the names whose similarities are together the furthest above the threshold.

    Each face has the option to stay unknown. It can only get a person who is within ``min_margin`` of its
    most similar one, as twins are: whoever is left over is no better guess because the right one is gone.

    Args:
        photo: (N,) faces of one photo have the same number.
        threshold: similarity that a name takes.
        min_margin: if the best choice without this name is less than this behind, the face stays unknown.
    Returns:
        (person or -1, reason), (N,) each. Of equals in one photo the first comes first.
    """
    person = np.full(len(photo), -1, np.int64)
    reason = np.full(len(photo), Reason.NOBODY_NEAR, np.int8)
    if not candidates.people.shape[1]:
        return person, reason
    near = np.flatnonzero(candidates.similarity[:, 0] >= threshold)
    near = near[np.argsort(photo[near], kind="stable")]
    _, which, counts = np.unique(photo[near], return_inverse=True, return_counts=True)
    plain = _plain(candidates, near, min_margin) & _distinct(which, candidates.people[near, 0])
    settled = np.bincount(which, plain, minlength=len(counts)) == counts
    easy = near[settled[which]]
    person[easy], reason[easy] = candidates.people[easy, 0], Reason.NAMED
    ends = np.cumsum(counts)
    for group in np.flatnonzero(~settled):
        faces = near[ends[group] - counts[group] : ends[group]]
        person[faces], reason[faces] = _share_out_one(candidates, faces, threshold, min_margin)
    return person, reason


def _plain(candidates: Candidates, faces: Ints, min_margin: float) -> NDArray[np.bool_]:
    """Say which faces have one possible person only, taken by themselves."""
    plain = candidates.allowed[faces, 0]
    if candidates.people.shape[1] > 1:
        plain = plain & (candidates.similarity[faces, 0] - candidates.similarity[faces, 1] >= min_margin)
    return np.asarray(plain)


def _distinct(photo: Ints, people: Ints) -> NDArray[np.bool_]:
    """Say for which faces no other face of the photo has the same person."""
    _, which, counts = np.unique(np.stack([photo, people], axis=1), axis=0, return_inverse=True, return_counts=True)
    return np.asarray(counts[which.reshape(-1)] == 1)


def _share_out_one(
    candidates: Candidates, faces: Ints, threshold: float, min_margin: float
) -> tuple[Ints, NDArray[np.int8]]:
    """Share out the people of one photo among F faces: (person or -1, reason), (F,) each."""
    alike = candidates.similarity[faces].astype(np.float64)
    possible = candidates.allowed[faces] & (alike > alike[:, :1] - min_margin)
    possible[:, 0] = candidates.allowed[faces, 0]
    ids, columns = np.unique(candidates.people[faces][possible], return_inverse=True)
    gains = np.full((len(faces), len(ids)), -_NEVER)
    worth = alike - threshold + np.linspace(2 * _TINY, _TINY, len(faces))[:, None]
    gains[np.nonzero(possible)[0], columns.reshape(-1)] = worth[possible]
    worthy = np.where(gains > 0, gains, -_NEVER)
    chosen, total = _best_choice(worthy, np.zeros(len(faces)))
    ambiguous = np.zeros(len(faces), bool)
    for face in np.flatnonzero((chosen >= 0) & (possible.sum(axis=1) > 1)):
        others, unknown = worthy.copy(), np.zeros(len(faces))
        others[face] = gains[face]
        others[face, chosen[face]] = unknown[face] = -_NEVER
        ambiguous[face] = total - _best_choice(others, unknown)[1] < min_margin
    person = np.where((chosen >= 0) & ~ambiguous, np.append(ids, -1)[chosen], -1)
    best = candidates.people[faces, 0]
    taken = np.isin(best, person) | ~candidates.allowed[faces, 0]
    reason = np.where(taken & ~ambiguous, Reason.TAKEN, Reason.AMBIGUOUS)
    return person, np.where(person >= 0, Reason.NAMED, reason).astype(np.int8)


def _best_choice(gains: NDArray[np.float64], unknown: NDArray[np.float64]) -> tuple[Ints, float]:
    """Choose a column or nothing for each row, no column twice: (columns or -1, sum of gains)."""
    from scipy.optimize import linear_sum_assignment  # half a second that most questions need not wait for

    every = np.full((len(gains), len(gains)), -_NEVER)
    np.fill_diagonal(every, unknown)
    table = np.concatenate([gains, every], axis=1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return np.where(columns < gains.shape[1], columns, -1).astype(np.int64), float(table[rows, columns].sum())
