"""Put known faces into made-up photos, to see what shared photos tell a grouping.

Nobody stands in a photo twice, as in life. ``random_photos`` are a mixture of strangers; ``photos_of_lookalikes`` are
what makes grouping hard: brothers and sisters, or a crowd under one lamp.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
MOST_FACES = 4


def random_photos(people: Ints, *, seed: int) -> Ints:
    """Put faces, in random order, into photos of one to four, all equally likely; a second face of a person ends one.

    Args:
        people: int64 (N,), who each face is.
    Returns:
        int64 (N,), the number of each face's photo.
    """
    random = np.random.default_rng(seed)
    photo = np.empty(len(people), np.int64)
    number, room, there = -1, 0, set[int]()
    for face in random.permutation(len(people)).tolist():
        if not room or int(people[face]) in there:
            number, room, there = number + 1, int(random.integers(1, MOST_FACES + 1)), set()
        photo[face] = number
        there.add(int(people[face]))
        room -= 1
    return photo


def photos_of_lookalikes(people: Ints, neighbours: NDArray[np.integer], similarities: NDArray[np.floating]) -> Ints:
    """Put the two most similar faces of different people into one photo, then the next two, and so on.

    Args:
        people: int64 (N,).
        neighbours, similarities: (N, k), as ``indexer.grouping.cluster.cluster_faces`` takes them.
    Returns:
        int64 (N,), the number of each face's photo; -1 where a face found no partner.
    """
    photo = np.full(len(people), -1, np.int64)
    row, column = np.nonzero((neighbours >= 0) & (people[neighbours] != people[:, None]))
    order = np.argsort(-similarities[row, column], kind="stable")
    pairs = zip(row[order].tolist(), neighbours[row, column][order].tolist(), strict=True)
    for number, (one, other) in enumerate(pairs):
        if photo[one] < 0 and photo[other] < 0:
            photo[one] = photo[other] = number
    return photo
