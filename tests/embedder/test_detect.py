"""Where the faces are: reading the network's maps, and the network on real portraits."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

from embedder.detect import (
    FaceDetector,
    Faces,
    agreed_landmarks,
    decode_maps,
    overlaps,
    shrink,
    suppress_overlaps,
)
from embedder.detection import DetectSettings
from embedder.device import Compute, choose_compute
from embedder.int8 import int8_is_fast

# Marked by hand in the portraits: eyes, nose, corners of the mouth; then the box, from the hairline to the chin.
MARKS = {
    "astronaut": [(202, 101), (247, 103), (223, 125), (205, 143), (241, 145)],
    "hopper": [(222, 192), (306, 189), (263, 238), (236, 276), (302, 275)],
}
BOXES = {"astronaut": (180, 60, 90, 118), "hopper": (170, 125, 190, 212)}


@pytest.fixture(scope="module")
def detector(weights: Callable[[str], Path], exact_compute: Compute) -> FaceDetector:
    return FaceDetector(weights("centerface"), exact_compute)


def assert_same(ours: Faces, expected: Faces, *, pixels: float) -> None:
    """The same faces in the same order, each number within ``pixels``."""
    assert len(ours) == len(expected)
    np.testing.assert_allclose(ours.boxes_xywh, expected.boxes_xywh, rtol=0, atol=pixels)
    np.testing.assert_allclose(ours.landmarks, expected.landmarks, rtol=0, atol=pixels)
    np.testing.assert_allclose(ours.confidences, expected.confidences, rtol=0, atol=1e-3)


# ---------------------------------------------------------------- maps


def empty_maps(height: int = 6, width: int = 9) -> list[np.ndarray]:
    return [np.zeros((channels, height, width), np.float32) for channels in (1, 2, 2, 10)]


def test_one_cell_becomes_one_box():
    """All numbers by hand: the centre is at ((7 + .25 + .5) · 4, (3 - .25 + .5) · 4) = (31, 13)."""
    heat, log_size, offset, points = empty_maps()
    heat[0, 3, 7] = 0.8
    log_size[:, 3, 7] = math.log(5), math.log(4)  # 20 pixels high, 16 wide
    offset[:, 3, 7] = -0.25, 0.25
    points[:, 3, 7] = [0.25, 0.25, 0.25, 0.75, 0.5, 0.5, 0.75, 0.25, 0.75, 0.75]  # y before x
    boxes, landmarks, confidences = decode_maps(heat, log_size, offset, points, min_confidence=0.5)
    np.testing.assert_allclose(boxes, [[23, 3, 16, 20]], rtol=1e-6)
    np.testing.assert_allclose(landmarks, [[[27, 8], [35, 8], [31, 13], [27, 18], [35, 18]]], rtol=1e-6)
    np.testing.assert_allclose(confidences, [0.8])
    assert (boxes.dtype, landmarks.dtype, confidences.dtype) == (np.float32, np.float32, np.float32)


def test_cells_below_the_limit_are_not_looked_at():
    heat, *others = empty_maps()
    heat[0, :2, 0] = 0.5, 0.499
    boxes, landmarks, confidences = decode_maps(heat, *others, min_confidence=0.5)
    assert (len(boxes), len(landmarks), len(confidences)) == (1, 1, 1)
    boxes, landmarks, confidences = decode_maps(heat, *others, min_confidence=0.6)
    assert (boxes.shape, landmarks.shape, confidences.shape) == ((0, 4), (0, 5, 2), (0,))


def test_a_box_ends_where_the_photo_ends():
    """At the left and the top, and its landmarks are reckoned from there."""
    heat, log_size, offset, points = empty_maps()
    heat[0, 0, 0] = 1
    log_size[:, 0, 0] = math.log(5)
    boxes, landmarks, _ = decode_maps(heat, log_size, offset, points, min_confidence=0.5)
    np.testing.assert_allclose(boxes, [[0, 0, 20, 20]], rtol=1e-6)
    np.testing.assert_array_equal(landmarks, np.zeros((1, 5, 2)))


def test_maps_agree_with_the_definition():
    """Cell by cell, on maps of noise."""
    draw = np.random.default_rng(1)
    heat, log_size, offset, points = (draw.uniform(0, 1, m.shape).astype(np.float32) for m in empty_maps(8, 5))
    boxes, landmarks, confidences = decode_maps(heat, log_size, offset, points, min_confidence=0.7)
    cells = [(row, column) for row in range(8) for column in range(5) if heat[0, row, column] >= 0.7]
    assert 3 < len(cells) == len(boxes) < 30
    for (row, column), box, marks, confidence in zip(cells, boxes, landmarks, confidences, strict=True):
        height, width = (4 * math.exp(value) for value in log_size[:, row, column])
        left = max(4 * (column + offset[1, row, column] + 0.5) - width / 2, 0)
        top = max(4 * (row + offset[0, row, column] + 0.5) - height / 2, 0)
        np.testing.assert_allclose(box, (left, top, width, height), rtol=1e-5)
        for number, mark in enumerate(marks):
            y, x = points[2 * number : 2 * number + 2, row, column]
            np.testing.assert_allclose(mark, (left + x * width, top + y * height), rtol=1e-5)
        assert confidence == heat[0, row, column]


# ---------------------------------------------------------------- overlaps

WHOLE_BOXES = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)), max_size=12
)


def pixels_of(box: tuple[int, ...]) -> set[tuple[int, int]]:
    x, y, w, h = box
    return {(column, row) for column in range(x, x + w) for row in range(y, y + h)}


def overlap_by_counting(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    return len(pixels_of(one) & pixels_of(other)) / len(pixels_of(one) | pixels_of(other))


@given(WHOLE_BOXES.filter(len))
def test_overlaps_agree_with_counting_pixels(boxes: list[tuple[int, ...]]):
    found = overlaps(np.array(boxes[0], np.float64), np.array(boxes, np.float64))
    np.testing.assert_allclose(found, [overlap_by_counting(boxes[0], box) for box in boxes], rtol=1e-12)


def suppress_slowly(boxes: list[tuple[int, ...]], confidences: list[float], limit: float) -> list[int]:
    """The definition: a box stays if no surer box that stays overlaps it by more than the limit."""
    kept: list[int] = []
    for row in sorted(range(len(boxes)), key=lambda row: (-confidences[row], row)):
        if all(overlap_by_counting(boxes[row], boxes[other]) <= limit for other in kept):
            kept.append(row)
    return kept


@given(
    boxes=WHOLE_BOXES,
    ranks=st.lists(st.integers(0, 5), min_size=12, max_size=12),
    limit=st.sampled_from([0.0, 0.25, 0.3, 0.5, 1.0]),
)
def test_suppression_agrees_with_the_definition(boxes: list[tuple[int, ...]], ranks: list[int], limit: float):
    """Also where several boxes are equally sure: the first of them goes first."""
    confidences = [rank / 8 for rank in ranks[: len(boxes)]]
    kept = suppress_overlaps(np.array(boxes, np.float64).reshape(-1, 4), np.array(confidences), limit)
    assert kept.dtype == np.int64
    assert kept.tolist() == suppress_slowly(boxes, confidences, limit)


def test_the_surest_of_a_chain_does_not_drop_its_neighbour_but_one():
    """The middle box overlaps both; dropped itself, it drops nobody."""
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 10, 10]], np.float32)
    assert suppress_overlaps(boxes, np.array([0.9, 0.8, 0.7]), 0.3).tolist() == [0, 2]
    assert suppress_overlaps(boxes, np.array([0.8, 0.9, 0.7]), 0.3).tolist() == [1]


def test_boxes_without_area_overlap_nothing():
    assert overlaps(np.zeros(4), np.zeros((2, 4))).tolist() == [0, 0]


# ---------------------------------------------------------------- shrinking


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((480, 640), (480, 640)),
        ((100, 30), (100, 30)),
        ((960, 1280), (480, 640)),
        ((1000, 641), (640, 410)),
        ((3, 9000), (1, 640)),
        ((9000, 3), (640, 1)),
    ],
)
def test_only_large_photos_are_shrunk(shape: tuple[int, int], expected: tuple[int, int]):
    photo = np.full((*shape, 3), 77, np.uint8)
    small = shrink(photo, 640)
    assert small.shape == (*expected, 3)
    assert (small == 77).all()
    if shape == expected:
        assert small is photo


# ---------------------------------------------------------------- portraits


@pytest.mark.parametrize("name", MARKS)
def test_a_portrait_has_one_face_where_a_human_sees_it(name: str, portrait_faces: dict[str, Faces]):
    faces = portrait_faces[name]
    assert len(faces) == 1
    assert faces.confidences[0] > 0.8
    assert overlaps(np.array(BOXES[name], np.float32), faces.boxes_xywh)[0] > 0.8
    distances = np.linalg.norm(faces.landmarks[0] - MARKS[name], axis=1)
    assert distances.max() < 0.07 * BOXES[name][3]


def test_the_left_of_the_picture_comes_first(portrait_faces: dict[str, Faces]):
    for faces in portrait_faces.values():
        left_eye, right_eye, nose, left_corner, right_corner = faces.landmarks[0]
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_corner[0] < nose[0] < right_corner[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_corner[1], right_corner[1])


def test_a_photo_has_the_same_faces_alone_and_beside_others(
    detector: FaceDetector, portraits: dict[str, np.ndarray], portrait_faces: dict[str, Faces]
):
    noise = np.random.default_rng(1).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    found = detector.detect([noise, portraits["hopper"], noise[:50], portraits["astronaut"]])
    assert_same(found[1], portrait_faces["hopper"], pixels=1e-3)
    assert_same(found[3], portrait_faces["astronaut"], pixels=1e-3)


def test_photos_in_one_batch_keep_their_own_faces(
    weights: Callable[[str], Path],
    exact_compute: Compute,
    portraits: dict[str, np.ndarray],
    portrait_faces: dict[str, Faces],
):
    """Photos that differ a little in shape share a batch; each is read up to its own edge, black beyond it."""
    compute = dataclasses.replace(exact_compute, detect_batch=3, lanes=1)
    astronaut = portraits["astronaut"]
    low, cut = astronaut[:230], astronaut[:184, :260]  # the face is at the edge of it
    padded = np.zeros((192, 288, 3), np.uint8)
    padded[:184, :260] = cut
    photos = [low, astronaut, np.zeros((300, 200, 3), np.uint8), astronaut[:, ::-1], cut, astronaut, padded]
    found = FaceDetector(weights("centerface"), compute).detect(photos)
    alone = portrait_faces["astronaut"]
    assert overlaps(alone.boxes_xywh[0], found[0].boxes_xywh)[0] > 0.85
    assert_same(found[1], alone, pixels=0.05)
    assert len(found[2]) == 0
    assert overlaps(mirrored(alone.boxes_xywh, 512)[0], found[3].boxes_xywh)[0] > 0.85
    assert_same(found[4], found[6], pixels=0.05)
    assert_same(found[5], alone, pixels=0.05)


def mirrored(boxes_xywh: np.ndarray, width: int) -> np.ndarray:
    return np.concatenate([width - boxes_xywh[:, :1] - boxes_xywh[:, 2:3], boxes_xywh[:, 1:]], axis=1)


def test_faces_of_a_large_photo_are_given_in_its_own_pixels(detector: FaceDetector, portraits: dict[str, np.ndarray]):
    """Three times the size, and wider than high by a margin: both directions are scaled by themselves."""
    wide = cv2.copyMakeBorder(portraits["astronaut"], 0, 0, 0, 100, cv2.BORDER_REPLICATE)
    large = cv2.resize(wide, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    (small_faces,), (large_faces,) = detector.detect([wide]), detector.detect([large])
    assert overlaps(3 * small_faces.boxes_xywh[0], large_faces.boxes_xywh)[0] > 0.9
    np.testing.assert_allclose(large_faces.landmarks[0], 3 * np.array(MARKS["astronaut"]), rtol=0, atol=20)


def test_bfloat16_finds_the_same_faces(
    weights: Callable[[str], Path],
    fast_compute: Compute,
    portraits: dict[str, np.ndarray],
    portrait_faces: dict[str, Faces],
):
    """The size is a power of e, so its error grows with the face: 3 % of it, the landmarks 1.5 %."""
    found = FaceDetector(weights("centerface"), fast_compute).detect(list(portraits.values()))
    for faces, exact in zip(found, portrait_faces.values(), strict=True):
        assert len(faces) == 1
        size = exact.boxes_xywh[0, 2:].max()
        np.testing.assert_allclose(faces.boxes_xywh, exact.boxes_xywh, rtol=0, atol=0.03 * size)
        np.testing.assert_allclose(faces.landmarks, exact.landmarks, rtol=0, atol=0.015 * size)
        np.testing.assert_allclose(faces.confidences, exact.confidences, rtol=0, atol=0.02)


# ---------------------------------------------------------------- no face


@pytest.mark.parametrize("shape", [(2, 2), (1, 40), (31, 20), (32, 32), (33, 65), (5, 3000)])
def test_a_tiny_or_odd_photo_has_no_face(shape: tuple[int, int], detector: FaceDetector):
    photo = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (faces,) = detector.detect([photo])
    assert (faces.boxes_xywh.shape, faces.landmarks.shape, faces.confidences.shape) == ((0, 4), (0, 5, 2), (0,))


def test_a_photo_that_is_little_more_than_a_face_has_one(detector: FaceDetector, portraits: dict[str, np.ndarray]):
    """59 × 63 pixels; neither side is a multiple of the network's step."""
    part = cv2.resize(portraits["astronaut"][40:200, 150:300], (59, 63), interpolation=cv2.INTER_AREA)
    (faces,) = detector.detect([part])
    assert len(faces) == 1
    expected = (np.array(BOXES["astronaut"]) - [150, 40, 0, 0]) * 63 / 160
    assert overlaps(expected, faces.boxes_xywh)[0] > 0.7


def test_a_cup_of_coffee_is_no_face(detector: FaceDetector):
    assert [len(faces) for faces in detector.detect([skimage.data.coffee()])] == [0]


def test_no_photo_gives_no_answer(detector: FaceDetector):
    assert detector.detect([]) == []


# ---------------------------------------------------------------- settings


def with_maps(monkeypatch: pytest.MonkeyPatch, detector: FaceDetector, cells: dict[tuple[int, int], float]) -> None:
    """Let the network see a face of 16 × 16 pixels at each cell (row, column), as sure as it says."""

    def run(inputs: list[np.ndarray]) -> list[np.ndarray]:
        height, width = (-(-side // 32) * 8 for side in inputs[0].shape[:2])
        heat, log_size, offset, points = (m[None] for m in empty_maps(height, width))
        for (row, column), confidence in cells.items():
            heat[0, 0, row, column] = confidence
        return [heat, log_size + math.log(4), offset, points]

    monkeypatch.setattr(detector, "_run", run)


def test_faces_in_the_padding_are_none(detector: FaceDetector, monkeypatch: pytest.MonkeyPatch):
    """A photo of 40 × 50 is padded to 64 × 64: from column 12 and row 10 on there is no photo."""
    with_maps(monkeypatch, detector, {(3, 11): 0.9, (3, 14): 0.9, (8, 3): 0.8, (12, 3): 0.9})
    (faces,) = detector.detect([np.zeros((40, 50, 3), np.uint8)])
    np.testing.assert_allclose(faces.boxes_xywh, [[38, 6, 16, 16], [6, 26, 16, 16]], rtol=1e-6)


def test_the_surest_face_comes_first_and_overlaps_are_dropped(detector: FaceDetector, monkeypatch: pytest.MonkeyPatch):
    with_maps(monkeypatch, detector, {(5, 5): 0.6, (5, 6): 0.7, (5, 12): 0.9, (12, 5): 0.28})
    (faces,) = detector.detect([np.zeros((64, 64, 3), np.uint8)])
    np.testing.assert_allclose(faces.confidences, [0.9, 0.7])
    np.testing.assert_allclose(faces.boxes_xywh[:, 0], [42, 18], rtol=1e-6)


def test_settings_are_obeyed(detector: FaceDetector, monkeypatch: pytest.MonkeyPatch):
    with_maps(monkeypatch, detector, {(5, 5): 0.6, (5, 6): 0.7, (12, 10): 0.2})
    monkeypatch.setattr(detector, "settings", DetectSettings(long_side=64, min_confidence=0.1, max_overlap=0.9))
    (faces,) = detector.detect([np.zeros((128, 96, 3), np.uint8)])  # is halved
    np.testing.assert_allclose(faces.confidences, [0.7, 0.6, 0.2])
    np.testing.assert_allclose(faces.boxes_xywh[:, 0], [36, 28, 68], rtol=1e-6)
    np.testing.assert_allclose(faces.boxes_xywh[:, 2:], 32, rtol=1e-6)


@pytest.mark.skipif(not int8_is_fast(), reason="this processor has no fast int8")
def test_on_bytes_it_finds_the_same_faces(
    weights: Callable[[str], Path], portraits: dict[str, np.ndarray], detector: FaceDetector
):
    on_bytes = FaceDetector(weights("centerface"), choose_compute("cpu"))
    for found, expected in zip(
        on_bytes.detect(list(portraits.values())), detector.detect(list(portraits.values())), strict=True
    ):
        assert len(found) == len(expected) == 1
        size = expected.boxes_xywh[0, 2]
        np.testing.assert_allclose(found.boxes_xywh, expected.boxes_xywh, atol=0.06 * size)
        np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.03 * size)


def test_landmarks_are_what_the_cells_of_a_face_agree_on():
    """Weighted by the cube of the confidence; cells of other faces have no say."""
    boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [40, 0, 10, 10], [6, 0, 10, 10]], np.float32)
    landmarks = np.stack([np.full((5, 2), value, np.float32) for value in (1, 4, 100, 50)])
    confidences = np.array([0.8, 0.4, 0.9, 0.7], np.float32)
    agreed = agreed_landmarks(np.array([2, 0]), boxes, landmarks, confidences)
    assert agreed.dtype == np.float32
    np.testing.assert_allclose(agreed[0], 100)
    np.testing.assert_allclose(agreed[1], (0.8**3 * 1 + 0.4**3 * 4) / (0.8**3 + 0.4**3), rtol=1e-6)
    assert agreed_landmarks(np.empty(0, np.int64), boxes, landmarks, confidences).shape == (0, 5, 2)


def test_a_second_look_finds_what_the_first_was_too_small_for(
    weights: Callable[[str], Path], exact_compute: Compute, portraits: dict[str, np.ndarray]
):
    """A face 21 pixels wide in a photo of 2,400: at 320 it has 3, at 1,600 it has 14. The large face counts once."""
    photo = np.full((1200, 2400, 3), 128, np.uint8)
    photo[50:562, 50:562], small = portraits["astronaut"], cv2.resize(portraits["astronaut"], (120, 120))
    photo[900:1020, 2000:2120] = small
    once, twice = (
        FaceDetector(weights("centerface"), exact_compute, DetectSettings(long_side=320, second_side=side))
        for side in (0, 1600)
    )
    first, both = once.detect([photo])[0], twice.detect([photo])[0]
    assert [round(float(x)) > 1900 for x in first.boxes_xywh[:, 0]] == [False]
    assert sorted(float(x) > 1900 for x in both.boxes_xywh[:, 0]) == [False, True]
    assert (np.diff(both.confidences) <= 0).all()
    place = int(np.argmax(both.boxes_xywh[:, 0]))
    expected = (2000, 900) + np.array(MARKS["astronaut"]) * 120 / 512
    np.testing.assert_allclose(both.landmarks[place], expected, atol=4)


def test_a_photo_that_was_seen_whole_is_not_looked_at_again(
    detector: FaceDetector, monkeypatch: pytest.MonkeyPatch, portraits: dict[str, np.ndarray]
):
    looks: list[int] = []
    real = detector._look
    monkeypatch.setattr(detector, "settings", DetectSettings(long_side=512, second_side=1024))
    monkeypatch.setattr(detector, "_look", lambda photos, side: looks.append(len(photos)) or real(photos, side))
    detector.detect([portraits["astronaut"], portraits["hopper"]])  # 512 and 600 pixels
    assert looks == [2, 1]


@pytest.mark.skipif(not int8_is_fast(), reason="this processor has no fast int8")
def test_exact_settings_keep_off_bytes(weights: Callable[[str], Path]):
    on_bytes, exact = (
        FaceDetector(weights("centerface"), choose_compute("cpu"), DetectSettings(exact=value))
        for value in (False, True)
    )
    kinds = [{type(m).__name__ for m in detector._network.modules()} for detector in (on_bytes, exact)]
    assert ["_Int8Convolution" in kind for kind in kinds] == [True, False]
