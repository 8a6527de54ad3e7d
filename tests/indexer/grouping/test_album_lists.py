"""Kept lists are used when they are right, and made anew when they are not."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from indexer.album import Album, open_or_create
from indexer.grouping import album_lists as module
from indexer.grouping.album_lists import FILE_NAME, album_lists, lists_file, read_lists
from indexer.grouping.neighbour_lists import Lists, new_lists


@pytest.fixture
def album(tmp_path: Path) -> Album:
    return open_or_create(tmp_path / "album", "sface", "one-model")


@pytest.fixture
def faces() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    rows = random.standard_normal((300, 16)).astype(np.float32)
    return random.permutation(10_000)[:300], rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_lists_are_kept_privately_and_used_again(album: Album, faces: tuple[np.ndarray, np.ndarray]) -> None:
    first = album_lists(album, *faces)
    assert (album.index / FILE_NAME).stat().st_mode & 0o777 == 0o600
    with (
        mock.patch.object(module, "new_lists", side_effect=AssertionError),
        mock.patch.object(module, "updated_lists", side_effect=AssertionError),
    ):
        again = album_lists(album, *faces)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_faces_that_come_and_go_are_entered_and_struck_out(album: Album, faces: tuple[np.ndarray, np.ndarray]) -> None:
    face_ids, embeddings = faces
    album_lists(album, face_ids[:280], embeddings[:280])
    now = np.random.default_rng(1).permutation(np.arange(3, 300))
    with mock.patch.object(module, "new_lists", side_effect=AssertionError):
        neighbours, similarities = album_lists(album, face_ids[now], embeddings[now])
    expected = new_lists(embeddings[now])
    there = neighbours >= 0
    assert there.mean() > 0.97
    np.testing.assert_array_equal(neighbours[there], expected.neighbours[there])
    np.testing.assert_allclose(similarities[there], expected.similarities[there], atol=1e-6)
    kept = read_lists(album.index / FILE_NAME, album.fingerprint)
    assert kept is not None and (kept[0] == face_ids[now]).all() and (kept[1].neighbours == neighbours).all()


def test_no_face_is_left_and_faces_return(album: Album, faces: tuple[np.ndarray, np.ndarray]) -> None:
    face_ids, embeddings = faces
    album_lists(album, face_ids, embeddings)
    assert album_lists(album, face_ids[:0], embeddings[:0])[0].shape == (0, 64)
    np.testing.assert_array_equal(album_lists(album, face_ids, embeddings)[0], new_lists(embeddings).neighbours)


def _flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "spoil", [_flip, lambda content: content[:-100], lambda content: b"", lambda content: b"PK" * 9]
)
def test_a_damaged_file_is_made_anew(album: Album, faces: tuple[np.ndarray, np.ndarray], spoil: object) -> None:
    expected = album_lists(album, *faces)
    path = album.index / FILE_NAME
    assert callable(spoil)
    path.write_bytes(spoil(path.read_bytes()))
    assert read_lists(path, album.fingerprint) is None
    np.testing.assert_array_equal(album_lists(album, *faces)[0], expected[0])
    assert read_lists(path, album.fingerprint) is not None


def test_lists_that_cannot_be_or_are_of_another_model_are_not_used(album: Album) -> None:
    album.index.mkdir()
    path = album.index / FILE_NAME
    lists = Lists(np.full((3, 64), -1, np.int32), np.full((3, 64), -1, np.float32))
    path.write_bytes(lists_file(lists, np.arange(3), "one-model"))
    assert read_lists(path, "one-model") is not None and read_lists(path, "another") is None
    lists.neighbours[1, 0] = 3
    path.write_bytes(lists_file(lists, np.arange(3), "one-model"))
    assert read_lists(path, "one-model") is None
    path.write_bytes(lists_file(lists, np.arange(2), "one-model"))
    assert read_lists(path, "one-model") is None
