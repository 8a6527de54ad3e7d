"""How many cells to search: until the first neighbour is, in person, whom exact search finds. Opens no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from indexer.search.faiss_calls import Floats, Ints

TARGET = 0.998
"""Share of faces whose first neighbour must have the identity that it has by exact search."""
AIM = 0.999
"""What is aimed at in the sample, which tells that share to about .001."""
SAMPLE = 2_000
_CANDIDATES = (128, 512)  # compared exactly; the second where the first are not enough
_STEP = 2**0.25  # from one number of cells that is tried to the next

# For a number of cells and of candidates: what the sample finds, (similarities (S, 2), rows (S, 2)).
Search = Callable[[int, int], tuple[Floats, Ints]]


@dataclass(frozen=True)
class Tuning:
    """How a base is searched, and what that was measured to find.

    Attributes:
        probes: cells that are searched.
        candidates: faces that are then compared exactly.
        agreement: share of the sample whose first neighbour has the identity that exact search finds.
        row_agreement: share of the sample whose first neighbour is the same face.
        sample: faces in the sample.
        faces: in the base when it was measured.
        floor: see ``identity_agreement``.
    """

    probes: int
    candidates: int
    agreement: float
    row_agreement: float
    sample: int
    faces: int
    floor: float


def tuning_sample(faces: int, seed: int) -> Ints:
    """Draw the rows that are asked: int64 (S,), rising, ``SAMPLE`` of them or all."""
    drawn = np.random.default_rng([seed, SAMPLE]).choice(faces, min(faces, SAMPLE), replace=False)
    return np.sort(drawn).astype(np.int64)


@dataclass(frozen=True)
class Question:
    """What is asked to find out how well a base does.

    Attributes:
        asked: (S,) rows of the sample.
        exact: its two nearest by exact search, (similarities (S, 2), rows (S, 2)).
        labels: int64 (N,), who is known to be whom: a named person or a group; -1 where nobody knows. None: nowhere.
        floor: below this similarity nobody would be recognised.
        faces: N.
    """

    asked: Ints
    exact: tuple[Floats, Ints]
    labels: Ints | None
    floor: float
    faces: int


def choose_probes(search: Search, question: Question, cells: int) -> Tuning:
    """Search more and more of the cells until the aim is reached; if it never is, as many as did best."""
    first = first_other(question.asked, *question.exact)
    best: Tuning | None = None
    for candidates in _CANDIDATES:
        for probes in _ladder(cells):
            found = first_other(question.asked, *search(probes, candidates))
            agreement = identity_agreement(first, found, question.labels, question.floor)
            tried = Tuning(
                probes,
                candidates,
                agreement,
                row_agreement=_share(first[1] == found[1]),
                sample=len(question.asked),
                faces=question.faces,
                floor=question.floor,
            )
            if best is None or agreement > best.agreement:
                best = tried
            if agreement >= AIM:
                return tried
    assert best is not None  # the ladder has a step
    return best


def first_other(asked: Ints, similarities: Floats, rows: Ints) -> tuple[Floats, Ints]:
    """Give the first neighbour that is not the face itself: (similarities (S,), rows (S,)).

    Args:
        asked: (S,) rows of the faces that were asked.
        similarities, rows: (S, 2), their two nearest, best first.
    """
    column = (rows[:, 0] == asked).astype(np.int64)[:, None]
    return np.take_along_axis(similarities, column, 1)[:, 0], np.take_along_axis(rows, column, 1)[:, 0]


def identity_agreement(
    exact: tuple[Floats, Ints], found: tuple[Floats, Ints], labels: Ints | None, floor: float
) -> float:
    """Give the share of faces whose first neighbour has the same identity in both answers.

    It has if it is the same face; if it is known to be the same person (``labels``); or if both are less similar
    than ``floor``: then it is nobody in either answer, and which stranger resembles a stranger most means nothing.

    Args:
        exact, found: (similarities (S,), rows (S,)); row -1 is nobody.
        labels: int64 (N,), -1 where nobody knows; None: nowhere.
        floor: the similarity below which nobody would be recognised.
    """
    same = exact[1] == found[1]
    if labels is not None and len(labels):
        there = (exact[1] >= 0) & (found[1] >= 0)
        same |= there & (labels[exact[1]] >= 0) & (labels[exact[1]] == labels[found[1]])
    return _share(same | ((exact[0] < floor) & (found[0] < floor)))


def _ladder(cells: int) -> Iterator[int]:
    """Numbers of cells to try, rising to all of them."""
    probes = max(1.0, cells / 64)
    while probes < cells:
        yield int(probes)
        probes = max(int(probes) + 1, probes * _STEP)
    yield cells


def _share(agreed: np.ndarray) -> float:
    return float(agreed.mean()) if len(agreed) else 1.0
