"""Group faces into people: neighbour lists and facts in, labels out. Opens no file.

First a rough grouping at the network's usual threshold shows which neighbours are strangers; their similarity is each
face's background (``neighbour_graph``) and gives the album's threshold (``link_threshold``). Then pairs above it, with
the background taken off, are grouped by the map equation (``map_equation``); the background of poor faces is raised for
that. Facts hold in both groupings.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from indexer.grouping.communities import find_communities
from indexer.grouping.face_constraints import Facts, Units, join_units, photo_pairs
from indexer.grouping.link_threshold import WRONG_SHARE, Evidence, LinkThreshold, choose_threshold
from indexer.grouping.map_equation import FlowGraph, Nodes, contract, pair_places, sums
from indexer.grouping.neighbour_graph import (
    Background,
    Pairs,
    check_lists,
    distrust_poor_faces,
    measure_background,
    no_background,
    similar_pairs,
)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClusterSettings:
    """How to group faces.

    Args:
        prior: cosine threshold of the network in an album of middle size: SFace .52, dlib's network .945.
        wrong_share: expected share of strangers among the pairs just at the threshold: halve it for a step stricter,
            double it for a step looser.
        threshold: cosine after correction by the background, instead of the one that the album would give.
        seed: settles ties.
    """

    prior: float
    wrong_share: float = WRONG_SHARE
    threshold: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Clustering:
    """Faces grouped into people.

    Args:
        labels: int64 (N,), the group of each face, 0..G-1 from the largest group to the smallest, groups of one size
            by their first face; -1: no other face shows this person.
        cohesion: float64 (G,), cosine: the mean by which the linked pairs in a group are above the threshold. 0 where
            only facts join it.
        isolation: float64 (G,), 0 to 1: what share of the links of a group's faces stay in the group.
        threshold: where links began.
    """

    labels: Ints
    cohesion: Floats
    isolation: Floats
    threshold: LinkThreshold


def cluster_faces(
    neighbours: Ints | Nodes,
    similarities: npt.NDArray[np.float32],
    facts: Facts,
    settings: ClusterSettings,
    *,
    qualities: Floats | None = None,
    calibrated: tuple[Background, LinkThreshold] | None = None,
) -> Clustering:
    """Group faces that show one person.

    Args:
        neighbours: int64 or int32 (N, k), rows of the most similar faces; -1 is nobody, and a face's own row is passed
            over. k = 64; more, up to twice the photos of a person, where an album is few people with many photos.
        similarities: float32 (N, k), cosine.
        facts: what is known for certain; it holds in the result without exception.
        settings: the network's usual threshold, and how strict to be.
        qualities: float (N,), 0 to 1: poor faces are linked by a greater similarity only. None: all faces are good.
        calibrated: what ``calibrate`` gave, if it has been asked already; ``qualities`` are in it.
    Raises:
        ValueError: if shapes or numbers are wrong, or if facts contradict each other: names the two rows.
    """
    units = join_units(facts, len(neighbours))
    background, threshold = calibrated or _calibrate(neighbours, similarities, facts, units, settings, qualities)
    pairs = similar_pairs(neighbours, similarities, background, threshold.similarity)
    groups = find_communities(*_unit_graph(pairs, facts, units), seed=settings.seed)
    labels = _number(groups[units.unit])
    return Clustering(labels, *_describe(pairs, labels), threshold)


def calibrate(
    neighbours: Ints | Nodes,
    similarities: npt.NDArray[np.float32],
    facts: Facts,
    settings: ClusterSettings,
    qualities: Floats | None = None,
) -> tuple[Background, LinkThreshold]:
    """Measure the backgrounds of an album and choose its threshold: the first half of ``cluster_faces``."""
    return _calibrate(neighbours, similarities, facts, join_units(facts, len(neighbours)), settings, qualities)


def _calibrate(
    neighbours: Ints | Nodes,
    similarities: npt.NDArray[np.float32],
    facts: Facts,
    units: Units,
    settings: ClusterSettings,
    qualities: Floats | None,
) -> tuple[Background, LinkThreshold]:
    check_lists(neighbours, similarities)
    nothing = no_background(len(neighbours))
    pairs = similar_pairs(neighbours, similarities, nothing, settings.prior)
    groups = find_communities(*_unit_graph(pairs, facts, units), seed=settings.seed, passes=0)[units.unit]
    background = measure_background(neighbours, similarities, groups)
    trusted = background if qualities is None else distrust_poor_faces(background, qualities, settings.prior)
    if settings.threshold is not None:
        return trusted, LinkThreshold(settings.threshold, Evidence.GIVEN, float("nan"))
    prior, share = settings.prior, settings.wrong_share
    return trusted, choose_threshold(
        neighbours, similarities, background, prior=prior, wrong_share=share, photo=facts.photo
    )


def _unit_graph(pairs: Pairs, facts: Facts, units: Units) -> tuple[FlowGraph, Ints]:
    """Build the walk on the units, and list the rivals: units that stand in one photo.

    A link between two that must stay apart is a resemblance, and left out.
    """
    size = len(units.owner)
    a, b, weight = contract(pairs.a, pairs.b, pairs.excess, units.unit, size)
    links = sparse.coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(size, size))
    region = connected_components(links, directed=False)[1].astype(np.int64) if size else np.empty(0, np.int64)
    rivals = photo_pairs(facts.photo, units.unit, region)
    allowed = (units.owner[a] == units.owner[b]) | (units.owner[a] < 0) | (units.owner[b] < 0)
    allowed[pair_places(a, b, np.concatenate([units.apart, rivals]), size)[0]] = False
    a, b, weight = a[allowed], b[allowed], weight[allowed]
    inside = np.flatnonzero(units.unit[pairs.a] == units.unit[pairs.b])
    strength = 2 * sums(units.unit[pairs.a[inside]], pairs.excess[inside], size)
    strength += sums(a, weight, size) + sums(b, weight, size)
    total = strength.sum() or 1.0
    return FlowGraph(a, b, weight / total, strength / total, units.apart, units.owner), rivals


def _number(groups: Ints) -> Ints:
    """Number the groups of two or more by size, then by first face; -1 for those who are alone."""
    _, first, inverse, size = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -size))
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    number[size < 2] = -1
    result: Ints = number[inverse]
    return result


def _describe(pairs: Pairs, labels: Ints) -> tuple[Floats, Floats]:
    """Measure each group's cohesion and isolation."""
    groups = int(labels.max(initial=-1)) + 1
    at_a, at_b = labels[pairs.a] + 1, labels[pairs.b] + 1
    inside = np.flatnonzero(at_a == at_b)
    within = sums(at_a[inside], pairs.excess[inside], groups + 1)[1:]
    number = np.bincount(at_a[inside], minlength=groups + 1)[1:]
    touching = (sums(at_a, pairs.excess, groups + 1) + sums(at_b, pairs.excess, groups + 1))[1:]
    return within / np.maximum(number, 1), np.where(touching > 0, 2 * within / np.maximum(touching, 1e-300), 1.0)
