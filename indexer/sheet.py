"""Pictures to look at: contact sheets of faces, and photos with the answers drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

_TILE, _GAP, _CAPTION = 160, 8, 22  # pixels
_PAPER, _INK, _KNOWN, _UNKNOWN = (250, 250, 250), (30, 30, 30), (30, 140, 60), (200, 90, 20)
_MARGIN = 0.35  # of the face, shown around it


@dataclass(frozen=True)
class Tile:
    """One face on a sheet: its picture, uint8 RGB (H, W, 3), and the line below it."""

    picture: np.ndarray
    caption: str


def cut_face(photo: np.ndarray, box_xywh: Sequence[int]) -> np.ndarray:
    """Cut a face with some surroundings out of an upright photo, uint8 RGB (H, W, 3), as a square tile."""
    x, y, w, h = box_xywh
    half = max(w, h) * (0.5 + _MARGIN)
    left, top = round(x + w / 2 - half), round(y + h / 2 - half)
    side = max(1, round(2 * half))
    tile = np.full((side, side, 3), 225, np.uint8)
    part = photo[max(top, 0) : top + side, max(left, 0) : left + side]
    at_y, at_x = max(-top, 0), max(-left, 0)
    tile[at_y : at_y + part.shape[0], at_x : at_x + part.shape[1]] = part
    shrinking = side > _TILE
    return cv2.resize(tile, (_TILE, _TILE), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)


def contact_sheet(title: str, tiles: Sequence[Tile], columns: int = 6) -> np.ndarray:
    """Lay tiles out in rows below a title.

    Returns:
        uint8 RGB (H, W, 3).
    """
    columns = max(1, min(columns, len(tiles)))
    rows = -(-len(tiles) // columns)
    font, small = _font(20), _font(13)
    width = max(columns * (_TILE + _GAP) + _GAP, round(font.getlength(title)) + 2 * _GAP)
    sheet = Image.new("RGB", (width, 40 + rows * (_TILE + _CAPTION + _GAP) + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 10), title, fill=_INK, font=font)
    for number, tile in enumerate(tiles):
        left = _GAP + number % columns * (_TILE + _GAP)
        top = 40 + number // columns * (_TILE + _CAPTION + _GAP)
        sheet.paste(Image.fromarray(tile.picture), (left, top))
        draw.text((left, top + _TILE + 2), _fit(tile.caption, small), fill=_INK, font=small)
    return np.asarray(sheet)


def stack_sheets(sheets: Sequence[np.ndarray]) -> np.ndarray:
    """Put contact sheets below each other; there must be at least one.

    Returns:
        uint8 RGB (H, W, 3).
    """
    width = max(sheet.shape[1] for sheet in sheets)
    stacked = np.full((sum(sheet.shape[0] for sheet in sheets), width, 3), _PAPER, np.uint8)
    top = 0
    for sheet in sheets:
        stacked[top : top + sheet.shape[0], : sheet.shape[1]] = sheet
        top += sheet.shape[0]
    return stacked


def annotate(photo: np.ndarray, boxes_xywh: Sequence[Sequence[int]], labels: Sequence[str | None]) -> np.ndarray:
    """Draw boxes and names into an upright photo; a label of None is drawn as unknown.

    Returns:
        uint8 RGB (H, W, 3), a copy.
    """
    picture = Image.fromarray(photo)
    draw = ImageDraw.Draw(picture)
    scale = max(photo.shape[:2]) / 1000
    font = _font(max(14, round(22 * scale)))
    for (x, y, w, h), label in zip(boxes_xywh, labels, strict=True):
        colour = _UNKNOWN if label is None else _KNOWN
        draw.rectangle((x, y, x + w, y + h), outline=colour, width=max(2, round(4 * scale)))
        text = label or "unknown"
        left, top, right, bottom = draw.textbbox((x, y + h), text, font=font)
        draw.rectangle((left - 3, top - 3, right + 3, bottom + 3), fill=colour)
        draw.text((x, y + h), text, fill=_PAPER, font=font)
    return np.asarray(picture)


def encode_jpeg(picture: np.ndarray) -> bytes:
    """Compress uint8 RGB (H, W, 3) as JPEG, quality 90."""
    ok, content = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert ok
    return bytes(content.tobytes())


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fit(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shorten a caption at the front: the end of a path says more."""
    if font.getlength(text) <= _TILE:
        return text
    while text and font.getlength("…" + text) > _TILE:
        text = text[1:]
    return "…" + text
