"""The crops that a run's page shows: small JPEGs, each read once, and contact sheets of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from indexer.sheet import Tile, contact_sheet, encode_jpeg, stack_sheets

_SIDE = 96  # pixels of a picture on the page
_TILE = 160  # and on a contact sheet
_TRIPLETS, _SUSPECTS = 24, 48  # on a sheet


class CropPictures:
    """Pictures of crops by their path below the folder of crops."""

    def __init__(self, crops: Path) -> None:
        self._crops = crops
        self._read: dict[str, str] = {}

    def as_url(self, crop: str) -> str:
        """Give a crop as a data URL; an empty one for a crop that is gone or cannot be read."""
        if crop not in self._read:
            pixels = self.pixels(crop, _SIDE)
            content = None if pixels is None else encode_jpeg(pixels)
            self._read[crop] = "" if content is None else f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
        return self._read[crop]

    def pixels(self, crop: str, side: int) -> np.ndarray | None:
        """Give a crop as uint8 RGB (side, side, 3); None if it is gone or cannot be read."""
        path = self._crops / crop
        if ".." in Path(crop).parts or not path.is_file():
            return None
        content = np.fromfile(path, np.uint8)
        found = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
        if found is None:
            return None
        resized = cv2.resize(found, (side, side), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(resized[:, :, ::-1])

    def others_of(self, person: str, besides: str, most: int = 3) -> list[str]:
        """Name other crops of a person, in the order of their names."""
        folder = self._crops / person
        if Path(person).parts != (person,) or person == ".." or not folder.is_dir():
            return []
        names = sorted(f"{person}/{path.name}" for path in folder.iterdir() if path.is_file())
        return [name for name in names if name != besides and not Path(name).name.startswith(".")][:most]


def triplet_sheet(triplets: Sequence[Mapping[str, Any]], pictures: CropPictures, title: str) -> bytes:
    """Draw triplets as a JPEG: each row an anchor, its least similar partner, its most similar stranger."""
    tiles = []
    for triplet in triplets[:_TRIPLETS]:
        tiles.append(_tile(triplet["anchor"], triplet["person"], pictures))
        tiles.append(_tile(triplet["positive"], f"same person: {triplet['same']:.2f}", pictures))
        tiles.append(_tile(triplet["negative"], f"{triplet['other']}: {triplet['different']:.2f}", pictures))
    return encode_jpeg(contact_sheet(title, tiles, columns=3))


def suspect_sheet(suspects: Sequence[Mapping[str, Any]], pictures: CropPictures) -> bytes:
    """Draw suspected labels as a JPEG: each row the crop, another of its person, and one of whom it looks like."""
    rows = []
    for suspect in suspects[:_SUSPECTS]:
        person, other = suspect["person"], suspect["looks_like"]
        tiles = [_tile(suspect["crop"], "suspected", pictures)]
        tiles += [_tile(crop, person, pictures) for crop in pictures.others_of(person, suspect["crop"], 1)]
        tiles += [_tile(crop, other, pictures) for crop in pictures.others_of(other, suspect["crop"], 1)]
        title = f"{suspect['crop']}: {suspect['times']} of {suspect['seen']} times nearer to {other}"
        rows.append(contact_sheet(title, tiles))
    return encode_jpeg(stack_sheets(rows))


def _tile(crop: str, caption: str, pictures: CropPictures) -> Tile:
    pixels = pictures.pixels(crop, _TILE)
    return Tile(np.full((_TILE, _TILE, 3), 225, np.uint8) if pixels is None else pixels, caption)
