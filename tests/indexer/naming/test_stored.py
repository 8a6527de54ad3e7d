"""What is dear to compute, as arrays: given back whole, and never for another album."""

from dataclasses import fields

import numpy as np
import pytest

from indexer.naming.calibration import calibrate
from indexer.naming.gallery import build_gallery
from indexer.naming.identify import album_impostors, identify
from indexer.naming.stored import pack, unpack


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    owner = rng.permutation(np.repeat(np.arange(60), 7))
    rows = rng.normal(size=(60, 24))[owner] + 0.5 * rng.normal(size=(420, 24))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    gallery = build_gallery(rows, owner * 3, rng.random(420))
    return rows, gallery, calibrate("sface", gallery.counts, album_impostors(gallery))


def test_what_was_stored_comes_back_as_it_was(made, tmp_path):
    rows, gallery, calibration = made
    np.savez(tmp_path / "stored.npz", **pack(gallery, calibration, "this"))
    with np.load(tmp_path / "stored.npz", allow_pickle=False) as arrays:
        known = unpack(arrays, "this", rows)
    assert known is not None
    for now, then in zip(known, (gallery, calibration), strict=True):
        for field in fields(then):
            np.testing.assert_array_equal(getattr(now, field.name), getattr(then, field.name))
            assert type(getattr(now, field.name)) is type(getattr(then, field.name))
    photo = np.arange(len(rows))
    before, after = identify(gallery, calibration, rows, photo), identify(*known, rows, photo)
    np.testing.assert_array_equal(before.person, after.person)
    np.testing.assert_array_equal(before.similarity, after.similarity)


def test_embeddings_are_not_among_the_arrays(made):
    rows, gallery, calibration = made
    arrays = pack(gallery, calibration, "this")
    assert "embeddings" not in arrays
    assert sum(array.nbytes for array in arrays.values()) < rows.nbytes


def test_what_was_made_from_something_else_is_not_used(made):
    rows, gallery, calibration = made
    arrays = pack(gallery, calibration, "this")
    assert unpack(arrays, "that", rows) is None
    assert unpack({}, "this", rows) is None


def test_a_vector_that_is_no_number_is_named_here_too(made):
    rows, gallery, calibration = made
    arrays = pack(gallery, calibration, "this")
    rows[5] = np.nan
    with pytest.raises(ValueError, match="gallery face 5;"):
        unpack(arrays, "this", rows)
