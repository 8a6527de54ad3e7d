"""The index answers like a full comparison, whatever was added to it and taken from it since it was built."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.search.cells import Base, build_base, extend_base
from indexer.search.exact import FullRows, StoredRows
from indexer.search.face_index import FaceIndex, describe, exact_index, index_with_base, place_base
from indexer.search.faiss_calls import Codes
from indexer.search.tuning import FirstLook, Tuning


def unit(rows: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def searched_whole(base: Base) -> Base:
    """The same base, of which every cell is searched and every face compared."""
    cells, faces = base.codes.cells, len(base.face_ids)
    return Base(base.codes, base.face_ids, Tuning(cells, 4 * faces, 1.0, 1.0, faces, faces, 0.5))


POOL = unit(400)
WHOLE = searched_whole(build_base(POOL[:300], np.arange(300), None, floor=0.5))


@pytest.mark.parametrize("number", [np.float32, np.float16])
def test_search_agrees_with_a_full_comparison(number: type) -> None:
    gallery, queries = unit(300), unit(40, seed=1)
    similarities, rows = exact_index(gallery.astype(number)).search(queries, 5)
    full = queries @ gallery.T
    if number is np.float32:
        np.testing.assert_array_equal(rows, np.argsort(-full, axis=1)[:, :5])
    np.testing.assert_allclose(
        similarities, -np.sort(-full, axis=1)[:, :5], atol=1e-6 if number is np.float32 else 1e-3
    )


def test_one_query_and_many_are_answered_alike() -> None:
    """Few queries are compared row by row, many by a product of matrices."""
    index, queries = exact_index(unit(2000)), unit(64, seed=1)
    together = index.search(queries, 7)
    for i in range(0, 64, 16):
        alone = index.search(queries[i : i + 1], 7)
        np.testing.assert_array_equal(alone[1][0], together[1][i])
        np.testing.assert_allclose(alone[0][0], together[0][i], atol=1e-6)


def test_stored_rows_answer_as_full_rows_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are joined, also where a block has fewer rows than are wanted."""
    monkeypatch.setattr("indexer.search.exact.BLOCK", 7)
    gallery, queries = unit(50), unit(5, seed=1)
    for k in (1, 10, 50, 60):
        expected, found = FullRows(gallery).nearest(queries, k), StoredRows(gallery).nearest(queries, k)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_allclose(found[0][:, :50], expected[0][:, :50], atol=1e-6)


def test_float16_storage_answers_nearly_the_same() -> None:
    index = exact_index(unit(200), float16=True)
    similarities, rows = index.search(unit(200), 1)
    assert rows[:, 0].tolist() == list(range(200))
    np.testing.assert_allclose(similarities, 1, atol=1e-3)
    assert index.description == "exact, from float16"


def test_fewer_faces_than_asked_for_are_marked() -> None:
    similarities, rows = exact_index(unit(2)).search(unit(1, seed=1), 4)
    assert (rows[0, 2:] == -1).all() and (similarities[0, 2:] == -1).all()
    assert sorted(rows[0, :2].tolist()) == [0, 1]


def test_no_query_and_no_face() -> None:
    assert exact_index(unit(3)).search(np.empty((0, 16), np.float32), 2)[1].shape == (0, 2)
    for number in (np.float32, np.float16):
        assert (exact_index(np.empty((0, 16), number)).search(unit(1), 2)[1] == -1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("number", [np.float32, np.float16])
def test_values_that_are_no_numbers_are_refused(bad: float, number: type) -> None:
    poisoned = unit(3)
    poisoned[1, 4] = bad
    with pytest.raises(ValueError, match="embedding 1 and 0 more are not numbers"):
        exact_index(poisoned.astype(number))
    with pytest.raises(ValueError, match="not numbers"):
        exact_index(unit(3)).search(poisoned, 1)
    with pytest.raises(ValueError, match="embedding 1 and 0 more are not numbers"):
        build_base(np.concatenate([poisoned, unit(30)]).astype(number), np.arange(33), None, floor=0.5)
    with pytest.raises(ValueError, match="embedding 0 and 0 more are not numbers"):  # of the new ones
        index_with_base(np.concatenate([POOL[:300], poisoned[1:2]]), place_base(WHOLE, np.arange(301)))


@settings(max_examples=60, deadline=None)
@given(kept=st.lists(st.integers(0, 399), max_size=60, unique=True), k=st.integers(1, 12), others=st.integers(0, 400))
def test_base_tail_and_gone_together_equal_brute_force(kept: list[int], k: int, others: int) -> None:
    """Any faces in any order: some of the base, some new; the rest of the base is gone."""
    face_ids = np.array(kept + [face for face in range(others) if face not in set(kept)], np.int64)
    embeddings = POOL[face_ids]
    placed = place_base(WHOLE, face_ids)
    assert placed.gone == 300 - (face_ids < 300).sum() and len(placed.tail) == (face_ids >= 300).sum()
    queries = unit(9, seed=3)
    similarities, rows = index_with_base(embeddings, placed).search(queries, k)
    expected, numbers = exact_index(embeddings).search(queries, k)
    np.testing.assert_array_equal(rows, numbers)
    np.testing.assert_allclose(similarities, expected, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(0, 299), max_size=299), st.randoms(use_true_random=False))
def test_removing_then_adding_answers_the_same(removed: set[int], chance) -> None:
    """Also with a base that does not find everything: what is back is found as before; the order is of no account."""
    base = Base(WHOLE.codes, WHOLE.face_ids, Tuning(6, 30, 1.0, 1.0, 300, 300, 0.5))
    queries = POOL[:40]
    before = index_with_base(POOL[:300], place_base(base, np.arange(300))).search(queries, 3)
    less = np.array(sorted(set(range(300)) - removed))
    rows = index_with_base(POOL[less], place_base(base, less)).search(queries, 3)[1]
    assert not set(less[rows[rows >= 0]].tolist()) & removed
    order = list(range(300))
    chance.shuffle(order)
    again, numbers = index_with_base(POOL[order], place_base(base, np.array(order))).search(queries, 3)
    np.testing.assert_array_equal(np.where(numbers >= 0, np.array(order)[numbers], -1), before[1])
    np.testing.assert_allclose(again, before[0], atol=1e-6)


def test_faces_that_are_sorted_in_later_are_found() -> None:
    base = build_base(POOL[:300], np.arange(300), None, floor=0.5)
    extended = extend_base(base, POOL[300:], np.arange(300, 400))
    index = index_with_base(POOL, place_base(searched_whole(extended), np.arange(400)))
    queries = unit(30, seed=5)
    np.testing.assert_array_equal(index.search(queries, 5)[1], exact_index(POOL).search(queries, 5)[1])
    assert index.description.endswith("up to date")


def test_who_wants_very_many_neighbours_is_answered_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.search.face_index._MOST_CANDIDATES", 20)
    narrow = Base(WHOLE.codes, WHOLE.face_ids, Tuning(1, 5, 0.5, 0.5, 300, 300, 0.5))
    index = index_with_base(POOL[:300], place_base(narrow, np.arange(300)))
    np.testing.assert_array_equal(index.search(POOL[:4], 21)[1], exact_index(POOL[:300]).search(POOL[:4], 21)[1])


@pytest.mark.parametrize("k", [1, 3])
def test_only_who_is_not_sure_after_a_first_look_is_looked_for_further(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looking = replace(WHOLE, tuning=replace(WHOLE.tuning, first_look=FirstLook(2, 10, 0.55)))
    asked: list[tuple[int, int]] = []
    candidates = Codes.candidates

    def counted(self: Codes, queries: np.ndarray, wanted: int, probes: int, alive: np.ndarray | None) -> np.ndarray:
        asked.append((len(queries), probes))
        return candidates(self, queries, wanted, probes, alive)

    monkeypatch.setattr(Codes, "candidates", counted)
    queries, cells = unit(60, seed=7), WHOLE.codes.cells
    similarities, rows = index_with_base(POOL[:300], place_base(looking, np.arange(300))).search(queries, k)
    narrow = replace(WHOLE, tuning=Tuning(2, 10, 1.0, 1.0, 300, 300, 0.5))
    first = index_with_base(POOL[:300], place_base(narrow, np.arange(300))).search(queries, k)
    sure = first[0][:, -1] > 0.55
    assert 0 < sure.sum() < 60
    assert asked[:2] == [(60, 2), (60 - sure.sum(), cells)]
    expected = exact_index(POOL[:300]).search(queries, k)
    np.testing.assert_array_equal(rows, np.where(sure[:, None], first[1], expected[1]))
    np.testing.assert_allclose(similarities, np.where(sure[:, None], first[0], expected[0]), atol=1e-6)


def test_the_description_tells_what_is_new_and_gone() -> None:
    tuned = Base(WHOLE.codes, WHOLE.face_ids, Tuning(24, 128, 0.99861, 0.9, 2000, 300, 0.5))
    face_ids = np.concatenate([np.arange(1, 300), [350, 351]])
    assert index_with_base(POOL[face_ids], place_base(tuned, face_ids)).description == (
        "approximate, 34 cells of which 24 are searched, first neighbour's identity as in exact search for 99.86 % of "
        "2,000 faces, 2 new faces compared exactly, 1 gone face passed over"
    )
    looking = replace(tuned, tuning=replace(tuned.tuning, first_look=FirstLook(3, 32, 0.6)))
    assert "34 cells of which 3 or, if need be, 24 are searched" in describe(place_base(looking, face_ids))


class FakeGpus:
    """Stands in for ``faiss_calls.GpuRows``: remembers what it was told, and compares on the CPU."""

    made: list[tuple[list[int], bool]]

    def __init__(self, blocks: Iterable[np.ndarray], dimension: int, gpus: list[int], *, float16: bool) -> None:
        FakeGpus.made.append((gpus, float16))
        self._rows = np.concatenate([np.empty((0, dimension), np.float32), *blocks])

    def nearest(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        return FullRows(self._rows).nearest(queries, k)


@pytest.mark.parametrize(("device", "gpus"), [("auto", [0, 1]), ("cuda", [0, 1]), ("cuda:1", [1])])
def test_gpus_are_used_when_faiss_sees_them(device: str, gpus: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    FakeGpus.made = []
    monkeypatch.setattr("indexer.search.faiss_calls.gpu_count", lambda: 2)
    monkeypatch.setattr("indexer.search.faiss_calls.GpuRows", FakeGpus)
    monkeypatch.setattr("indexer.search.exact.BLOCK", 100)
    index = exact_index(POOL, device=device, float16=True)
    assert FakeGpus.made == [(gpus, True)]
    assert index.description == f"exact, on {len(gpus)} GPU{'s' * (len(gpus) > 1)}"
    assert index.search(POOL, 1)[1][:, 0].tolist() == list(range(400))


@pytest.mark.parametrize(
    ("device", "problem"),
    [("cuda", "FAISS sees 0 GPUs"), ("cuda:3", "FAISS sees 0 GPUs"), ("tpu", "choose auto, cpu, cuda or cuda:N")],
)
def test_a_gpu_that_is_not_there_is_an_error(device: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from embedder.device import DeviceError

    monkeypatch.setattr("indexer.search.faiss_calls.gpu_count", lambda: 0)
    with pytest.raises(DeviceError, match=problem):
        exact_index(POOL, device=device)
    assert isinstance(exact_index(POOL, device="auto"), FaceIndex)
