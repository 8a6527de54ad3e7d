"""Neighbour lists, read face by face."""

from __future__ import annotations

import numpy as np
import pytest

from indexer.grouping import neighbour_graph
from indexer.grouping.neighbour_graph import (
    MIN_STRANGERS,
    STRANGERS,
    Background,
    check_lists,
    distrust_poor_faces,
    excess_histogram,
    measure_background,
    no_background,
    similar_pairs,
)


def _lists(faces: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the k most similar of all faces, oneself among them: (neighbours, similarities, all similarities)."""
    rows = np.random.default_rng(seed).standard_normal((faces, 12))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    everything = (rows @ rows.T).astype(np.float32)
    everything = np.maximum(everything, everything.T)
    order = np.argsort(-everything, axis=1, kind="stable")[:, :k]
    return order.astype(np.int64), np.take_along_axis(everything, order, axis=1), everything


@pytest.mark.parametrize("block", [7, 1000])
def test_backgrounds_are_the_mean_of_the_nearest_strangers(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbour_graph, "BLOCK_ROWS", block)
    neighbours, similarities, _ = _lists(60, 40)
    groups = np.arange(60) // 3
    found = measure_background(neighbours, similarities, groups)
    means = np.empty(60)
    for face in range(60):
        strangers = [s for n, s in zip(neighbours[face], similarities[face], strict=True) if groups[n] != groups[face]]
        means[face] = np.mean(sorted(strangers, reverse=True)[:STRANGERS])
    assert found.known.all()
    assert found.level == pytest.approx(np.median(means), abs=1e-6)
    capped = np.minimum(means, np.quantile(means, neighbour_graph.HIGHEST_SHARE))
    assert found.offset == pytest.approx(capped - np.median(means), abs=1e-6)


def test_a_face_with_too_few_strangers_has_no_background() -> None:
    neighbours, similarities, _ = _lists(30, MIN_STRANGERS)
    found = measure_background(neighbours, similarities, np.arange(30))
    assert not found.known.any() and np.isnan(found.level) and (found.offset == 0).all()


def test_the_background_of_poor_faces_is_raised_and_that_of_others_is_not() -> None:
    """The median is .9, so that .3 is enough; .15 lacks half of it."""
    before = Background(np.array([0.1, -0.1, 0.0, 0.0, 0.2]), np.ones(5, bool), 0.3, 0.1)
    after = distrust_poor_faces(before, np.array([0.0, 0.15, 0.9, 1.0, 0.95], np.float32), prior=0.5)
    assert after.offset == pytest.approx([0.1 + 0.3, -0.1 + 0.15, 0.0, 0.0, 0.2], abs=1e-6)
    assert (after.level, after.spread) == (before.level, before.spread)


def test_where_all_faces_are_poor_none_is_distrusted() -> None:
    before = no_background(5)
    assert (distrust_poor_faces(before, np.array([0.04, 0.05, 0.06, 0.05, 0.1]), prior=0.5).offset == 0).all()
    assert (distrust_poor_faces(before, np.zeros(5), prior=0.5).offset == 0).all()
    assert len(distrust_poor_faces(no_background(0), np.empty(0), prior=0.5).offset) == 0


def test_pairs_above_a_threshold_come_once_with_what_is_above() -> None:
    neighbours, similarities, everything = _lists(40, 40)
    offset = np.linspace(-0.1, 0.1, 40)
    background = Background(offset, np.ones(40, bool), 0.0, 1.0)
    pairs = similar_pairs(neighbours, similarities, background, 0.2)
    corrected = everything - (offset[:, None] + offset) / 2 - 0.2
    expected = {(i, j) for i in range(40) for j in range(i + 1, 40) if corrected[i, j] > 0}
    assert list(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)) == sorted(expected)
    assert pairs.excess == pytest.approx(corrected[pairs.a, pairs.b], abs=1e-6)


def test_nobody_and_oneself_are_passed_over() -> None:
    neighbours = np.array([[0, 1, -1], [1, -1, -1], [2, -1, -1]])
    similarities = np.array([[1, 0.9, np.nan], [1, np.nan, np.nan], [1, np.nan, np.nan]], np.float32)
    check_lists(neighbours, similarities)
    pairs = similar_pairs(neighbours, similarities, no_background(3), 0.5)
    assert (pairs.a.tolist(), pairs.b.tolist()) == ([0], [1])


def test_the_histogram_counts_each_pair_once() -> None:
    """Lists of 12 out of 50, so that many pairs stand in one list only."""
    neighbours, similarities, everything = _lists(50, 12)
    background = Background(np.zeros(50), np.arange(50) > 4, 0.0, 0.1)
    edges = np.array([0.0, 2.5, 5.0, 7.5])
    listed = {(min(i, j), max(i, j)) for i in range(50) for j in neighbours[i].tolist() if i != j and min(i, j) > 4}
    heights = [everything[pair] / 0.1 for pair in listed]
    counts = excess_histogram(neighbours, similarities, background, edges)
    assert counts.tolist() == np.histogram(heights, edges)[0].tolist()


@pytest.mark.parametrize(
    ("neighbours", "similarities", "message"),
    [
        ([[1], [0]], [[0.5, 0.5], [0.5, 0.5]], "not both"),
        ([[2], [0]], [[0.5], [0.5]], "neighbour 2"),
        ([[-2], [0]], [[0.5], [0.5]], "neighbour -2"),
        ([[1], [0]], [[0.5], [np.nan]], "faces 1 and 0"),
        ([[1], [0]], [[np.inf], [0.5]], "faces 0 and 1"),
    ],
)
def test_lists_that_cannot_be_are_refused(neighbours: list, similarities: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_lists(np.array(neighbours), np.array(similarities, np.float32))
