"""Neighbour lists: exact in a small archive; in a large one nearly all pairs that matter, and never a wrong one."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.synthetic import face_blocks, read_calibration
from indexer.search.exact import FullRows
from indexer.search.neighbours import neighbour_blocks


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.concatenate([block.embeddings for block in face_blocks(read_calibration(), 6000, seed=3)])


def lists(embeddings: np.ndarray, k: int, exact_up_to: int, probes: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """All blocks in one, by row."""
    similarities = np.full((len(embeddings), k), np.nan, np.float32)
    neighbours = np.full((len(embeddings), k), -2, np.int64)
    seen: list[int] = []
    for block in neighbour_blocks(embeddings, k, exact_up_to=exact_up_to, probes=probes):
        similarities[block.rows], neighbours[block.rows] = block.similarities, block.neighbours
        seen += block.rows.tolist()
    assert sorted(seen) == list(range(len(embeddings)))
    return similarities, neighbours


@pytest.mark.parametrize("exact_up_to", [10_000, 0])
@pytest.mark.parametrize("number", [np.float32, np.float16])
def test_lists_equal_brute_force_when_every_cell_is_searched(faces, exact_up_to: int, number: type, monkeypatch):
    monkeypatch.setattr("indexer.search.neighbours._QUERIES", 333)
    some = faces[:1000].astype(number)
    similarities, neighbours = lists(some, 20, exact_up_to, probes=10_000)
    full = faces[:1000] @ faces[:1000].T
    expected = -np.sort(-full, axis=1)[:, :20]
    np.testing.assert_allclose(similarities, expected, atol=1e-6 if number is np.float32 else 1e-3)
    given = np.take_along_axis(full, neighbours, axis=1)
    np.testing.assert_allclose(given, similarities, atol=1e-6 if number is np.float32 else 1e-3)
    assert all(len(set(row)) == 20 for row in neighbours.tolist())


def test_in_a_large_archive_most_pairs_of_one_person_are_found(faces):
    exact, wanted = lists(faces, 65, 10_000)
    similarities, neighbours = lists(faces, 65, 0)
    held = np.zeros((len(faces), len(faces)), bool)
    there = neighbours >= 0
    held[np.nonzero(there)[0], neighbours[there]] = True
    a, column = np.nonzero((exact > 0.5) & (wanted != np.arange(len(faces))[:, None]))
    b = wanted[a, column]
    assert len(a) > 10_000
    assert (held[a, b] | held[b, a]).mean() > 0.95
    full = faces @ faces.T
    given = np.take_along_axis(full, np.maximum(neighbours, 0), axis=1)
    np.testing.assert_allclose(similarities, np.where(there, given, -1), atol=1e-5)


@pytest.mark.parametrize("exact_up_to", [10, 0])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_faces_than_neighbours(faces, count: int, exact_up_to: int):
    similarities, neighbours = lists(faces[:count], 5, exact_up_to)
    assert (np.sort(neighbours, axis=1)[:, 5 - count :] == np.arange(count)).all()
    assert (neighbours == -1).sum() == count * (5 - count) == (similarities == -1).sum()


@pytest.mark.parametrize("exact_up_to", [10_000, 0])
def test_a_row_that_is_no_number_is_refused(faces, exact_up_to: int):
    poisoned = faces[:100].copy()
    poisoned[40] = np.nan
    with pytest.raises(ValueError, match="embedding 40 and 0 more are not numbers"):
        list(neighbour_blocks(poisoned, 5, exact_up_to=exact_up_to))


def test_gpus_compare_every_face_with_every_other(faces, monkeypatch: pytest.MonkeyPatch):
    def rows_on_gpus(embeddings: np.ndarray, gpus: list[int], *, float16: bool) -> FullRows:
        assert (gpus, float16) == ([0], False)
        return FullRows(embeddings)

    monkeypatch.setattr("indexer.search.faiss_calls.gpu_count", lambda: 1)
    monkeypatch.setattr("indexer.search.neighbours.rows_on_gpus", rows_on_gpus)
    monkeypatch.setattr("indexer.search.neighbours._by_cells", None)
    on_gpus = lists(faces[:200], 5, 0)
    monkeypatch.undo()
    for one, other in zip(on_gpus, lists(faces[:200], 5, 1000), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_gpu_that_is_not_there_is_an_error(faces):
    with pytest.raises(ValueError, match="FAISS sees 0 GPUs"):
        next(neighbour_blocks(faces[:9], 3, device="cuda"))
