"""Divide faces that were taken for one person into the people that they may be. Opens no file.

Average linkage (Sokal and Michener 1958): the two parts that are most alike, face by face on average, become one, until
so many are left as were asked for.
"""

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = npt.NDArray[np.int64]

MOST_LINKED = 2000
"""Faces of which every two are compared; any others join the part that they are most like on average."""


def divide(embeddings: npt.NDArray[np.float32], apart: Ints, parts: int = 2) -> Ints:
    """Divide faces into parts.

    Args:
        embeddings: float32 (N, D), unit rows.
        apart: int64 (C, 2), rows of faces that are two people: they share a part only where there are too few parts.
        parts: how many, 2 to N.
    Returns:
        int64 (N,), the part of each face, 0..parts-1 from the largest part to the smallest.
    Raises:
        ValueError: if there are fewer faces than parts, or fewer than two parts.
    """
    size = len(embeddings)
    if not 2 <= parts <= size:
        raise ValueError(f"{size} faces cannot be divided into {parts} parts: two parts at least, and a face for each")
    linked = _chosen(size, apart)
    labels = np.full(size, -1, np.int64)
    labels[linked] = _link(embeddings[linked], _within(apart, linked), parts)
    others = np.flatnonzero(labels < 0)
    if len(others):
        means = np.stack([embeddings[labels == part].mean(0) for part in range(parts)])
        labels[others] = (embeddings[others] @ means.T).argmax(1)
    return _by_size(labels)


def _chosen(size: int, apart: Ints) -> Ints:
    """Choose the rows to compare with each other: all, or those that facts are about and others at even distances."""
    if size <= MOST_LINKED:
        return np.arange(size, dtype=np.int64)
    even = np.linspace(0, size - 1, MOST_LINKED).astype(np.int64)
    rows = np.concatenate([np.unique(apart), even])
    _, first = np.unique(rows, return_index=True)
    return np.sort(rows[np.sort(first)[:MOST_LINKED]])


def _within(apart: Ints, linked: Ints) -> Ints:
    """Give pairs of rows as pairs of places in ``linked``; pairs with a row elsewhere are left out."""
    places = np.searchsorted(linked, apart)
    there = linked[np.minimum(places, len(linked) - 1)] == apart
    result: Ints = places[there.all(1)]
    return result


def _link(embeddings: npt.NDArray[np.float32], apart: Ints, parts: int) -> Ints:
    size = len(embeddings)
    distances = (1 - embeddings @ embeddings.T).astype(np.float64)
    # Farther than any mean of distances without such a pair can be.
    distances[apart[:, 0], apart[:, 1]] = distances[apart[:, 1], apart[:, 0]] = 4.0 * size**2
    merges = linkage(np.maximum(distances[np.triu_indices(size, 1)], 0), "average")[: size - parts, :2].astype(np.int64)
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
