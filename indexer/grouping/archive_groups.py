"""Group the faces of an archive, those with a name too: what is grouped with a name is proposed for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from embedder.vectors import UnitRows
from indexer.archive import Archive
from indexer.grouping.album_lists import album_lists
from indexer.grouping.cluster import Clustering, ClusterSettings, calibrate, cluster_faces
from indexer.grouping.face_constraints import Facts
from indexer.grouping.groups import NOBODY
from indexer.grouping.likelihoods import REACH, chance_in_group, spread_or_usual, stepped
from indexer.grouping.link_threshold import Evidence
from indexer.grouping.neighbour_graph import Background, similar_pairs
from indexer.grouping.unknown_network import link_threshold_of

# Cosine at which two faces of an album of middle size are linked, where the album itself tells nothing.
_PRIORS = {"sface": 0.52, "dlib": 0.945}
_UNKNOWN_PRIOR = 0.5


@dataclass(frozen=True)
class ArchiveGroups:
    """The faces of an archive in groups; none holds two names.

    Attributes:
        rows: int64 (M,), archive rows of the faces that took part: all but the ignored.
        clustering: of these M faces.
        owner: int64 (M,), the named person in the group of each face; ``NOBODY`` where none has a name.
        chance: float32 (M,), how likely each face is rightly in its group; 0 for a face alone.
        offset: float32 (M,), cosine, see ``indexer.grouping.neighbour_graph.Background``.
        spread: of the album's background, cosine; nan if unknown.
        links: int64 (L, 2), archive rows of faces of different groups that are alike all the same.
    """

    rows: np.ndarray
    clustering: Clustering
    owner: np.ndarray
    chance: np.ndarray
    offset: np.ndarray
    spread: float
    links: np.ndarray


def group_archive(archive: Archive, *, wrong_share_factor: float = 1.0) -> ArchiveGroups:
    """Group the faces of an archive that are not ignored, under all that was said.

    The caller holds the album's lock: the neighbour lists are kept in the album, and brought up to date.

    Args:
        wrong_share_factor: above 1 links more, below 1 less: see ``settings_for``.
    """
    rows = np.flatnonzero(~archive.ignored)
    facts = facts_of(archive, rows)
    settings = settings_for(archive.album.model, wrong_share_factor, embeddings=archive.embeddings)
    faces = archive.faces
    neighbours, similarities = album_lists(archive.album, faces.face_ids[rows], faces.embeddings[rows])
    background, threshold = calibrate(neighbours, similarities, facts, settings, faces.qualities[rows])
    if threshold.evidence is Evidence.PRIOR:
        threshold = replace(threshold, similarity=stepped(threshold.similarity, wrong_share_factor))
    found = cluster_faces(neighbours, similarities, facts, settings, calibrated=(background, threshold))
    groups = len(found.cohesion)
    owner = np.full(groups + 1, NOBODY, np.int64)  # the last one stands for the label −1
    np.maximum.at(owner, found.labels, facts.person)
    owner[-1] = NOBODY
    spread = spread_or_usual(background.spread, threshold.similarity)
    chance = np.append(chance_in_group(found.isolation, found.cohesion, spread), 0).astype(np.float32)
    return ArchiveGroups(
        rows=rows,
        clustering=found,
        owner=owner[found.labels],
        chance=chance[found.labels],
        offset=background.offset.astype(np.float32),
        spread=background.spread,
        links=rows[_links(neighbours, similarities, background, found)],
    )


def settings_for(
    network: str, wrong_share_factor: float = 1.0, *, embeddings: np.ndarray | UnitRows | None = None
) -> ClusterSettings:
    """Give the settings for a network; the odds of a wrong pair at the threshold are multiplied by the factor.

    Args:
        network: its name.
        wrong_share_factor: above 1 links more, below 1 less.
        embeddings: (N, D), unit rows of the album: what a network without a threshold of its own is judged by.
    """
    prior = _PRIORS.get(network, _UNKNOWN_PRIOR)
    if network not in _PRIORS and embeddings is not None:
        prior = link_threshold_of(embeddings, prior)
    usual = ClusterSettings(prior=prior)
    odds = usual.wrong_share / (1 - usual.wrong_share) * wrong_share_factor
    return replace(usual, wrong_share=odds / (1 + odds))


def facts_of(archive: Archive, rows: np.ndarray) -> Facts:
    """Say what is known for certain about the faces at ``rows``: names, same, different, not this person, photos.

    A face that takes no part, since it is ignored or its photo is gone, still joins those that are the same as it.
    """
    people = archive.people
    person = archive.persons[rows]
    same, whose = _joined(archive, rows)
    face_of = dict(zip(person[person >= 0].tolist(), np.flatnonzero(person >= 0).tolist(), strict=True))
    # A named face of which the photo is gone is stood for by any other of its person.
    whose = {f: face_of[p] for f, p in people.whose.items() if p in face_of} | whose
    rejected = [(whose[f], face_of[p]) for f, p in sorted(people.rejected) if f in whose and p in face_of]
    different = [(whose[a], whose[b]) for a, b in people.different if a in whose and b in whose]
    return Facts(
        person=person,
        same=same,
        different=np.array(different + rejected, np.int64).reshape(-1, 2),
        photo=archive.photo_numbers[rows],
    )


def _joined(archive: Archive, rows: np.ndarray) -> tuple[np.ndarray, dict[int, int]]:
    """Read which faces were said to be the same.

    Returns:
        (int64 (S, 2), positions in ``rows`` that are one person; face_id → a position in ``rows`` that stands for it,
        for all faces that anything but a name was said of; faces that nobody stands for are left out).
    """
    people = archive.people
    spoken = {f for pair in (*people.same, *people.different) for f in pair} | {f for f, _ in people.rejected}
    faces = sorted(spoken)
    position = np.full(len(archive.faces) + 1, -1, np.int64)  # the last one stands for a face that is gone
    position[rows] = np.arange(len(rows))
    place = dict(zip(faces, position[archive.rows_of_faces(faces)].tolist(), strict=True))
    head = {face: people.heads.get(face, face) for face in faces}
    here = [face for face in faces if place[face] >= 0]
    stands_for = {head[face]: place[face] for face in reversed(here)}
    same = [(stands_for[head[face]], place[face]) for face in here]
    whose = {face: stands_for[head[face]] for face in faces if head[face] in stands_for}
    return np.array([pair for pair in same if pair[0] != pair[1]], np.int64).reshape(-1, 2), whose


def _links(neighbours: np.ndarray, similarities: np.ndarray, background: Background, found: Clustering) -> np.ndarray:
    """Find pairs of faces of different groups that are nearly as alike as those that are linked.

    Returns:
        int64 (L, 2), positions, the lower one first, each pair once.
    """
    threshold = found.threshold.similarity
    least = threshold - REACH * spread_or_usual(background.spread, threshold)
    pairs = similar_pairs(neighbours, similarities, background, least)
    one, other = found.labels[pairs.a], found.labels[pairs.b]
    apart = (one != other) | (one < 0)
    return np.stack([pairs.a[apart], pairs.b[apart]], axis=1).astype(np.int64)
