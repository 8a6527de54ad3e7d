"""Fit how alike strangers look by chance: the table that ``indexer.naming.calibration`` begins with.

``python -m benchmarks.fit_false_alarms`` runs this. Strangers, people with one photo, are held against many
random galleries of people with several; every similarity is one that ``indexer.naming.gallery`` gives. Arrays
in, arrays out; opens no file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.naming.calibration_tables import FACES, PEOPLE, RATES, StrangerTable
from indexer.naming.gallery import build_gallery, compare

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

FULL_DRAWS = 300_000
"""Strangers to be compared with galleries of one size, for galleries of a few people; a third for one of 100."""

# A gallery costs more the more people it has: at this many half as many are drawn.
_HALF_AS_MANY = 50
_GALLERIES = (6, 100)  # least and most of one size, for each choice of photos
_GALLERIES_BY_FACES = (6, 60)
_SHARE_BY_FACES = 0.4  # of the draws: the difference of two fits on the same people varies less than either
_CHOICES = 3  # times that the photos which stand in the galleries are chosen anew

# Who has four photos is known, as in the open-set protocol. There are too few of those for the largest galleries,
# whose growth is measured on people with two.
_KNOWN, _KNOWN_FOR_GROWTH = 4, 2
_MOST_KNOWN = 200  # people in a gallery
_SIZES_BY_FACES = (10, 50, 100, 200)
_LARGEST_SHARE = 0.7  # of all people with so many faces in a gallery, lest all galleries are one
_EXTRAPOLATED_FROM = 5  # times fewer people than in the largest gallery, for the growth beyond it

_LEAST_STEP = 1e-6  # from one rate to the next, as a quantile may repeat and a curve has to rise
_TABLES = "\nTABLES = {\n"


@dataclass(frozen=True)
class Faces:
    """Known faces to fit on.

    Attributes:
        embeddings: (N, D) unit rows.
        rows: the rows of each person by label, from 0 on; some may be empty.
    """

    embeddings: Floats
    rows: list[Ints]

    @staticmethod
    def of(embeddings: Floats, labels: Ints) -> Faces:
        """Sort faces by person: ``labels`` are (N,), at least 0.

        Raises:
            ValueError: if labels are negative, or not one for each embedding.
        """
        if labels.shape != (len(embeddings),) or (labels < 0).any():
            raise ValueError(f"labels must be {len(embeddings)} numbers of at least 0, one for each embedding")
        order = np.argsort(labels, kind="stable")
        return Faces(embeddings, np.split(order, np.cumsum(np.bincount(labels))[:-1]))

    def shuffled(self, pool: Ints, rng: np.random.Generator) -> dict[int, Ints]:
        """Give the rows of each person of ``pool`` who has any, in random order."""
        return {int(person): rng.permutation(self.rows[person]) for person in pool if len(self.rows[person])}


def fit(faces: Faces, pool: Ints, *, seed: int = 0, draws: float = FULL_DRAWS) -> StrangerTable:
    """Fit a table on the people of ``pool``.

    Args:
        pool: (P,) labels, some of people with four faces and some of people with one.
        seed: of the choice of photos.
        draws: about as many strangers are compared with galleries of one size.
    Returns:
        a table of all ``PEOPLE``; where the pool has too few people, along the slope of its largest galleries.
    Raises:
        ValueError: if nobody has four faces, or nobody has one.
    """
    best = stranger_quantiles(faces, pool, _KNOWN, [n for n in PEOPLE if n <= _MOST_KNOWN], seed=seed, draws=draws)
    if not best:
        raise ValueError(f"nobody has {_KNOWN} faces to be known by: at least one person must")
    top = max(best)
    larger = [top, *(n for n in PEOPLE if n > _MOST_KNOWN)]
    growth = stranger_quantiles(faces, pool, _KNOWN_FOR_GROWTH, larger, seed=seed, draws=draws)
    best |= {n: best[top] + quantiles - growth[top] for n, quantiles in growth.items() if n != top}
    steps = np.arange(len(RATES)) * _LEAST_STEP
    rising = np.maximum.accumulate(_rows_for_people(best), axis=1) + steps
    return StrangerTable(_as_tuples(rising), _as_tuples(gains_by_faces(faces, pool, seed, draws)))


def stranger_quantiles(
    faces: Faces, pool: Ints, least: int, sizes: Sequence[int], *, seed: int, draws: float
) -> dict[int, Doubles]:
    """Hold strangers against galleries in which each person has one face.

    Args:
        least: faces that a person must have to stand in a gallery.
        sizes: people in a gallery; those of more people than there are get left out.
    Returns:
        for each size the similarities (R,) that ``RATES`` of the strangers reach.
    """
    found: dict[int, list[Doubles]] = {}
    for choice in range(_CHOICES):
        photos = faces.shuffled(pool, np.random.default_rng(seed + choice))
        known, strangers = _known(faces, photos, least), _strangers(faces, photos)
        for people in (size for size in sizes if size <= len(known)):
            count = _galleries(draws, len(strangers), people, _GALLERIES)
            drawn = _random_galleries(known, people, count, choice)
            found.setdefault(people, []).extend(_best(faces, strangers, photos, members, 1) for members in drawn)
    return {people: _quantiles(best) for people, best in found.items()}


def gains_by_faces(faces: Faces, pool: Ints, seed: int, draws: float) -> Doubles:
    """Measure what several faces of each person add, the same people with one face taken off: (FACES, R).

    Where nobody has so many faces the row repeats the one before.
    """
    gains = [np.zeros(len(RATES))]
    for count in FACES[1:]:
        found = [_gain(faces, pool, count, people, seed=seed, draws=draws) for people in _SIZES_BY_FACES]
        gains.append(np.mean([gain for gain in found if gain is not None] or gains[-1:], axis=0))
    return np.array(gains)


def with_tables(source: str, tables: Mapping[str, StrangerTable]) -> str:
    """Give the text of ``indexer/naming/calibration_tables.py`` with other tables, to four decimals.

    Raises:
        ValueError: if the tables do not stand at the end of ``source``.
    """
    before, found, _ = source.partition(_TABLES)
    if not found:
        raise ValueError("there is no line `TABLES = {` to replace what follows")
    lines = []
    for network, table in tables.items():
        lines += [f"    {json.dumps(network, ensure_ascii=False)}: StrangerTable("]
        for name, rows in (("best", table.best), ("by_faces", table.by_faces)):
            numbers = (", ".join(f"{round(value, 4) + 0.0:.4f}" for value in row) for row in rows)
            lines += [f"        {name}=(", *(f"            ({row})," for row in numbers), "        ),"]
        lines += ["    ),"]
    return before + _TABLES + "\n".join(lines) + "\n}\n"


def _gain(faces: Faces, pool: Ints, count: int, people: int, *, seed: int, draws: float) -> Doubles | None:
    """Measure what ``count`` faces add in galleries of one size, (R,); None if there are too few people."""
    one: list[Doubles] = []
    several: list[Doubles] = []
    for choice in range(_CHOICES):
        photos = faces.shuffled(pool, np.random.default_rng(seed + choice))
        known, strangers = _known(faces, photos, max(count, _KNOWN)), _strangers(faces, photos)
        if people > _LARGEST_SHARE * len(known):
            return None
        galleries = _galleries(_SHARE_BY_FACES * draws, len(strangers), people, _GALLERIES_BY_FACES)
        for members in _random_galleries(known, people, galleries, choice):
            one.append(_best(faces, strangers, photos, members, 1))
            several.append(_best(faces, strangers, photos, members, count))
    return _quantiles(several) - _quantiles(one)


def _known(faces: Faces, photos: Mapping[int, Ints], least: int) -> Ints:
    return np.array([person for person, rows in photos.items() if len(rows) >= least], np.int64)


def _strangers(faces: Faces, photos: Mapping[int, Ints]) -> Floats:
    """Give the faces of all who have one photo.

    Raises:
        ValueError: if there are none.
    """
    rows = [rows[0] for rows in photos.values() if len(rows) == 1]
    if not rows:
        raise ValueError("nobody has one face only: there are no strangers to fit on")
    return faces.embeddings[rows]


def _galleries(draws: float, strangers: int, people: int, limits: tuple[int, int]) -> int:
    return int(np.clip(draws / strangers / (1 + people / _HALF_AS_MANY), *limits))


def _random_galleries(known: Ints, people: int, galleries: int, choice: int) -> Iterator[Ints]:
    """Choose the people of galleries: the same whatever the number of their faces."""
    rng = np.random.default_rng(1 + choice)
    return (rng.choice(known, people, replace=False) for _ in range(galleries))


def _best(faces: Faces, strangers: Floats, photos: Mapping[int, Ints], members: Ints, count: int) -> Doubles:
    """Give each stranger's similarity to the most similar member, each known by their first ``count`` photos."""
    rows = np.concatenate([photos[person][:count] for person in members.tolist()])
    gallery = build_gallery(faces.embeddings[rows], np.repeat(members, count))
    best = [block.similarity.max(axis=0) for block in compare(gallery, strangers)]
    return np.concatenate(best).astype(np.float64)


def _quantiles(best: list[Doubles]) -> Doubles:
    return np.asarray(np.quantile(np.concatenate(best), 1 - np.array(RATES)))


def _rows_for_people(best: Mapping[int, Doubles]) -> Doubles:
    """Give a row for each of ``PEOPLE``: beyond the largest gallery along the slope that leads there."""
    sizes = sorted(best)
    logs, rows = np.log(sizes), np.stack([best[people] for people in sizes])
    step = np.log(_EXTRAPOLATED_FROM)
    slope = (rows[-1] - _between(logs, rows, logs[-1] - step)) / step
    beyond = np.maximum(np.log(PEOPLE) - logs[-1], 0)
    return np.stack([_between(logs, rows, at) + slope * far for at, far in zip(np.log(PEOPLE), beyond, strict=True)])


def _between(logs: Doubles, rows: Doubles, at: float) -> Doubles:
    return np.array([np.interp(at, logs, column) for column in rows.T])


def _as_tuples(rows: Doubles) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in rows.tolist())
