"""Divide faces that were taken for one person into the people that they may be. Opens no file.

Average linkage (Sokal and Michener 1958): the two parts that are most alike, face by face on average, become one, until
so many are left as were asked for. Faces that were said to be one person are one part from the start.
"""

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = npt.NDArray[np.int64]

MOST_LINKED = 2000
"""Faces of which every two are compared; any others join the part that they are most like on average."""
_LEAST = 1e-7
"""Cosine distance of two faces that were not said to be one person; what float32 rounds is of this size."""


def divide(embeddings: npt.NDArray[np.float32], unit: Ints, apart: Ints, parts: int = 2) -> Ints:
    """Divide faces into parts.

    Args:
        embeddings: float32 (N, D), unit rows.
        unit: int64 (N,), 0..U-1: faces of one number are one person, and come into one part.
        apart: int64 (C, 2), rows of faces that are two people: they share a part only where there are too few parts,
            or one unit.
        parts: how many, 2 to U.
    Returns:
        int64 (N,), the part of each face, 0..parts-1 from the largest part to the smallest.
    Raises:
        ValueError: if there are fewer units than parts, or fewer than two parts.
    """
    units = int(unit.max(initial=-1)) + 1
    if not 2 <= parts <= units:
        raise ValueError(f"{units} units cannot be divided into {parts} parts: two parts at least, and a unit for each")
    linked = _chosen(unit, apart, parts)
    part_of = np.full(units, -1, np.int64)
    labels = _link(embeddings[linked], unit[linked], _within(apart, linked), parts)
    part_of[unit[linked]] = labels
    others = np.flatnonzero(part_of[unit] < 0)
    if len(others):
        means = np.stack([embeddings[linked[labels == part]].mean(0) for part in range(parts)])
        alike = np.zeros((units, parts))
        np.add.at(alike, unit[others], embeddings[others] @ means.T)
        left = np.flatnonzero(part_of < 0)
        part_of[left] = alike[left].argmax(1)
    return _by_size(part_of[unit])


def _chosen(unit: Ints, apart: Ints, parts: int) -> Ints:
    """Choose the rows to compare with each other: all, or one of each of some units, some that facts are about, others.

    The others stand at even distances.
    """
    size = len(unit)
    if size <= MOST_LINKED:
        return np.arange(size, dtype=np.int64)
    even = np.linspace(0, size - 1, MOST_LINKED).astype(np.int64)
    rows = np.concatenate([np.unique(unit, return_index=True)[1][:parts], np.unique(apart), even])
    _, first = np.unique(rows, return_index=True)
    return np.sort(rows[np.sort(first)[:MOST_LINKED]])


def _within(apart: Ints, linked: Ints) -> Ints:
    """Give pairs of rows as pairs of places in ``linked``; pairs with a row elsewhere are left out."""
    places = np.searchsorted(linked, apart)
    there = linked[np.minimum(places, len(linked) - 1)] == apart
    result: Ints = places[there.all(1)]
    return result


def _link(embeddings: npt.NDArray[np.float32], unit: Ints, apart: Ints, parts: int) -> Ints:
    size = len(embeddings)
    distances = np.maximum((1 - embeddings @ embeddings.T).astype(np.float64), _LEAST)
    # Farther than any mean of distances without such a pair can be.
    distances[apart[:, 0], apart[:, 1]] = distances[apart[:, 1], apart[:, 0]] = 4.0 * size**2
    distances[unit[:, None] == unit] = 0  # nearer than any two of different units: these are joined first
    merges = linkage(distances[np.triu_indices(size, 1)], "average")[: size - parts, :2].astype(np.int64)
    nodes = size + len(merges)
    joined = np.repeat(np.arange(size, nodes), 2)
    tree = coo_array((np.ones(len(joined), bool), (merges.ravel(), joined)), shape=(nodes, nodes))
    result: Ints = connected_components(tree, directed=False)[1][:size].astype(np.int64)
    return result


def _by_size(labels: Ints) -> Ints:
    """Number parts from the largest to the smallest, parts of one size by their first face."""
    _, first, inverse, size = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    number = np.empty(len(size), np.int64)
    number[np.lexsort((first, -size))] = np.arange(len(size))
    result: Ints = number[inverse]
    return result
