"""The index answers like a full comparison, and a damaged file of it is never used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from indexer.index import FaceIndex, build_index, check_index, contents, load_index, save_index


def _unit(rows: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_search_agrees_with_a_full_comparison() -> None:
    gallery, queries = _unit(300), _unit(40, seed=1)
    similarities, rows = build_index(gallery).search(queries, 5)
    full = queries @ gallery.T
    np.testing.assert_array_equal(rows, np.argsort(-full, axis=1)[:, :5])
    np.testing.assert_allclose(similarities, -np.sort(-full, axis=1)[:, :5], atol=1e-6)


def test_fewer_faces_than_asked_for_are_marked() -> None:
    similarities, rows = build_index(_unit(2)).search(_unit(1, seed=1), 4)
    assert (rows[0, 2:] == -1).all() and (similarities[0, 2:] == -1).all()
    assert sorted(rows[0, :2].tolist()) == [0, 1]


def test_no_query_and_no_face() -> None:
    assert build_index(_unit(3)).search(np.empty((0, 16), np.float32), 2)[1].shape == (0, 2)
    assert (build_index(np.empty((0, 16), np.float32)).search(_unit(1), 2)[1] == -1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(bad: float) -> None:
    poisoned = _unit(3)
    poisoned[1, 4] = bad
    with pytest.raises(ValueError, match="embedding 1 and 0 more are not numbers"):
        build_index(poisoned)
    with pytest.raises(ValueError, match="not numbers"):
        build_index(_unit(3)).search(poisoned, 1)


def test_a_saved_index_answers_the_same(tmp_path: Path) -> None:
    gallery, about = _unit(50), contents("f00d", np.arange(50))
    _write(tmp_path, save_index(build_index(gallery), about))
    loaded = load_index(tmp_path, about)
    assert isinstance(loaded, FaceIndex) and len(loaded) == 50
    np.testing.assert_array_equal(loaded.search(gallery, 1)[1][:, 0], np.arange(50))
    assert check_index(tmp_path) == []


def test_an_index_of_other_faces_or_of_another_model_is_not_used(tmp_path: Path) -> None:
    _write(tmp_path, save_index(build_index(_unit(5)), contents("f00d", np.arange(5))))
    assert load_index(tmp_path, contents("beef", np.arange(5))) is None
    assert load_index(tmp_path, contents("f00d", np.arange(1, 6))) is None


def test_every_altered_byte_is_noticed_before_faiss_sees_it(tmp_path: Path) -> None:
    about = contents("f00d", np.arange(5))
    files = save_index(build_index(_unit(5)), about)
    for place in range(0, len(files["faces.faiss"]), 7):
        body = bytearray(files["faces.faiss"])
        body[place] ^= 1
        _write(tmp_path, {**files, "faces.faiss": bytes(body)})
        assert load_index(tmp_path, about) is None
        assert len(check_index(tmp_path)) == 1


@pytest.mark.parametrize("manifest", [b"", b"{", b"[]", b"{}", b"null"])
def test_a_damaged_manifest_means_building_anew(tmp_path: Path, manifest: bytes) -> None:
    about = contents("f00d", np.arange(5))
    _write(tmp_path, {**save_index(build_index(_unit(5)), about), "faces.json": manifest})
    assert load_index(tmp_path, about) is None
    assert check_index(tmp_path) != []


def test_no_index_is_no_problem(tmp_path: Path) -> None:
    assert load_index(tmp_path, contents("f00d", np.arange(5))) is None
    assert check_index(tmp_path) == []
