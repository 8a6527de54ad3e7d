"""Who is this: a name for each face, or the reason why there is none. Arrays in, arrays out; opens no file.

A face gets the name of the most similar person if few strangers look this much like anybody (the threshold
of ``indexer.naming.calibration``), if no other person is about as similar, and if the person is not in the same
photo already: nobody is twice in one photo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.naming.assignment import Candidates, Reason, share_out
from indexer.naming.calibration import AlbumImpostors, Calibration
from indexer.naming.gallery import Floats, Gallery, Ints, checked_quality, compare, nearest_faces, top_places, unit_rows

UNKNOWN = -1

_CANDIDATES = 8  # most similar people of a face that the faces of its photo are shared out among

# Faces of the album that are taken for strangers: least and most, and comparisons with the gallery between them.
# Of 1,000 the share beyond a 10 % quantile is right within a tenth of itself.
_IMPOSTORS = (500, 1000)
_COMPARISONS = 200_000_000


@dataclass(frozen=True)
class IdentifySettings:
    """What decides on names.

    Attributes:
        false_alarm: share of strangers that may be given a name, in (0, 1).
        poor_quality: a face of less quality (0–1) that is like nobody is called too poor to tell.
        nearest: most similar faces of the gallery to report.
    """

    false_alarm: float = 0.01
    poor_quality: float = 0.25
    nearest: int = 5


@dataclass(frozen=True)
class Identities:
    """Answers for N faces.

    Attributes:
        person: (N,) id of the person, or ``UNKNOWN``.
        best_person, second_person: (N,) the most similar people, named or not; ``UNKNOWN`` if there are none.
        similarity: (N,) of the best person, -1 to 1: a cosine, corrected for how much face and person
            resemble everybody (``indexer.naming.gallery``); -1 if there is nobody.
        margin: (N,) at least 0, how much less similar the second person is; a missing one counts as 0 similar.
        probability: (N,) that a stranger would be less similar, 0 to 1: ``Calibration.probability``.
        reason: (N,) int8, a ``Reason``.
        nearest: (N, k) most similar gallery faces, best first, as numbered in ``build_gallery``; -1 where
            there are no more.
    """

    person: Ints
    best_person: Ints
    second_person: Ints
    similarity: Floats
    margin: Floats
    probability: NDArray[np.float64]
    reason: NDArray[np.int8]
    nearest: Ints


def identify(
    gallery: Gallery,
    calibration: Calibration,
    embeddings: NDArray[np.floating],
    photo: Ints,
    *,
    quality: NDArray[np.floating] | None = None,
    barred: Ints | None = None,
    settings: IdentifySettings = IdentifySettings(),
) -> Identities:
    """Name faces.

    Args:
        embeddings: (N, D) unit rows.
        photo: (N,) any numbers; faces of one photo have the same.
        quality: (N,) 0–1; all 1 if None.
        barred: (B, 2) pairs of a row of ``embeddings`` and a person who this face is not, because somebody
            said so or because the person is named elsewhere in the photo.
    Raises:
        ValueError: if an embedding is not a unit vector of numbers (naming the rows), a quality is not in
            [0, 1], lengths differ, or the dimensions are not those of the gallery.
    """
    probes = unit_rows(embeddings, "face")
    qualities = checked_quality(quality, len(probes))
    if photo.shape != (len(probes),):
        raise ValueError(f"photo must be {len(probes)} numbers, one for each face, not of shape {photo.shape}")
    if len(gallery.rows) and probes.shape[1] != gallery.embeddings.shape[1]:
        raise ValueError(f"faces have {probes.shape[1]} dimensions, but the gallery {gallery.embeddings.shape[1]}")
    keys = _barred_keys(barred, len(probes), gallery.people)
    candidates, nearest = _candidates(gallery, probes, keys, settings.nearest)
    threshold = calibration.threshold(settings.false_alarm)
    place, reason = share_out(candidates, photo, threshold, calibration.min_margin)
    reason[(reason == Reason.NOBODY_NEAR) & (qualities < settings.poor_quality)] = Reason.POOR_FACE
    ids = np.append(gallery.people, UNKNOWN)
    both = np.full((len(probes), 2), len(gallery.people))
    both[:, : candidates.people.shape[1]] = candidates.people[:, :2]
    alike = np.tile(np.array([0 if len(gallery.people) else -1, 0], np.float32), (len(probes), 1))
    alike[:, : candidates.people.shape[1]] = candidates.similarity[:, :2]
    similarity = np.clip(alike[:, 0], -1, 1)
    return Identities(
        person=ids[place],
        best_person=ids[both[:, 0]],
        second_person=ids[both[:, 1]],
        similarity=similarity,
        margin=np.maximum(alike[:, 0] - alike[:, 1], 0),
        probability=calibration.probability(similarity) if len(gallery.people) else np.zeros(len(probes)),
        reason=reason,
        nearest=nearest,
    )


def impostor_limit(gallery: Gallery) -> int:
    """Say how many faces are enough to judge strangers by: so that a large album does not cost minutes."""
    least, most = _IMPOSTORS
    return int(np.clip(_COMPARISONS // max(len(gallery.rows), 1), least, most))


def album_impostors(
    gallery: Gallery, shared_photo: NDArray[np.floating] | None = None, limit: int | None = None
) -> AlbumImpostors:
    """Take each person of the gallery for a stranger to the others.

    Args:
        shared_photo: from ``similarity_to``, for faces that are known to be somebody else.
        limit: faces to compare: the first of everybody, then the second of those who have one, and so on;
            of so many first ones an even choice. ``impostor_limit`` if None.
    """
    limit = impostor_limit(gallery) if limit is None else limit
    owner = np.repeat(np.arange(len(gallery.people)), gallery.counts)
    turn = np.argsort(np.arange(len(owner)) - gallery.starts[owner], kind="stable")
    if limit < len(gallery.people):
        turn = turn[np.linspace(0, len(gallery.people) - 1, limit).astype(np.int64)]
    chosen = np.sort(turn[:limit]) if len(gallery.people) > 1 else np.empty(0, np.int64)
    best = [block.similarity.max(axis=0) for block in compare(gallery, gallery.embeddings[chosen], owner[chosen])]
    return AlbumImpostors(
        best=np.concatenate([np.empty(0), *best]),
        people=gallery.people[owner[chosen]],
        shared_photo=np.empty(0) if shared_photo is None else np.asarray(shared_photo, np.float64),
    )


def similarity_to(gallery: Gallery, embeddings: NDArray[np.floating], people: Ints) -> Floats:
    """Compare each face with one person: float (N,), the similarity that ``identify`` would give them.

    Args:
        embeddings: (N, D) unit rows.
        people: (N,) ids, all in the gallery.
    Raises:
        ValueError: if an embedding is not a unit vector, or a person is not in the gallery.
    """
    probes = unit_rows(embeddings, "face")
    place = np.searchsorted(gallery.people, people)
    known = place < len(gallery.people)
    known[known] = gallery.people[place[known]] == people[known]
    if not known.all():
        raise ValueError(f"not in the gallery: people {np.unique(people[~known])[:8].tolist()}")
    parts = [b.similarity[place[b.probes], np.arange(b.similarity.shape[1])] for b in compare(gallery, probes)]
    return np.concatenate([np.empty(0, np.float32), *parts])


def _candidates(gallery: Gallery, probes: Floats, barred: Ints, k: int) -> tuple[Candidates, Ints]:
    count = min(_CANDIDATES, len(gallery.people))
    people = np.zeros((len(probes), count), np.int64)
    similarity = np.zeros((len(probes), count), np.float32)
    nearest = np.full((len(probes), k), -1, np.int64)
    for block in compare(gallery, probes) if count else ():
        top = top_places(block.similarity, count)
        people[block.probes] = top.T
        similarity[block.probes] = np.take_along_axis(block.similarity, top, axis=0).T
        if k:
            nearest[block.probes] = nearest_faces(gallery, probes[block.probes], block.nearest, k)
    keys = np.arange(len(probes))[:, None] * len(gallery.people) + people
    return Candidates(people, similarity, ~np.isin(keys, barred)), nearest


def _barred_keys(barred: Ints | None, faces: int, people: Ints) -> Ints:
    """Check barred pairs and give each as one number, row times people plus place; others than ``people`` drop out."""
    pairs = np.empty((0, 2), np.int64) if barred is None else barred.reshape(-1, 2)
    if ((pairs[:, 0] < 0) | (pairs[:, 0] >= faces)).any():
        raise ValueError(f"barred names rows that are not among the {faces} faces")
    place = np.searchsorted(people, pairs[:, 1])
    known = np.append(people, UNKNOWN)[place] == pairs[:, 1]
    return np.asarray(pairs[known, 0] * len(people) + place[known])
