"""How many cells to search: until the first neighbour is, in person, whom exact search finds. Opens no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from indexer.search.faiss_calls import Floats, Ints

TARGET = 0.998
"""Share of faces whose first neighbour must have the identity that it has by exact search."""
AIM = 0.999
"""What is aimed at in the sample, which tells that share to about .001."""
SAMPLE = 2_000
_CANDIDATES = (128, 512)  # compared exactly; the second where the first are not enough
_FIRST_CANDIDATES = 32  # of a first look; more found no more
_STEP = 2**0.25  # from one number of cells that is tried to the next

# For a number of cells and of candidates: what the sample finds, (similarities (S, 2), rows (S, 2)).
Search = Callable[[int, int], tuple[Floats, Ints]]


@dataclass(frozen=True)
class FirstLook:
    """A search of few cells, which is all for queries whose neighbours are more similar than ``sure``.

    Attributes:
        probes, candidates: as in ``Tuning``.
        sure: beyond this similarity nobody of the sample was mistaken for another person.
    """

    probes: int
    candidates: int
    sure: float


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
        first_look: what is done before, and is often enough; None if it would not pay.
    """

    probes: int
    candidates: int
    agreement: float
    row_agreement: float
    sample: int
    faces: int
    floor: float
    first_look: FirstLook | None = None


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

    @property
    def first(self) -> tuple[Floats, Ints]:
        """The first neighbour by exact search, the face itself left out: (similarities (S,), rows (S,))."""
        return first_other(self.asked, *self.exact)


def choose_probes(search: Search, question: Question, cells: int) -> Tuning:
    """Search more and more of the cells until the aim is reached; if it never is, as many as did best.

    Then see from which first look on, into fewer cells, the fewest are searched all in all.
    """
    best: Tuning | None = None
    for candidates, probes in ((many, probes) for many in _CANDIDATES for probes in _ladder(cells)):
        found = first_other(question.asked, *search(probes, candidates))
        tried = Tuning(
            probes,
            candidates,
            agreement=identity_agreement(question.first, found, question.labels, question.floor),
            row_agreement=_share(question.first[1] == found[1]),
            sample=len(question.asked),
            faces=question.faces,
            floor=question.floor,
        )
        if best is None or tried.agreement > best.agreement:
            best, best_found = tried, found
        if best.agreement >= AIM:
            break
    assert best is not None  # the ladder has a step
    return _add_first_look(search, question, best, best_found, cells)


def _add_first_look(
    search: Search, question: Question, tuning: Tuning, found: tuple[Floats, Ints], cells: int
) -> Tuning:
    """Add the first look that saves most, of those that make no mistake which the whole search does not make."""
    right = same_identity(question.first, found, question.labels, question.floor)
    chosen, fewest = tuning, float(tuning.probes)
    for probes in _ladder(cells):
        if probes >= fewest:
            break
        seen = first_other(question.asked, *search(probes, _FIRST_CANDIDATES))
        wrong = right & ~same_identity(question.first, seen, question.labels, question.floor)
        look = FirstLook(probes, _FIRST_CANDIDATES, sure=max([question.floor, *seen[0][wrong].tolist()]))
        settled = seen[0] > look.sure
        in_the_mean = probes + (1 - _share(settled)) * tuning.probes
        if in_the_mean < fewest:
            fewest = in_the_mean
            both = np.where(settled, seen[0], found[0]), np.where(settled, seen[1], found[1])
            agreement = identity_agreement(question.first, both, question.labels, question.floor)
            same_row = _share(question.first[1] == both[1])
            chosen = replace(tuning, first_look=look, agreement=agreement, row_agreement=same_row)
    return chosen


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
    return _share(same_identity(exact, found, labels, floor))


def same_identity(
    exact: tuple[Floats, Ints], found: tuple[Floats, Ints], labels: Ints | None, floor: float
) -> NDArray[np.bool_]:
    """Tell for each face, (S,), whether its first neighbour has the same identity: see ``identity_agreement``."""
    same = exact[1] == found[1]
    if labels is not None and len(labels):
        there = (exact[1] >= 0) & (found[1] >= 0)
        same |= there & (labels[exact[1]] >= 0) & (labels[exact[1]] == labels[found[1]])
    return np.asarray(same | ((exact[0] < floor) & (found[0] < floor)), bool)


def _ladder(cells: int) -> Iterator[int]:
    """Numbers of cells to try, rising to all of them."""
    probes = max(1.0, cells / 64)
    while probes < cells:
        yield int(probes)
        probes = max(int(probes) + 1, probes * _STEP)
    yield cells


def _share(agreed: np.ndarray) -> float:
    return float(agreed.mean()) if len(agreed) else 1.0
