"""Who a face of the album cannot be, by what humans said. Arrays in, arrays out; opens no file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from indexer.archive import Archive
from indexer.people import PeopleState

Ints = NDArray[np.int64]


def barred_people(archive: Archive, rows: Ints) -> Ints:
    """Say who faces of the archive are not: for ``identify``, which then does not give them that name.

    A face is not a person whom it was said not to be, nor one who has another face of the photo, nor one who has
    a face from which it was said to be different; and what holds for a face holds for all that are the same as it. A
    face's own name is not barred, though another face of the photo has it, as in a mirror.

    Args:
        rows: (N,) archive rows, each once.
    Returns:
        (B, 2) pairs of a position in ``rows`` and a person, sorted, each once.
    """
    said = np.concatenate([_told(archive.people), _beside_the_same(archive)])
    positions, places = _matches(archive.heads[rows], said[:, 0])
    pairs = [
        np.stack([positions, said[places, 1]], axis=1),
        _of_others(archive, rows, beside(rows, archive.photo_numbers, archive.persons)),
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
    positions, places = _matches(photos[rows], photos[named])
    beside_it = persons[named[places]]
    return np.asarray(np.stack([positions, beside_it], axis=1)[beside_it != persons[rows[positions]]])


def _of_others(archive: Archive, rows: Ints, pairs: Ints) -> Ints:
    """Leave out that an ignored face is beside one who is the same: it has no name, but that would be its own."""
    people, ignored = archive.people, archive.ignored[rows[pairs[:, 0]]]
    if not ignored.any():
        return pairs
    own = {(people.heads.get(face, face), person) for face, person in people.person_of.items()}
    heads = archive.heads[rows[pairs[:, 0]]]
    mine = [
        known and (head, who) in own
        for known, head, who in zip(ignored, heads.tolist(), pairs[:, 1].tolist(), strict=True)
    ]
    return np.asarray(pairs[~np.array(mine, bool)])


def _told(people: PeopleState) -> Ints:
    """List whom faces were said not to be: (B, 2) pairs of a head, as in ``PeopleState.heads``, and a person."""
    return np.array([*people.not_whose, *_told_apart(people)], np.int64).reshape(-1, 2)


def _told_apart(people: PeopleState) -> Iterator[tuple[int, int]]:
    """Give (head, person) for each face that is different from one of the person, or from one that is the same."""
    if not people.different:
        return
    heads, owner = people.heads, {people.heads.get(face, face): person for face, person in people.person_of.items()}
    for pair in people.different:
        one, other = (heads.get(face, face) for face in pair)
        if other in owner:
            yield one, owner[other]
        if one in owner:
            yield other, owner[one]


def _beside_the_same(archive: Archive) -> Ints:
    """List who is beside faces that were said to be the same as others: (B, 2) pairs of a head and a person."""
    rows = archive.rows_of_faces(archive.people.heads)
    rows = rows[rows >= 0]
    rows = rows[~archive.ignored[rows]]
    pairs = beside(rows, archive.photo_numbers, archive.persons)
    return np.stack([archive.heads[rows[pairs[:, 0]]], pairs[:, 1]], axis=1)


def _matches(keys: Ints, others: Ints) -> tuple[Ints, Ints]:
    """Find each position in ``keys``, (N,), with each in ``others``, (M,), that holds the same number: two (B,)."""
    order = np.argsort(others, kind="stable")
    first = np.searchsorted(others, keys, "left", sorter=order)
    counts = np.searchsorted(others, keys, "right", sorter=order) - first
    positions = np.repeat(np.arange(len(keys)), counts)
    places = np.arange(len(positions)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    return positions, order[places]
