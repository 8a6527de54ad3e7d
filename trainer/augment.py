"""What may befall a face between two photos: a small turn, other light, blur, compression, something in front.

Crops in, crops out; each by a random generator of its own, so that a crop's copy depends on the run's
seed and on its place in the run, and on nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Crop = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """How much is done to crops.

    Attributes:
        mirror: share of the crops that are mirrored.
        turn: standard deviation of a rotation, degrees.
        zoom: of the logarithm of a scale.
        shift: of a shift in x and in y, as a share of the crop's side.
        light: strength of changes of brightness, contrast and colour; 0 for none.
        spoil: share of the crops that lose quality in one way: small, blurred, JPEG, half in shadow,
            partly covered, or without colour.
    """

    mirror: float = 0.5
    turn: float = 6.0
    zoom: float = 0.05
    shift: float = 0.018
    light: float = 1.0
    spoil: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.mirror <= 1 or not 0 <= self.spoil <= 1:
            raise ValueError(f"mirror and spoil are shares between 0 and 1, not {self.mirror} and {self.spoil}")
        if min(self.turn, self.zoom, self.shift, self.light) < 0:
            raise ValueError(f"turn, zoom, shift and light must not be below 0: {self}")


def augment(crop: Crop, size: int, random: np.random.Generator, how: Augmentation) -> Crop:
    """Make one copy of a crop.

    Args:
        crop: uint8 RGB (S, S, 3), S at least ``size``; what is beyond is margin.
        size: of the copy.
        random: draws what is done.
        how: how much.
    Returns:
        uint8 RGB (size, size, 3), contiguous.
    """
    copy = _moved(crop, size, random, how)
    if random.random() < how.mirror:
        copy = copy[:, ::-1]
    copy = np.ascontiguousarray(copy)
    if random.random() < how.spoil:
        copy = _SPOILERS[random.integers(len(_SPOILERS))](copy, random)
    return _lit(copy, random, how.light) if how.light else copy


def _moved(crop: Crop, size: int, random: np.random.Generator, how: Augmentation) -> Crop:
    angle = np.deg2rad(random.normal(0, how.turn))
    scale = np.exp(random.normal(0, how.zoom))
    shift = random.normal(0, how.shift * size, 2)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle, new_middle = (np.array(crop.shape[:2]) - 1) / 2, (size - 1) / 2
    matrix = np.column_stack([turn, new_middle + shift - turn @ middle])
    moved = cv2.warpAffine(crop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved.astype(np.uint8, copy=False)


def _lit(crop: Crop, random: np.random.Generator, strength: float) -> Crop:
    contrast = np.exp(random.normal(0, 0.18 * strength)) * np.exp(random.normal(0, 0.04 * strength, 3))
    brightness = random.normal(0, 12 * strength)
    table = np.clip(np.arange(256)[:, None] * contrast + brightness, 0, 255).astype(np.uint8)
    return cv2.LUT(crop, table.reshape(256, 1, 3)).astype(np.uint8, copy=False)


def _small(crop: Crop, random: np.random.Generator) -> Crop:
    side = len(crop)
    fewer = max(8, round(side * random.uniform(0.17, 0.5)))
    small = cv2.resize(crop, (fewer, fewer), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _blurred(crop: Crop, random: np.random.Generator) -> Crop:
    sigma = random.uniform(0.5, 2.5) * len(crop) / 112
    return cv2.GaussianBlur(crop, (0, 0), sigma).astype(np.uint8, copy=False)


def _compressed(crop: Crop, random: np.random.Generator) -> Crop:
    _, content = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(8, 50))])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)


def _shadowed(crop: Crop, random: np.random.Generator) -> Crop:
    side = len(crop)
    ramp = np.clip((np.arange(side) / side - random.uniform(0.3, 0.7)) / 0.2 + 0.5, 0, 1)
    if random.random() < 0.5:
        ramp = 1 - ramp
    darkest = random.uniform(0.15, 0.6)
    light = darkest + (1 - darkest) * ramp
    shaped = light[None, :, None] if random.random() < 0.75 else light[:, None, None]
    return (crop * shaped).astype(np.uint8)


def _covered(crop: Crop, random: np.random.Generator) -> Crop:
    side = len(crop)
    width, height = random.uniform(0.2, 0.8) * side, random.uniform(0.15, 0.4) * side
    x, y = random.uniform(0.2, 0.8) * side, random.uniform(0.15, 0.95) * side
    if random.random() < 0.4:  # a scarf or a mask
        x, y, width = side / 2, random.uniform(0.8, 0.95) * side, side
    left, top = max(0, round(x - width / 2)), max(0, round(y - height / 2))
    covered = crop.copy()
    covered[top : round(y + height / 2), left : round(x + width / 2)] = random.integers(0, 256)
    return covered


def _grey(crop: Crop, random: np.random.Generator) -> Crop:
    return np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2).astype(np.uint8, copy=False)


_SPOILERS = (_small, _blurred, _compressed, _shadowed, _covered, _grey)
