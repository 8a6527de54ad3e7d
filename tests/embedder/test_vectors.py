"""Embeddings in parts read as the one matrix that they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.vectors import UnitRows, Vectors

DIMENSION = 3


def stored(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, DIMENSION)).astype(np.float16)


def in_parts(whole: np.ndarray, sizes: list[int]) -> Vectors:
    return Vectors(np.split(whole, np.cumsum(sizes)[:-1]), DIMENSION)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.data())
def test_any_rows_are_those_of_the_matrix(sizes: list[int], data: st.DataObject):
    whole = stored(sum(sizes))
    vectors = in_parts(whole, sizes)
    assert (len(vectors), vectors.shape) == (len(whole), whole.shape)
    np.testing.assert_array_equal(np.asarray(vectors), whole)
    start, stop = (data.draw(st.integers(-len(whole) - 1, len(whole) + 1)) for _ in range(2))
    np.testing.assert_array_equal(vectors[start:stop], whole[start:stop])
    np.testing.assert_array_equal(vectors[start:stop:2], whole[start:stop:2])
    if not len(whole):
        return
    rows = np.array(data.draw(st.lists(st.integers(-len(whole), len(whole) - 1), max_size=8)), np.int64)
    np.testing.assert_array_equal(vectors[rows], whole[rows])
    np.testing.assert_array_equal(vectors[int(rows[0])] if len(rows) else whole[0], whole[rows[0] if len(rows) else 0])
    selected = vectors.select(rows % len(whole))
    np.testing.assert_array_equal(np.asarray(selected), whole[rows])
    np.testing.assert_array_equal(selected[1:], whole[rows][1:])
    joined = Vectors([selected, whole], DIMENSION)
    np.testing.assert_array_equal(np.asarray(joined), np.concatenate([whole[rows], whole]))
    mask = np.zeros(len(whole), bool)
    mask[rows] = True
    np.testing.assert_array_equal(vectors[mask], whole[mask])


def test_a_row_that_is_not_there():
    with pytest.raises(IndexError):
        in_parts(stored(4), [2, 2])[4]


def test_one_part_is_not_copied():
    whole = stored(6)
    vectors = in_parts(whole, [4, 2])
    assert np.shares_memory(vectors[1:4], whole) and np.shares_memory(vectors[4:6], whole)
    assert not np.shares_memory(vectors[3:5], whole)


def test_unit_rows():
    """Rows as they are stored are only nearly of unit length; a row without length stays what it is."""
    whole = stored(5)
    whole[2] = 0
    rows = UnitRows(in_parts(whole, [3, 2]))
    expected = whole.astype(np.float32)
    expected[[0, 1, 3, 4]] /= np.linalg.norm(expected[[0, 1, 3, 4]], axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(rows), expected, rtol=1e-6)
    np.testing.assert_allclose(rows[1], expected[1], rtol=1e-6)
    np.testing.assert_allclose(rows[[4, 0]], expected[[4, 0]], rtol=1e-6)
    whole[0, 1] = np.inf
    assert not np.isfinite(UnitRows(Vectors([whole], DIMENSION))[0]).all()
    assert rows[1].dtype == rows[:2].dtype == np.float32 and rows.shape == (5, DIMENSION)
