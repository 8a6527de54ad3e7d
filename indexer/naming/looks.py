"""Find the looks of a person: a child and the adult, with a beard and without. Arrays in, arrays out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_MIN_FACES = 6  # fewer faces always form one look
_MIN_PART = 2  # faces of a look: one odd face is no look
# Splitting n faces of one look in two takes off up to 0.2 + 1/n of their spread (lfw-dev, both networks: 95 %
# of people); two different people under one name lose 0.39 to 0.76.
_MIN_GAIN = 0.2
_ROUNDS = 6  # of 2-means; it has settled by then
_HALVINGS = 2  # a person has up to four looks
_ROWS = 8192  # faces that are looked at together: 4 MB stay in the cache


def split_looks(rows: Floats, weights: Floats, person: Ints) -> Ints:
    """Part the faces of each person into looks, where that explains much of how they differ.

    Each person is halved by spherical 2-means (Dhillon and Modha 2001, Machine Learning 42), started from
    the face least like the mean and the face least like that one; thousands of people at once.

    Args:
        rows: (G, D) unit rows, those of a person together; weights: (G,) above 0.
        person: (G,) rising.
    Returns:
        (G, 2): the person and the number of the look, from 0. Faces of a look need not stand together.
    """
    looks = np.zeros(len(rows), np.int64)
    ends = np.searchsorted(person, person[_ROWS::_ROWS])  # a block ends where a person ends
    for start, stop in pairwise([0, *np.unique(ends[ends > 0]).tolist(), len(rows)]):
        looks[start:stop] = _looks(rows[start:stop], weights[start:stop], person[start:stop])
    return np.stack([person, looks], axis=1)


def _looks(rows: Floats, weights: Floats, person: Ints) -> Ints:
    """Number the looks of people, (G,), from 0 for each of them."""
    looks = np.zeros(len(rows), np.int64)
    for _ in range(_HALVINGS):
        key = person * 2**_HALVINGS + looks
        counts = np.bincount(np.unique(key, return_inverse=True)[1]) if len(key) else np.empty(0, np.int64)
        order = np.argsort(key, kind="stable")
        order = order[np.repeat(counts, counts) >= _MIN_FACES]
        if not len(order):
            break
        looks *= 2
        looks[order] += _halve(rows[order], weights[order], key[order])
    return looks


def group_sums(rows: Floats, weights: Floats, first: Ints) -> Floats:
    """Sum the weighted rows of each group, (groups, D); groups are runs of rows that begin at ``first``.

    A sparse product: ``np.add.reduceat`` over rows of 128 takes 15 times as long.
    """
    from scipy.sparse import csr_array  # a quarter of a second that a kept gallery need not wait for

    members = csr_array((weights, np.arange(len(rows)), np.append(first, len(rows))), shape=(len(first), len(rows)))
    return np.asarray(members @ rows, np.float32)


def _halve(rows: Floats, weights: Floats, group: Ints) -> Ints:
    """Say for each face whether it belongs to the second half of its group: (G,) 0 or 1, all 0 where it has none."""
    _, first, which, counts = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
    whole = group_sums(rows, weights, first)
    one = rows[_least_like(rows, whole, which, first)]
    two = rows[_least_like(rows, one, which, first)]
    second = np.zeros(len(rows), bool)
    for _ in range(_ROUNDS):
        second = np.einsum("ij,ij->i", rows, (_unit(two) - _unit(one))[which]) > 0
        two = group_sums(rows, weights * second, first)
        one = whole - two
    length = np.linalg.norm(whole, axis=1)
    spread = np.maximum(np.add.reduceat(weights, first) - length, np.finfo(np.float32).eps)
    gain = (np.linalg.norm(one, axis=1) + np.linalg.norm(two, axis=1) - length) / spread
    part = np.add.reduceat(second.astype(np.int64), first)
    worth = (gain >= _MIN_GAIN + 1 / counts) & (np.minimum(part, counts - part) >= _MIN_PART)
    return np.asarray(second & worth[which], np.int64)


def _least_like(rows: Floats, centres: Floats, which: Ints, first: Ints) -> Ints:
    """Give the row of each group that is least like the group's centre, of equals the first."""
    alike = np.einsum("ij,ij->i", rows, _unit(centres)[which])
    least = np.flatnonzero(alike == np.minimum.reduceat(alike, first)[which])
    return np.asarray(least[np.searchsorted(least, first)])


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny))
