"""Lists that are kept up to date against lists that are made anew, and those against comparing all with all."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.grouping import neighbour_lists
from indexer.grouping.neighbour_lists import MOST_LOST, Lists, new_lists, updated_lists


def _faces(count: int, seed: int, people: int = 20) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows = random.standard_normal((people, 32))[random.integers(0, people, count)]
    rows = rows + 0.7 * random.standard_normal((count, 32))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _all_with_all(embeddings: np.ndarray, k: int) -> Lists:
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : min(k, max(len(embeddings) - 1, 0))]
    lists = Lists(np.full((len(embeddings), k), -1, np.int32), np.full((len(embeddings), k), -1, np.float32))
    lists.neighbours[:, : order.shape[1]] = order
    lists.similarities[:, : order.shape[1]] = np.take_along_axis(similarity, order, axis=1)
    return lists


def _update(embeddings: np.ndarray, before: np.ndarray, now: np.ndarray, k: int) -> Lists:
    """List the faces ``before``, then bring the lists up to date for the faces ``now``; both number rows."""
    where = {int(face): row for row, face in enumerate(now)}
    place = np.array([where.get(int(face), -1) for face in before], np.int64)
    with mock.patch.object(neighbour_lists, "MOST_NEW", np.inf):  # never all anew
        return updated_lists(new_lists(embeddings[before], k), place, embeddings[now])


def _assert_same(found: Lists, expected: Lists) -> None:
    np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-6)
    other = found.neighbours != expected.neighbours
    # Only equals may stand in another order: here similarities differ by more than their rounding.
    assert not other.any()


@pytest.mark.parametrize("count", [0, 1, 2, 9, 200])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_new_lists_are_those_of_all_with_all(count: int, dtype: type) -> None:
    embeddings = _faces(count, seed=count).astype(dtype)
    expected = _all_with_all(embeddings.astype(np.float32), 12)
    found = new_lists(embeddings, 12)
    assert found.neighbours.dtype == np.int32 and found.similarities.dtype == np.float32
    np.testing.assert_allclose(found.similarities, expected.similarities, atol=1e-6 if dtype == np.float32 else 2e-3)
    assert (found.neighbours != expected.neighbours).sum() <= 0.02 * found.neighbours.size


def test_a_face_is_not_in_its_own_list_even_among_many_copies() -> None:
    embeddings = np.repeat(_faces(2, seed=0), 40, axis=0)
    lists = new_lists(embeddings, 5)
    assert (lists.neighbours != np.arange(80)[:, None]).all()
    assert (lists.neighbours // 40 == np.arange(80)[:, None] // 40).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40), st.integers(0, 60), st.integers(1, 12), st.integers(0, 1000))
def test_entering_faces_gives_the_lists_of_a_fresh_search(before: int, more: int, k: int, seed: int) -> None:
    embeddings = _faces(before + more, seed)
    now = np.random.default_rng(seed).permutation(before + more)
    _assert_same(_update(embeddings, np.arange(before), now, k), _all_with_all(embeddings[now], k))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(0, 20), st.integers(0, 30), st.integers(0, 1000))
def test_lists_hold_first_what_a_fresh_search_finds_first(before: int, gone: int, more: int, seed: int) -> None:
    k = 16
    embeddings = _faces(before + more, seed)
    random = np.random.default_rng(seed)
    now = random.permutation(np.concatenate([random.permutation(before)[gone:], before + np.arange(more)]))
    found, expected = _update(embeddings, np.arange(before), now, k), _all_with_all(embeddings[now], k)
    there = found.neighbours >= 0
    assert (there[:, :-1] | ~there[:, 1:]).all(), "no gap before the end of a list"
    np.testing.assert_array_equal(found.neighbours[there], expected.neighbours[there])
    np.testing.assert_allclose(found.similarities[there], expected.similarities[there], atol=1e-6)
    assert (found.similarities[~there] == -1).all()
    missing = ((expected.neighbours >= 0) & ~there).sum(1)
    assert missing.max(initial=0) <= MOST_LOST


def test_a_list_that_lost_many_is_searched_anew() -> None:
    embeddings = _faces(120, seed=3)
    lists = new_lists(embeddings, 16)
    now = np.setdiff1d(np.arange(120), lists.neighbours[0, : MOST_LOST + 1])
    found = _update(embeddings, np.arange(120), now, 16)
    assert (found.neighbours[0] >= 0).all()


def test_many_new_faces_are_listed_anew() -> None:
    embeddings = _faces(90, seed=5)
    former = new_lists(embeddings[:30], 8)
    wrong = Lists(former.neighbours, former.similarities + 5)  # would be carried over by an update
    found = updated_lists(wrong, np.arange(30), embeddings)
    _assert_same(found, _all_with_all(embeddings, 8))


def test_few_new_faces_cost_few_comparisons() -> None:
    """Only the new face is searched: the others are told from its similarities."""
    embeddings = _faces(100, seed=6)
    former = new_lists(embeddings[:99], 8)
    with mock.patch.object(neighbour_lists, "_searched", wraps=neighbour_lists._searched) as searched:
        updated_lists(former, np.arange(99), embeddings)
    assert [call.args[1].tolist() for call in searched.call_args_list] == [[99]]


def test_a_large_archive_is_searched_by_cells() -> None:
    embeddings = _faces(400, seed=7)
    with mock.patch.object(neighbour_lists, "EXACT_FACES", 300):
        found = new_lists(embeddings, 10)
    exact = _all_with_all(embeddings, 10)
    shared = [len(np.intersect1d(a, b)) for a, b in zip(found.neighbours, exact.neighbours, strict=True)]
    assert np.mean(shared) > 8
