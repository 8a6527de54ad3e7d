"""Groups of faces against the true people: pairwise and BCubed precision and recall, mutual information.

Everything is computed from the cells of the contingency table that are not empty, so memory grows with
the number of faces. The numbers that name people and groups do not matter. A face whose group is -1 is
alone: each such face is a group of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision, recall, and their harmonic mean."""

    precision: float
    recall: float

    @property
    def f(self) -> float:
        """F1, 0 where both are 0."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(frozen=True)
class Contingency:
    """How many faces of which person lie in which group: one row for each cell that is not empty."""

    cell_person: NDArray[np.int64]  # (C,) in 0 … people - 1
    cell_group: NDArray[np.int64]  # (C,) in 0 … groups - 1
    cell_faces: NDArray[np.int64]  # (C,) at least 1
    person_faces: NDArray[np.int64]  # (people,)
    group_faces: NDArray[np.int64]  # (groups,)

    @property
    def faces(self) -> int:
        """Number of all faces."""
        return int(self.cell_faces.sum())


@dataclass(frozen=True)
class ClusteringFigures:
    """All figures of one clustering."""

    pairwise: PrecisionRecall
    bcubed: PrecisionRecall
    nmi: float
    groups: int  # each lone face counts as one
    people: int


def contingency(people: ArrayLike, groups: ArrayLike) -> Contingency:
    """Count the faces of each person in each group.

    Args:
        people: int (N,), N >= 1, the true person of each face, not negative.
        groups: int (N,), the group that was given to each face; -1: alone.
    Raises:
        ValueError: if shapes differ, there is no face, a label is not a whole number, a person is
            negative, or a group is below -1.
    """
    true, given = _checked_labels(people, "people", lowest=0), _checked_labels(groups, "groups", lowest=-1)
    if true.shape != given.shape:
        raise ValueError(f"people holds {len(true)} faces, but groups holds {len(given)}")
    alone = given == -1
    given = given.copy()
    given[alone] = given.max() + 1 + np.arange(np.count_nonzero(alone))
    _, person_of, person_faces = np.unique(true, return_inverse=True, return_counts=True)
    _, group_of, group_faces = np.unique(given, return_inverse=True, return_counts=True)
    cells, cell_faces = np.unique(person_of * len(group_faces) + group_of, return_counts=True)
    cell_person, cell_group = np.divmod(cells, len(group_faces))
    return Contingency(cell_person, cell_group, cell_faces, person_faces, group_faces)


def clustering_figures(people: ArrayLike, groups: ArrayLike) -> ClusteringFigures:
    """Compute every figure of one clustering; arguments and errors as ``contingency``."""
    table = contingency(people, groups)
    return ClusteringFigures(
        pairwise=pairwise(table),
        bcubed=bcubed(table),
        nmi=normalised_mutual_information(table),
        groups=len(table.group_faces),
        people=len(table.person_faces),
    )


def pairwise(table: Contingency) -> PrecisionRecall:
    """Compare pairs of faces: of those put together, how many belong together, and of those that belong, how many are.

    Where no pair is put together precision is 1 (nothing wrong was said), and where no two faces
    belong together recall is 1.
    """
    right = _pairs(table.cell_faces)
    together, belonging = _pairs(table.group_faces), _pairs(table.person_faces)
    return PrecisionRecall(right / together if together else 1.0, right / belonging if belonging else 1.0)


def bcubed(table: Contingency) -> PrecisionRecall:
    """Average, over faces, how pure the face's group is and how much of its person the group holds.

    Bagga and Baldwin 1998; with extended definitions in Amigó et al. 2009. The face itself counts.
    """
    squares = table.cell_faces.astype(np.float64) ** 2
    precision = float(np.sum(squares / table.group_faces[table.cell_group])) / table.faces
    recall = float(np.sum(squares / table.person_faces[table.cell_person])) / table.faces
    return PrecisionRecall(precision, recall)


def normalised_mutual_information(table: Contingency) -> float:
    """Divide the mutual information by the mean of both entropies (arithmetic normalisation); in [0, 1].

    1 where there is one person and one group.
    """
    faces = table.faces
    expected = table.person_faces[table.cell_person].astype(np.float64) * table.group_faces[table.cell_group].astype(
        np.float64
    )
    shared = float(np.sum(table.cell_faces / faces * np.log(table.cell_faces * float(faces) / expected)))
    mean_entropy = (_entropy(table.person_faces) + _entropy(table.group_faces)) / 2
    return min(max(shared / mean_entropy, 0.0), 1.0) if mean_entropy else 1.0


def _pairs(counts: NDArray[np.int64]) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _entropy(counts: NDArray[np.int64]) -> float:
    if len(counts) == 1:
        return 0.0
    shares = counts / counts.sum()
    return float(-np.sum(shares * np.log(shares)))


def _checked_labels(labels: ArrayLike, name: str, *, lowest: int) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}, not (N,) with at least one face")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} holds {array.dtype}, not whole numbers")
    if array.min() < lowest:
        row = int(np.argmin(array))
        raise ValueError(f"{name}[{row}] is {array[row]}, below {lowest}")
    return array.astype(np.int64)
