"""Who a face of the album cannot be, by what humans said. Arrays in, arrays out; opens no file."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from indexer.archive import Archive

Ints = NDArray[np.int64]


def barred_people(archive: Archive, rows: Ints) -> Ints:
    """Say who faces of the archive are not: for ``identify``, which then does not give them that name.

    A face is not a person whom it was said not to be, nor one who has another face of the photo, nor one who has
    a face from which it was said to be different. What a face has itself as its name does not count.

    Args:
        rows: (N,) archive rows, each once.
    Returns:
        (B, 2) pairs of a position in ``rows`` and a person, sorted, each once.
    """
    faces = archive.faces.face_ids[rows]
    order = np.argsort(faces, kind="stable")
    pairs = [
        _placed(faces, order, archive.people.rejected),
        _placed(faces, order, _told_apart(archive)),
        beside(rows, archive.photo_numbers, archive.persons),
    ]
    return np.unique(np.concatenate(pairs), axis=0)


def beside(rows: Ints, photos: Ints, persons: Ints) -> Ints:
    """List who is named elsewhere in the photo of each row, and is not the row's own person.

    Args:
        rows: (N,) of the arrays that follow.
        photos: (A,) faces of one photo have the same number; persons: (A,) -1 where a face has no name.
    Returns:
        (B, 2) pairs of a position in ``rows`` and a person.
    """
    named = np.flatnonzero(persons >= 0)
    named = named[np.argsort(photos[named], kind="stable")]
    first = np.searchsorted(photos[named], photos[rows], "left")
    counts = np.searchsorted(photos[named], photos[rows], "right") - first
    positions = np.repeat(np.arange(len(rows)), counts)
    places = np.arange(len(positions)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    beside_it = persons[named[places]]
    return np.asarray(np.stack([positions, beside_it], axis=1)[beside_it != persons[rows[positions]]])


def _told_apart(archive: Archive) -> Iterable[tuple[int, int]]:
    """Give (face, person) for each face that is different from a face of the person."""
    person_of = archive.people.person_of
    for pair in archive.people.different:
        for face, other in (pair, pair[::-1]):
            if other in person_of:
                yield face, person_of[other]


def _placed(faces: Ints, order: Ints, said: Iterable[tuple[int, int]]) -> Ints:
    """Turn (face, person) into (position in ``faces``, person); ``order`` sorts ``faces``. Other faces are left out."""
    pairs = np.array(list(said), np.int64).reshape(-1, 2)
    if not len(faces):
        return pairs[:0]
    at = order[np.minimum(np.searchsorted(faces, pairs[:, 0], sorter=order), len(faces) - 1)]
    known = faces[at] == pairs[:, 0]
    return np.stack([at[known], pairs[known, 1]], axis=1)
