"""Pictures: the right part of the photo, drawn where it belongs."""

from __future__ import annotations

import numpy as np
import pytest

from embedder.decode import decode
from indexer.sheet import Tile, annotate, contact_sheet, cut_face, encode_jpeg, stack_sheets


def _photo() -> np.ndarray:
    photo = np.zeros((200, 300, 3), np.uint8)
    photo[50:110, 100:160] = (255, 0, 0)
    return photo


def test_a_tile_shows_the_face_in_its_middle() -> None:
    tile = cut_face(_photo(), [100, 50, 60, 60])
    assert tile.shape == (160, 160, 3)
    assert tile[80, 80].tolist() == [255, 0, 0]
    assert tile[4, 4].tolist() == [0, 0, 0]


@pytest.mark.parametrize("box", [[0, 0, 50, 50], [280, 190, 20, 10], [-5, -5, 400, 400], [299, 199, 1, 1]])
def test_a_face_at_the_edge_is_padded(box: list[int]) -> None:
    assert cut_face(_photo(), box).shape == (160, 160, 3)


@pytest.mark.parametrize("number", [0, 1, 6, 7])
def test_a_sheet_has_room_for_every_tile(number: int) -> None:
    red = Tile(np.full((160, 160, 3), (255, 0, 0), np.uint8), "a very long caption that does not fit below it.jpg")
    sheet = contact_sheet("Ann Lee", [red] * number)
    assert (sheet == (255, 0, 0)).all(axis=2).sum() == number * 160 * 160


def test_sheets_stand_below_each_other_as_wide_as_the_widest() -> None:
    red, blue = np.full((50, 200, 3), (255, 0, 0), np.uint8), np.full((30, 90, 3), (0, 0, 255), np.uint8)
    stacked = stack_sheets([red, blue])
    assert stacked.shape == (80, 200, 3)
    assert (stacked[:50] == red).all() and (stacked[50:, :90] == blue).all()


def test_known_and_unknown_faces_are_drawn_apart() -> None:
    photo = _photo()
    drawn = annotate(photo, [[100, 50, 60, 60], [10, 10, 40, 40]], ["Ann Lee", None])
    assert drawn.shape == photo.shape and (photo[50, 100] == (255, 0, 0)).all(), "the photo itself is not changed"
    assert drawn[80, 101].tolist() == [30, 140, 60]
    assert drawn[30, 11].tolist() == [200, 90, 20]


def test_jpeg_round_trip() -> None:
    picture = np.full((40, 60, 3), (200, 40, 90), np.uint8)
    assert np.abs(decode(encode_jpeg(picture)).pixels.astype(int) - picture).max() < 6
