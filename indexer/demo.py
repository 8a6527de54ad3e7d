"""The pictures of the demo: varied copies of two public-domain portraits that come with pip packages."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image

# NASA portraits are in the public domain, as is the US Navy's of Grace Hopper.
_PORTRAITS = {
    "Eileen Collins": ("skimage", "data/astronaut.png"),
    "Grace Hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
_NOBODY = ("skimage", "data/coffee.png")


class DemoError(Exception):
    """A portrait that is not there, because its package is not installed."""


@dataclass(frozen=True)
class DemoPhotos:
    """Where the demo's pictures lie.

    Attributes:
        archive: the folder to index.
        known: the folder to enrol: one portrait of one person.
        group: the picture that shows both.
    """

    archive: Path
    known: Path
    group: Path


def make_photos(folder: Path) -> DemoPhotos:
    """Write the demo's pictures below ``folder``, which may be there already.

    Raises:
        DemoError: if a package with a portrait is not installed.
    """
    archive, known = folder / "photos", folder / "known"
    portraits = {name: _read(*source) for name, source in _PORTRAITS.items()}
    for name, portrait in portraits.items():
        target = archive / name.split()[0].lower()
        target.mkdir(parents=True, exist_ok=True)
        for title, picture, options in _varied(portrait):
            picture.save(target / f"{title}.jpg", **options)
    enrolled = next(iter(portraits))
    (known / enrolled).mkdir(parents=True, exist_ok=True)
    Image.fromarray(portraits[enrolled]).save(known / enrolled / "portrait.jpg", quality=92)
    group = archive / "together.jpg"
    Image.fromarray(_side_by_side(list(portraits.values()))).save(group, quality=88)
    Image.fromarray(_read(*_NOBODY)).save(archive / "nobody.jpg", quality=88)
    (archive / "broken.jpg").write_bytes(group.read_bytes()[:2000])
    return DemoPhotos(archive, known, group)


def _varied(portrait: np.ndarray) -> Iterator[tuple[str, Image.Image, dict[str, Any]]]:
    """Yield (title, picture, how to save it)."""
    height, width = portrait.shape[:2]
    quarter_turn = Image.Exif()
    quarter_turn[ExifTags.Base.Orientation] = 6
    changes: dict[str, tuple[Callable[[np.ndarray], np.ndarray], dict[str, Any]]] = {
        "bright": (lambda p: _light(p, 1.35, 15), {"quality": 90}),
        "dark": (lambda p: _light(p, 0.45, 0), {"quality": 90}),
        "grey": (lambda p: np.repeat(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2), {"quality": 90}),
        "low-quality": (lambda p: p, {"quality": 12}),
        "close-up": (lambda p: p[: height * 6 // 10, width // 8 : width * 7 // 8], {"quality": 90}),
        "small": (lambda p: cv2.resize(p, (width // 3, height // 3), interpolation=cv2.INTER_AREA), {"quality": 85}),
        "tilted": (lambda p: _tilt(p, 12), {"quality": 90}),
        "camera-held-sideways": (lambda p: np.rot90(p), {"quality": 90, "exif": quarter_turn}),
    }
    for title, (change, options) in changes.items():
        yield title, Image.fromarray(np.ascontiguousarray(change(portrait))), options


def _light(portrait: np.ndarray, factor: float, lift: int) -> np.ndarray:
    return np.clip(portrait * factor + lift, 0, 255).astype(np.uint8)


def _tilt(portrait: np.ndarray, degrees: float) -> np.ndarray:
    height, width = portrait.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return cv2.warpAffine(portrait, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)


def _side_by_side(portraits: list[np.ndarray]) -> np.ndarray:
    height = min(p.shape[0] for p in portraits)
    scaled = [
        cv2.resize(p, (round(p.shape[1] * height / p.shape[0]), height), interpolation=cv2.INTER_AREA)
        for p in portraits
    ]
    return np.concatenate(scaled, axis=1)


def _read(package: str, path: str) -> np.ndarray:
    spec = importlib.util.find_spec(package)
    found = Path(spec.origin).parent / path if spec and spec.origin else None
    if found is None or not found.exists():
        raise DemoError(f"the demo needs the picture {path} of {package}: pip install 'visavis[demo]'")
    return np.asarray(Image.open(found).convert("RGB"))
