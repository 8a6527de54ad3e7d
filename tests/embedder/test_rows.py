"""Names of photos and faces, and tables of faces."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.rows import FaceRows, face_id, join_faces, no_faces, photo_id, select_faces

INT64_MAX = 2**63 - 1
PHOTO_IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
BOXES = st.tuples(*[st.integers(0, 2**31 - 1)] * 4)


def some_faces(count: int, *, first: int = 1) -> FaceRows:
    """Faces whose every number tells which face it belongs to."""
    numbers = np.arange(first, first + count)
    return FaceRows(
        numbers.astype(np.int64),
        [f"{number:032x}" for number in numbers],
        (numbers[:, None] * 10 + np.arange(4)).astype(np.int32),
        (numbers[:, None, None] * 100 + np.arange(10).reshape(5, 2)).astype(np.float32),
        (1 / numbers).astype(np.float32),
        (0.5 / numbers).astype(np.float32),
        (numbers[:, None] + np.arange(6) / 8).astype(np.float16),
    )


def assert_same_faces(ours: FaceRows, expected: FaceRows) -> None:
    assert ours.photo_ids == expected.photo_ids
    for name in ("face_ids", "boxes_xywh", "landmarks", "confidences", "qualities", "embeddings"):
        our, wanted = getattr(ours, name), getattr(expected, name)
        assert our.dtype == wanted.dtype
        np.testing.assert_array_equal(our, wanted)


@given(st.binary(max_size=200))
def test_photo_id_is_the_start_of_the_sha256(content: bytes):
    assert photo_id(content) == hashlib.sha256(content).hexdigest()[:32]


def test_photo_id_of_nothing():
    assert photo_id(b"") == "e3b0c44298fc1c149afbf4c8996fb924"


def test_face_ids_are_the_same_in_every_run():
    """Written down once: albums that are there already name their faces so."""
    assert face_id("e3b0c44298fc1c149afbf4c8996fb924", (1, 2, 3, 4)) == 5186341449034951803


@given(PHOTO_IDS, BOXES)
def test_face_id_is_a_positive_int64(photo: str, box: tuple[int, ...]):
    name = face_id(photo, box)
    assert 0 < name <= INT64_MAX
    assert np.int64(name) == name
    assert face_id(photo, np.array(box, np.int32)) == name


@given(PHOTO_IDS, BOXES, st.integers(0, 3))
def test_another_box_or_photo_is_another_face(photo: str, box: tuple[int, ...], side: int):
    moved = tuple(value + (number == side) for number, value in enumerate(box))
    assert face_id(photo, moved) != face_id(photo, box)
    assert face_id(photo[::-1] + "0", box) != face_id(photo, box)


def test_numbers_do_not_run_into_each_other():
    assert face_id("0" * 32, (1, 23, 4, 5)) != face_id("0" * 32, (12, 3, 4, 5))


def test_joined_faces_follow_each_other():
    assert_same_faces(join_faces([some_faces(2), no_faces(6), some_faces(3, first=3)]), some_faces(5))
    assert len(join_faces([no_faces(6)])) == 0


def test_no_faces_can_be_joined_only_with_their_own_kind():
    with pytest.raises(ValueError, match="dimension"):
        join_faces([some_faces(1), no_faces(7)])


def test_selected_faces_come_in_the_order_asked_for():
    faces = some_faces(5)
    picked = select_faces(faces, np.array([3, 0, 3]))
    assert_same_faces(picked, join_faces([some_faces(1, first=4), some_faces(1), some_faces(1, first=4)]))
    assert_same_faces(select_faces(faces, np.empty(0, np.int64)), no_faces(6))
