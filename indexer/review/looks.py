"""Which faces to look at: the typical ones, the odd ones, and the two halves of a group. Opens no file."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]


def typicality(embeddings: Rows) -> npt.NDArray[np.float32]:
    """Compare each of (N, D) unit rows with the mean of them all: (N,), the higher the more typical."""
    return np.asarray(embeddings @ embeddings.sum(axis=0), np.float32)


def typical_first(embeddings: Rows) -> Ints:
    """Order the faces of one person, (N, D) unit rows, by how typical they are: int64 (N,)."""
    return np.argsort(-typicality(embeddings), kind="stable").astype(np.int64)


def shown_faces(ordered: Ints, most: int) -> Ints:
    """Choose ``most`` of faces in the order of ``typical_first``: two thirds from its start, one from its end."""
    if len(ordered) <= most:
        return ordered
    last = most // 3
    return np.concatenate([ordered[: most - last], ordered[len(ordered) - last :]])


def halves(embeddings: Rows) -> npt.NDArray[np.bool_]:
    """Part two or more faces, (N, D) unit rows, around the least typical one and the one that is least like it.

    Returns:
        Bool (N,): the part of the typical faces; both parts have a face at least.
    """
    first = int(typical_first(embeddings)[-1])
    away = embeddings @ embeddings[first]
    away[first] = np.inf
    second = int(away.argmin())
    nearer_second = embeddings @ embeddings[second] >= embeddings @ embeddings[first]
    nearer_second[[first, second]] = False, True
    return np.asarray(nearer_second)
