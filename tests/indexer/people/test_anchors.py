"""Faces are found again by photo and box."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.people.anchors import FaceRef, box_iou, by_photo, reanchor

EDGE = st.integers(-5, 12)
SIDE = st.integers(1, 12)
BOX = st.tuples(EDGE, EDGE, SIDE, SIDE)


def pixels(box):
    x, y, w, h = box
    return {(column, row) for column in range(x, x + w) for row in range(y, y + h)}


@given(BOX, BOX)
def test_iou_counts_pixels(a, b):
    assert box_iou(a, b) == len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b))


def test_a_face_is_found_in_its_photo_only_and_from_half_the_area_on():
    old = [FaceRef(1, "p", (0, 0, 10, 10)), FaceRef(2, "p", (100, 0, 10, 10)), FaceRef(3, "q", (0, 0, 10, 10))]
    half = FaceRef(11, "p", (0, 0, 10, 20))  # IoU .5
    less = FaceRef(12, "p", (100, 0, 10, 21))  # IoU .476
    assert reanchor(old, {"p": [half, less], "r": [FaceRef(13, "r", (0, 0, 10, 10))]}) == {1: 11}


def test_the_nearest_boxes_belong_together_and_each_is_taken_once():
    old = [FaceRef(1, "p", (0, 0, 10, 10)), FaceRef(2, "p", (2, 0, 10, 10))]
    new = [FaceRef(11, "p", (2, 0, 10, 10)), FaceRef(12, "p", (3, 0, 10, 10))]
    assert reanchor(old, {"p": new}) == {2: 11, 1: 12}
    assert reanchor(old, {"p": new[:1]}) == {2: 11}


def test_among_equal_boxes_the_same_id_goes_first():
    twins = [FaceRef(1, "p", (0, 0, 9, 9)), FaceRef(2, "p", (0, 0, 9, 9))]
    assert reanchor(twins, {"p": twins[1:]}) == {2: 2}
    assert reanchor(twins, {"p": twins[::-1]}) == {1: 1, 2: 2}


@given(st.lists(BOX, max_size=5, unique=True), st.permutations(range(5)))
def test_unchanged_faces_are_found_as_themselves_in_any_order(boxes, order):
    faces = [FaceRef(number + 1, "p", box) for number, box in enumerate(boxes)]
    shuffled = [faces[i] for i in order if i < len(faces)]
    assert reanchor(faces, by_photo(shuffled)) == {face.face_id: face.face_id for face in faces}


def test_nothing_is_found_of_nothing():
    assert reanchor([], {}) == {} == reanchor([FaceRef(1, "p", (0, 0, 1, 1))], {"p": []})


@pytest.mark.parametrize(
    ("face_id", "photo_id", "box"),
    [
        (0, "p", (0, 0, 1, 1)),
        (2**63, "p", (0, 0, 1, 1)),
        (1, "", (0, 0, 1, 1)),
        (1, "p", (0, 0, 0, 1)),
        (1, "p", (0, 0, 2**31, 1)),
    ],
)
def test_a_face_that_cannot_be_is_refused(face_id, photo_id, box):
    with pytest.raises(ValueError, match="face"):
        FaceRef(face_id, photo_id, box)
