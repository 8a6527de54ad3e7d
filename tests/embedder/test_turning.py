"""Turned copies of a photo, and the way back: against pixels that know where they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.turning import TURNS, copies_of, places_on_sheet, rolls, sheet_of_turns, turn, turned_back

SIDES = st.integers(1, 40)
QUARTERS = st.integers(0, TURNS - 1)


def numbered(width: int, height: int) -> np.ndarray:
    """A photo whose every pixel holds its own place, (x, y, 0)."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[..., 0], photo[..., 1] = np.arange(width), np.arange(height)[:, None]
    return photo


@given(width=SIDES, height=SIDES, quarters=QUARTERS, place=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_point_comes_back_to_the_pixel_that_it_was(
    width: int, height: int, quarters: int, place: tuple[float, float]
):
    turned = turn(numbered(width, height), quarters)
    x, y = (round(share * (side - 1)) for share, side in zip(place, turned.shape[1::-1], strict=True))
    _, points = turned_back(np.zeros((1, 4)), np.full((1, 5, 2), (x, y)), quarters, (width, height))
    assert points.tolist() == [[[*turned[y, x, :2].tolist()]] * 5]


@given(width=SIDES, height=SIDES, quarters=QUARTERS, box=st.tuples(*[st.floats(0, 1)] * 4))
def test_a_box_comes_back_to_the_pixels_that_it_held(
    width: int, height: int, quarters: int, box: tuple[float, float, float, float]
):
    turned = turn(numbered(width, height), quarters)
    across, down = turned.shape[1], turned.shape[0]
    x, y = int(box[0] * (across - 1)), int(box[1] * (down - 1))
    w, h = 1 + int(box[2] * (across - 1 - x)), 1 + int(box[3] * (down - 1 - y))
    boxes, _ = turned_back(np.array([[x, y, w, h]]), np.zeros((1, 5, 2)), quarters, (width, height))
    held = turned[y : y + h, x : x + w, :2].reshape(-1, 2)
    low, high = held.min(axis=0), held.max(axis=0)
    assert boxes.tolist() == [[*low.tolist(), *(high - low + 1).tolist()]]


def test_nothing_comes_back_from_nothing():
    boxes, landmarks = turned_back(np.empty((0, 4)), np.empty((0, 5, 2)), 3, (20, 10))
    assert (boxes.shape, landmarks.shape) == ((0, 4), (0, 5, 2))


# eyes, nose, corners of the mouth of a face that stands upright
UPRIGHT = np.array([[10, 10], [20, 10], [15, 15], [11, 20], [19, 20]], np.float32)


@pytest.mark.parametrize(("quarters", "degrees"), [(0, 0), (1, -90), (2, 180), (3, 90)])
def test_a_face_of_a_turned_photo_lies_on_its_side_in_the_photo(quarters: int, degrees: int):
    _, points = turned_back(np.zeros((1, 4)), UPRIGHT[None], quarters, (100, 60))
    assert abs(rolls(points)[0]) == pytest.approx(abs(degrees))
    assert rolls(points)[0] % 360 == pytest.approx(degrees % 360)


def test_rolls_of_leaning_faces():
    """By hand: the mouth goes right by as much as down, then twice as much."""
    leaning = np.stack([UPRIGHT, UPRIGHT, UPRIGHT])
    leaning[1, 3:] += (10, 0)
    leaning[2, 3:] += (-20, 0)
    assert rolls(leaning) == pytest.approx([0, 45, -63.434949])
    assert rolls(np.empty((0, 5, 2))).shape == (0,)


@given(width=st.integers(1, 300), height=st.integers(1, 300), tile=st.integers(12, 80))
def test_copies_stand_apart_and_keep_their_shape(width: int, height: int, tile: int):
    places = places_on_sheet((width, height), tile)
    ends = places[:, :2] + places[:, 2:]
    for quarters, (place, end) in enumerate(zip(places, ends, strict=True)):
        corner = np.array([quarters % 2, quarters // 2]) * tile
        assert (place[:2] >= corner + 4).all() and (end <= corner + tile - 4).all()
        assert place[2:].tolist() == (places[0, 2:] if quarters % 2 == 0 else places[0, :1:-1]).tolist()
    longest = places[0, 2:].max()
    assert longest == min(max(width, height), tile - 8)
    assert abs(places[0, 2] * height - places[0, 3] * width) <= max(width, height)  # by rounding only


@given(width=st.integers(1, 32), height=st.integers(1, 32))
def test_a_sheet_holds_the_photo_four_ways_and_black(width: int, height: int):
    """A small photo is not enlarged, so that every pixel of it is there."""
    photo = numbered(width, height)
    photo[..., 2] = 200
    sheet = sheet_of_turns(photo, 40)
    assert sheet.shape == (80, 80, 3)
    rest = sheet.copy()
    for quarters, (x, y, w, h) in enumerate(places_on_sheet((width, height), 40)):
        np.testing.assert_array_equal(sheet[y : y + h, x : x + w], np.rot90(photo, quarters))
        rest[y : y + h, x : x + w] = 0
    assert not rest.any()


def test_a_large_photo_is_averaged():
    """Stripes of one pixel become grey, not stripes."""
    photo = np.zeros((320, 640, 3), np.uint8)
    photo[:, ::2] = 200
    sheet = sheet_of_turns(photo, 40)
    x, y, w, h = places_on_sheet((640, 320), 40)[0]
    assert (w, h) == (32, 16)
    assert (sheet[y : y + h, x : x + w] == 100).all()


def test_a_box_belongs_to_the_copy_where_its_middle_is():
    places = places_on_sheet((64, 32), 40)  # copies of 32 × 16 and 16 × 32
    middles = [*(places[:, :2] + places[:, 2:] / 2), (40, 40), (39, 20), (0, 0)]
    boxes = np.array([(x - 3, y - 5, 6, 10) for x, y in middles])
    assert copies_of(boxes, places).tolist() == [0, 1, 2, 3, -1, -1, -1]
    assert copies_of(np.empty((0, 4)), places).shape == (0,)
