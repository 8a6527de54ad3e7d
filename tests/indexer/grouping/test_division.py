"""Two people in one group are parted."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from indexer.grouping import division
from indexer.grouping.division import divide

NOTHING = np.empty((0, 2), np.int64)


def _people(sizes, seed=0, noise=0.05):
    """Faces of people who are at right angles to each other, in random order: embeddings and who each is."""
    rng = np.random.default_rng(seed)
    who = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    faces = np.eye(64, dtype=np.float32)[who] + noise * rng.standard_normal((len(who), 64)).astype(np.float32)
    return faces / np.linalg.norm(faces, axis=1, keepdims=True), who


@pytest.mark.parametrize("sizes", [[5, 3], [1, 9], [4, 3, 2], [1, 1]])
def test_people_are_parted_the_largest_first(sizes) -> None:
    embeddings, who = _people(sizes)
    labels = divide(embeddings, np.arange(len(embeddings)), NOTHING, len(sizes))
    assert np.bincount(labels).tolist() == sorted(sizes, reverse=True)
    assert len(set(zip(labels.tolist(), who.tolist(), strict=True))) == len(sizes)


def test_it_is_average_linkage() -> None:
    embeddings, _ = _people([6, 5, 4], seed=1, noise=0.3)
    ours = divide(embeddings, np.arange(len(embeddings)), NOTHING, 3)
    theirs = fcluster(linkage(embeddings.astype(np.float64), "average", metric="cosine"), 3, "maxclust")
    assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == 3


def test_faces_that_are_all_alike_are_still_parted() -> None:
    assert np.bincount(divide(np.ones((5, 4), np.float32) / 2, np.arange(5), NOTHING, 3)).tolist() == [3, 1, 1]


@pytest.mark.parametrize(("faces", "parts"), [(0, 2), (1, 2), (3, 4), (3, 1)])
def test_too_few_faces_or_parts_are_refused(faces, parts) -> None:
    with pytest.raises(ValueError, match=f"{faces} units cannot be divided into {parts} parts"):
        divide(np.ones((faces, 4), np.float32), np.arange(faces), NOTHING, parts)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(0, 99), st.data())
def test_two_faces_that_are_two_people_are_never_in_one_part(size, seed, data) -> None:
    embeddings, _ = _people([size], seed)
    a, b = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True))
    labels = divide(embeddings, np.arange(size), np.array([[a, b]]), 2)
    assert labels[a] != labels[b] and set(labels.tolist()) == {0, 1}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=14), st.integers(0, 99), st.booleans(), st.data())
def test_faces_that_are_one_person_are_never_parted(people, seed, many, data) -> None:
    """However unlike they are, also where not all faces are compared, and where facts leave too few parts."""
    unit = np.unique(people, return_inverse=True)[1]
    units = int(unit.max()) + 1
    if units < 2:
        return
    row = st.integers(0, len(people) - 1)
    apart = np.array(data.draw(st.lists(st.tuples(row, row), max_size=4)), np.int64).reshape(-1, 2)
    parts = data.draw(st.integers(2, units))
    embeddings, _ = _people([1] * len(people), seed, noise=0.5)
    with mock.patch.object(division, "MOST_LINKED", 7 if many else 2000):
        labels = divide(embeddings, unit, apart, parts)
    assert set(labels.tolist()) == set(range(parts))
    assert len(set(zip(unit.tolist(), labels.tolist(), strict=True))) == units
    assert (np.diff(np.bincount(labels)) <= 0).all()


def test_a_face_that_is_the_same_as_one_of_the_others_goes_with_them() -> None:
    embeddings, who = _people([5, 4])
    unit = np.arange(9)
    stray = int(np.flatnonzero(who == 0)[0])
    unit[stray] = np.flatnonzero(who == 1)[0]
    labels = divide(embeddings, np.unique(unit, return_inverse=True)[1], NOTHING, 2)
    who[stray] = 1
    assert len(set(zip(labels.tolist(), who.tolist(), strict=True))) == 2


def test_of_very_many_faces_some_are_linked_and_the_others_follow(monkeypatch) -> None:
    embeddings, who = _people([60, 25], noise=0.1)
    monkeypatch.setattr(division, "MOST_LINKED", 20)
    labels = divide(
        embeddings, np.arange(85), np.array([[int(np.flatnonzero(who == 0)[7]), int(np.flatnonzero(who == 1)[7])]]), 2
    )
    assert np.array_equal(labels, who)
