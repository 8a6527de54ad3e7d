"""Hard copies: a spoilt photo and where its face lies in it."""

import cv2
import numpy as np
import pytest
from skimage import data

from benchmarks.hard_copies import KINDS, Copy, degrade, draw_kinds

# Where the astronaut's face is, by eye.
BOX = np.array([175, 65, 95, 125], np.float32)
POINTS = np.array([[203, 112], [246, 108], [227, 136], [209, 158], [243, 155]], np.float32)


@pytest.fixture
def clean() -> Copy:
    return Copy(data.astronaut(), BOX, POINTS)


def _made(clean, kind, seed=0):
    return degrade(clean, kind, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_copy_and_leaves_the_photo_alone(clean, kind):
    before = clean.photo.copy()
    one, two = _made(clean, kind), _made(clean, kind)
    np.testing.assert_array_equal(one.photo, two.photo)
    np.testing.assert_array_equal(clean.photo, before)
    assert one.photo.dtype == np.uint8
    assert one.photo.shape != before.shape or (one.photo != before).any()


@pytest.mark.parametrize(("kind", "pixels"), [("32 px", 32), ("24 px", 24)])
def test_a_small_face_is_as_small_as_it_says_and_lies_where_it_lay(clean, kind, pixels):
    small = _made(clean, kind)
    assert small.box_xywh[2:].min() == pytest.approx(pixels, abs=0.3)
    back = cv2.resize(small.photo, clean.photo.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(back.astype(int) - clean.photo).mean() < 12
    ratio = small.photo.shape[1] / clean.photo.shape[1]
    np.testing.assert_allclose((small.landmarks + 0.5) / ratio - 0.5, POINTS, atol=0.5)


def test_a_turned_face_has_its_landmarks_turned_along(clean):
    angles = []
    for seed in range(8):
        turned = _made(clean, "turned", seed)
        eyes = turned.landmarks[1] - turned.landmarks[0]
        before = POINTS[1] - POINTS[0]
        angles.append(np.degrees(np.arctan2(*eyes[::-1]) - np.arctan2(*before[::-1])))
        for now, then in zip(turned.landmarks, POINTS, strict=True):
            patches = [_patch(photo, point) for photo, point in ((turned.photo, now), (clean.photo, then))]
            assert np.abs(patches[0] - patches[1]).max() < 25  # the colour around a point goes with it
    assert {round(abs(angle)) for angle in angles} == {30}
    assert min(angles) < 0 < max(angles)


def _patch(photo, point):
    x, y = np.rint(point).astype(int)
    return photo[y - 2 : y + 3, x - 2 : x + 3].mean(axis=(0, 1))


def test_light_compression_and_cover_change_what_they_say(clean):
    dark = _made(clean, "half dark").photo.astype(float)
    light = dark.sum(axis=(0, 2)) / clean.photo.sum(axis=(0, 2))
    assert sorted([round(light[180], 1), round(light[265], 1)]) == [0.2, 1.0]
    covered = _made(clean, "covered").photo
    changed = np.flatnonzero((covered != clean.photo).any(axis=(1, 2)))
    assert (changed.min(), changed.max() + 1) == (65 + round(125 * 2 / 3), 65 + 125)
    squared = np.abs(_made(clean, "JPEG 15").photo.astype(float) - clean.photo) ** 2
    assert 20 < squared.mean() < 400
    assert _made(clean, "blurred").photo.std() < clean.photo.std()


def test_kinds_are_drawn_evenly_and_by_seed():
    drawn = draw_kinds(7000, 3)
    assert np.bincount(drawn, minlength=len(KINDS)).min() > 900
    np.testing.assert_array_equal(drawn, draw_kinds(7000, 3))
    with pytest.raises(ValueError, match="no kind 'wet'"):
        degrade(Copy(np.zeros((9, 9, 3), np.uint8), BOX, POINTS), "wet", np.random.default_rng(0))
