"""Turned copies of a photo on one sheet, and the way back from their pixels to those of the photo."""

from __future__ import annotations

import cv2
import numpy as np

TURNS = 4
_MARGIN = 4  # pixels of black at least around each copy, so that no face reaches from one into the next


def rolls(landmarks: np.ndarray) -> np.ndarray:
    """Give how far faces are turned in the plane of the picture.

    Args:
        landmarks: float (N, 5, 2), (x, y) of the eyes, the nose and the corners of the mouth.
    Returns:
        degrees, float (N,), -180 to 180: 0 where the mouth is right below the eyes, 90 where it is right of them.
    """
    down = landmarks[:, 3:].mean(axis=1) - landmarks[:, :2].mean(axis=1)
    return np.asarray(np.degrees(np.arctan2(down[:, 0], down[:, 1])))


def turn(photo: np.ndarray, quarters: int) -> np.ndarray:
    """Turn a photo (H, W, 3) counter-clockwise by quarters of a circle."""
    return np.ascontiguousarray(np.rot90(photo, quarters))


def turned_back(
    boxes_xywh: np.ndarray, landmarks: np.ndarray, quarters: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Carry faces of a turned photo into the photo as it stood before ``turn``.

    Args:
        boxes_xywh: float (N, 4), edges in pixels of the turned photo.
        landmarks: float (N, 5, 2), where whole numbers are the middles of pixels, as crops are cut by them.
        quarters: by which it was turned, 0 to 3.
        size: (width, height) before it was turned.
    Returns:
        both in pixels of the photo; landmarks stay in their order, so that a crop by them stands upright.
    """
    for step in range(quarters, 0, -1):
        width = size[(step - 1) % 2]  # of the photo that this step turned
        x, y, w, h = boxes_xywh.T
        boxes_xywh = np.stack([width - y - h, x, h, w], axis=1)
        landmarks = np.stack([width - 1 - landmarks[..., 1], landmarks[..., 0]], axis=-1)
    return boxes_xywh, landmarks


def sheet_of_turns(photo: np.ndarray, tile: int) -> np.ndarray:
    """Put a photo on a sheet four times, small: as it stands, and turned by one, two and three quarters.

    Args:
        photo: uint8 RGB (H, W, 3).
        tile: pixels of the side of each copy's place. Copies are smaller by a margin; a small photo is not enlarged.
    Returns:
        uint8 (2 tile, 2 tile, 3), black around the copies.
    """
    places = places_on_sheet(photo.shape[1::-1], tile)
    small = cv2.resize(photo, tuple(places[0, 2:].tolist()), interpolation=cv2.INTER_AREA)
    sheet = np.zeros((2 * tile, 2 * tile, 3), np.uint8)
    for quarters, (x, y, w, h) in enumerate(places.tolist()):
        sheet[y : y + h, x : x + w] = np.rot90(small, quarters)
    return sheet


def places_on_sheet(size: tuple[int, int], tile: int) -> np.ndarray:
    """Give the places of the four copies of a photo of ``size`` (width, height): int (4, 4), xywh on the sheet."""
    factor = min(1.0, (tile - 2 * _MARGIN) / max(size))
    sides = np.array([max(1, round(side * factor)) for side in size])
    places = np.empty((TURNS, 4), np.int64)
    for quarters, place in enumerate(places):
        place[2:] = np.roll(sides, quarters)
        place[:2] = np.array([quarters % 2, quarters // 2]) * tile + (tile - place[2:]) // 2
    return places


def copies_of(boxes_xywh: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Tell in which copy the middle of each box lies: int (N,), 0 to 3; -1 where it is in none."""
    middles = boxes_xywh[:, None, :2] + boxes_xywh[:, None, 2:] / 2
    inside = ((middles >= places[:, :2]) & (middles < places[:, :2] + places[:, 2:])).all(axis=2)
    return np.where(inside.any(axis=1), inside.argmax(axis=1), -1)
