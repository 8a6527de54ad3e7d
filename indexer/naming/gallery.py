"""The people of an album as faces are compared with them: how much each face looks like each person.

A person is known by all of their faces. The likeness of a face and a person is the cosine with the mean
of the person's faces, mixed with the cosine with the most similar of them: the mean is the surer witness,
the single face knows the odd angle and the other haircut. Who looks different over the years gets several
means. A face and a person that resemble everybody say little when they resemble each other, so that what
they share with their next rivals is taken off (cohort normalisation: Auckenthaler et al. 2000, Digital
Signal Processing 10; adaptive form: Matejka et al. 2017, Interspeech). Opens no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embedder.vectors import NotVectors
from indexer.naming.looks import group_sums, split_looks

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# Chosen on lfw-dev, SFace and dlib's network; all lie on broad plateaus.
_NEAREST_SHARE = 0.25  # of the most similar face in the likeness; the rest is the mean's
_LENGTH_POWER = 0.75  # 1 makes every mean a unit vector, less keeps those of varied faces shorter
_RIVALS = 3  # next people that a likeness is held against
_RIVAL_SHARE = 0.25  # of their likeness that is taken off at most, once for the face and once for the person
# Of few people the third rival is nobody's double, and to take anything off costs: with dlib's network, hard copies and
# 30 people 6 points of DIR at FAR 1 %; with 430 it brings 10. The best share grows with the logarithm of their number.
_RIVAL_PEOPLE = (50, 300)  # none is taken off up to the first, all from the second on
_COHORT = 10_000  # people at most among whom a person's rivals are looked for: beyond, an even choice of them
_MIN_WEIGHT = 0.05  # of a face of no quality, so that a person of such faces has a mean
_ALMOST_NO_LENGTH = np.float32(1e-6)  # opposite faces have a mean without direction
_UNIT_TOLERANCE = 0.01  # float16 rows of unit length are within 0.001

# Faces compared at once: a block of 2 MB stays in the cache, which is 1.5 times as fast as 16 MB.
_PROBES = 256
_ROWS = 2048


@dataclass(frozen=True)
class Gallery:
    """P named people with G faces. Made by ``build_gallery``.

    Attributes:
        people: (P,) ids, rising.
        embeddings: (G, D) unit rows, by person; rows: (G,) where each stood before that; starts: (P,) the
            first face of each person.
        centres: (M, D) means, one or more for each person; centre_starts: (P,) the first of each person.
        neighbours, neighbour_likeness: (4, P) the most similar other people of each, best first, and how
            alike they are: 0 where that is less than 0 or there are no more people.
        usual: the mean over all people of how alike they and their rivals are.
    """

    people: Ints
    embeddings: Floats
    rows: Ints
    starts: Ints
    centres: Floats
    centre_starts: Ints
    neighbours: Ints
    neighbour_likeness: Floats
    usual: float

    @property
    def counts(self) -> Ints:
        """Faces of each person, (P,)."""
        return np.diff(self.starts, append=len(self.rows))

    @property
    def rival_share(self) -> float:
        """How much of what a face or a person shares with rivals is taken off."""
        none, most = np.log(_RIVAL_PEOPLE)
        return _RIVAL_SHARE * float(np.clip((np.log(max(len(self.people), 1)) - none) / (most - none), 0, 1))


@dataclass(frozen=True)
class Comparison:
    """A block of B probes against the P people of a gallery.

    Attributes:
        probes: which of the probes.
        similarity: (P, B) likeness, corrected for rivals: comparable between faces and people.
        nearest: (P, B) cosine with the most similar face of the person.
    """

    probes: slice
    similarity: Floats
    nearest: Floats


def build_gallery(
    embeddings: NDArray[np.floating], people: Ints, quality: NDArray[np.floating] | None = None
) -> Gallery:
    """Sort named faces by person and find their means and their rivals.

    Args:
        embeddings: (G, D) unit rows.
        people: (G,) the person of each row, at least 0.
        quality: (G,) 0–1; faces of little quality count less in their person's mean. All 1 if None.
    Raises:
        ValueError: if a row is not a unit vector of numbers, a person is negative, a quality is not in
            [0, 1], or the lengths differ.
    """
    rows = unit_rows(embeddings, "gallery face")
    if people.shape != (len(rows),) or (people < 0).any():
        raise ValueError(f"people must be {len(rows)} ids of at least 0, one for each face of the gallery")
    weights = np.clip(checked_quality(quality, len(rows)), _MIN_WEIGHT, 1)
    order = np.argsort(people, kind="stable")
    rows, weights = rows[order], weights[order]
    ids, starts = np.unique(people[order].astype(np.int64), return_index=True)
    looks = split_looks(rows, weights, np.repeat(np.arange(len(ids)), np.diff(starts, append=len(rows))))
    centres, centre_starts = _centres(rows, weights, looks)
    nobody = np.zeros((_RIVALS + 1, len(ids)), np.int64)
    alone = Gallery(ids, rows, order, starts, centres, centre_starts, nobody, nobody.astype(np.float32), usual=0.0)
    return _with_rivals(alone)


def compare(gallery: Gallery, probes: Floats, own: Ints | None = None) -> Iterator[Comparison]:
    """Compare faces with every person, block by block: no matrix of all faces with all faces is made.

    Args:
        probes: (N, D) unit rows.
        own: (N,) position in ``gallery.people`` of a person to be left out for this face, as if the
            album did not hold them; their similarity is -inf. None leaves nobody out.
    """
    for start in range(0, len(probes), _PROBES):
        block = slice(start, min(start + _PROBES, len(probes)))
        likeness, nearest = _likeness(gallery, probes[block])
        if own is not None:
            likeness[own[block], np.arange(likeness.shape[1])] = -np.inf
        yield Comparison(block, _corrected(gallery, likeness, None if own is None else own[block]), nearest)


def nearest_faces(gallery: Gallery, probes: Floats, nearest: Floats, k: int) -> Ints:
    """Find the k most similar faces of the gallery for each probe.

    They belong to the k people with the most similar nearest faces, so only those are looked through.

    Args:
        probes: (B, D) unit rows.
        nearest: (P, B) from ``compare``.
    Returns:
        (B, k) row numbers as given to ``build_gallery``, best first; -1 where there are no more.
    """
    found = np.full((len(probes), k), -1, np.int64)
    ends = np.append(gallery.starts[1:], len(gallery.rows))
    likely = top_places(nearest, k)
    for i, probe in enumerate(probes):
        rows = np.concatenate([np.arange(gallery.starts[p], ends[p]) for p in likely[:, i]] or [np.empty(0, np.int64)])
        best = rows[np.argsort(-(gallery.embeddings[rows] @ probe), kind="stable")[:k]]
        found[i, : len(best)] = gallery.rows[best]
    return found


def unit_rows(embeddings: NDArray[np.floating], what: str) -> Floats:
    """Check that rows are unit vectors and give them as float32.

    Raises:
        NotVectors: naming the rows that hold NaN or infinity or whose length is not 1.
    """
    if embeddings.ndim != 2:
        raise ValueError(f"embeddings of {what}s have shape {embeddings.shape}, not (faces, dimensions)")
    rows = np.ascontiguousarray(embeddings, np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    bad = np.flatnonzero(~(np.abs(lengths - 1) <= _UNIT_TOLERANCE))
    if bad.size:
        named = ", ".join(map(str, bad[:8].tolist())) + (f" and {bad.size - 8} more" if bad.size > 8 else "")
        raise NotVectors(f"not unit vectors of numbers: {what} {named}; `visavis verify` finds the shard")
    return rows


def checked_quality(quality: NDArray[np.floating] | None, faces: int) -> Floats:
    """Give the quality of each face, 1 for all if there is none.

    Raises:
        ValueError: if there is not one for each face, in [0, 1].
    """
    if quality is None:
        return np.ones(faces, np.float32)
    if quality.shape != (faces,) or not ((quality >= 0) & (quality <= 1)).all():
        raise ValueError(f"quality must be {faces} numbers from 0 to 1, one for each face")
    return quality.astype(np.float32)


def _centres(rows: Floats, weights: Floats, looks: Ints) -> tuple[Floats, Ints]:
    """Average the faces of each look; ``looks`` are (person, number) pairs, (G, 2)."""
    order = np.lexsort((looks[:, 1], looks[:, 0]))
    pairs, first = np.unique(looks[order], axis=0, return_index=True)
    if not len(pairs):
        return np.empty((0, rows.shape[1]), np.float32), np.empty(0, np.int64)
    means = group_sums(rows[order], weights[order], first) / np.add.reduceat(weights[order], first)[:, None]
    lengths = np.maximum(np.linalg.norm(means, axis=1, keepdims=True), _ALMOST_NO_LENGTH)
    return means / lengths**_LENGTH_POWER, np.unique(pairs[:, 0], return_index=True)[1].astype(np.int64)


def _with_rivals(alone: Gallery) -> Gallery:
    """Find, for each person, the other people that resemble them most."""
    people = len(alone.people)
    neighbours, likeness = alone.neighbours.copy(), alone.neighbour_likeness.copy()
    ends = np.append(alone.centre_starts, len(alone.centres))
    cohort = np.arange(0, people, max(1, -(-people // _COHORT)))
    theirs = np.concatenate([np.arange(ends[person], ends[person + 1]) for person in cohort] or [cohort])
    cohort_centres, cohort_starts = alone.centres[theirs], np.searchsorted(theirs, ends[cohort])
    for start in range(0, people, _PROBES):
        stop = min(start + _PROBES, people)
        centres = alone.centres[ends[start] : ends[stop]]
        units = centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), _ALMOST_NO_LENGTH)
        alike = _best_look(cohort_centres @ units.T, cohort_starts)
        alike = _best_look(alike.T, ends[start:stop] - ends[start]).T
        own = slice(*np.searchsorted(cohort, [start, stop]))
        alike[np.arange(len(cohort))[own], cohort[own] - start] = -np.inf
        top = top_places(alike, _RIVALS + 1)
        neighbours[: len(top), start:stop] = cohort[top]
        likeness[: len(top), start:stop] = np.maximum(np.take_along_axis(alike, top, axis=0), 0)
    usual = float(likeness[:_RIVALS].sum(axis=0).mean() / _RIVALS) if people else 0.0
    return replace(alone, neighbours=neighbours, neighbour_likeness=likeness, usual=usual)


def _likeness(gallery: Gallery, probes: Floats) -> tuple[Floats, Floats]:
    """Give (likeness (P, B), cosine with the nearest face (P, B)) of B probes, uncorrected."""
    people, first = len(gallery.people), 0
    nearest = np.empty((people, len(probes)), np.float32)
    if not people:
        return nearest, nearest.copy()
    while first < people:
        row = gallery.starts[first]
        after = int(np.searchsorted(gallery.starts, row + _ROWS, side="right")) - 1
        last = people if row + _ROWS >= len(gallery.rows) else max(after, first + 1)
        stop = len(gallery.rows) if last == people else gallery.starts[last]
        alike = gallery.embeddings[row:stop] @ probes.T
        nearest[first:last] = np.maximum.reduceat(alike, gallery.starts[first:last] - row, axis=0)
        first = last
    means = _best_look(gallery.centres @ probes.T, gallery.centre_starts)
    return (1 - _NEAREST_SHARE) * means + _NEAREST_SHARE * nearest, nearest


def _best_look(alike: Floats, starts: Ints) -> Floats:
    """Take the largest row of each person, (P, B); theirs begin at ``starts``.

    Most have one look: ``np.maximum.reduceat`` takes several times as long.
    """
    if len(starts) == len(alike):
        return alike
    looks = np.diff(starts, append=len(alike))
    best = alike[starts]
    for look in range(1, int(looks.max())):
        people = np.flatnonzero(looks > look)
        best[people] = np.maximum(best[people], alike[starts[people] + look])
    return best


def _corrected(gallery: Gallery, likeness: Floats, own: Ints | None) -> Floats:
    """Take off what face and person share with their rivals, beyond what is usual. Missing rivals count as 0 alike."""
    usual, share = np.float32(gallery.usual), np.float32(gallery.rival_share)
    if not share:
        return likeness
    top = np.take_along_axis(likeness, top_places(likeness, _RIVALS + 1), axis=0)
    face = np.maximum(top[1:], 0).sum(axis=0) / _RIVALS
    person = gallery.neighbour_likeness[:_RIVALS].sum(axis=0)[:, None] / _RIVALS
    if own is not None:
        # Without its own person the album's other people have other neighbours.
        fourth = gallery.neighbour_likeness[_RIVALS]
        for rank in range(_RIVALS):
            less = (gallery.neighbour_likeness[rank] - fourth)[:, None] / _RIVALS
            person = person - np.where(gallery.neighbours[rank][:, None] == own[None, :], less, np.float32(0))
    return np.asarray(likeness - share * (person - usual) - share * (face - usual), np.float32)


def top_places(values: Floats, k: int) -> Ints:
    """Give the places of the k largest values of each column, largest first, of equals the first.

    Args:
        values: (rows, columns), of which at most a quarter of a column is -inf.
    Returns:
        (min(k, rows), columns).
    """
    k = min(k, len(values))
    if k * 4 >= len(values):
        return np.asarray(np.argsort(-values, axis=0, kind="stable")[:k])
    # One pass for each place, and over a copy by column: a quarter of the time of a partition.
    columns = np.array(values.T, order="C")
    places = np.empty((k, len(columns)), np.int64)
    for place in places:
        place[:] = columns.argmax(axis=1)
        columns[np.arange(len(columns)), place] = -np.inf
    return places
