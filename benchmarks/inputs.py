"""The photos that contenders are given: real ones from the data folder beside the project, else generated ones.

Benchmark scripts import this in the Python of every peer, so OpenCV is imported only where it is used.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
SEED = 20
_LARGE = (4000, 3000)  # pixels: 12 megapixels, as phones take them
# Noise of a sensor, in grey levels; without it an upscaled photo is much smoother than one that was taken.
_NOISE = 5.0


@dataclass(frozen=True)
class Photos:
    """Photos and where they come from, in words.

    Attributes:
        paths: of the files.
        source: what they are, for the report.
        real: False where they are copies of two portraits: then speed says little, recall nothing.
    """

    paths: list[Path]
    source: str
    real: bool


def wider_photos(data: Path, count: int, folder: Path) -> Photos:
    """Take ``count`` photos of wider-dev, spread over all of its events; else make some below ``folder``."""
    images = data / "wider-dev" / "images"
    if not images.is_dir():
        return _generated(folder, count, "wider-dev")
    paths = _spread(sorted(images.glob("*/*.jpg")), count)
    return Photos(paths, f"{len(paths)} photos of WIDER FACE (train), about 1024 pixels wide", real=True)


def lfw_photos(data: Path, count: int, folder: Path) -> Photos:
    """Take ``count`` photos of lfw-dev, spread over the alphabet; else make some below ``folder``."""
    images = data / "lfw-dev" / "images"
    if not images.is_dir():
        return _generated(folder, count, "lfw-dev")
    paths = _spread(sorted(images.glob("*/*.jpg")), count)
    return Photos(paths, f"{len(paths)} photos of LFW (development people), 250 × 250 pixels", real=True)


def large_photos(photos: Photos, folder: Path) -> Photos:
    """Make a 12-megapixel JPEG of each photo: scaled up, with the noise of a sensor, quality 90."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number, path in enumerate(photos.paths):
        picture = cv2.imread(str(path))
        if picture is None:
            raise ValueError(f"{path} cannot be read")
        size = _LARGE if picture.shape[1] >= picture.shape[0] else _LARGE[::-1]
        large = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
        noise = np.random.default_rng([SEED, number]).normal(0, _NOISE, large.shape[:2])[..., None]
        made.append(folder / f"{number:03d}.jpg")
        noisy = np.clip(large + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(made[-1]), noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])
    megabytes = sum(path.stat().st_size for path in made) / len(made) / 1e6
    source = f"{len(made)} JPEGs of 12 megapixels ({megabytes:.1f} MB each), made from photos by scaling them up"
    return Photos(made, source, photos.real)


def write_list(paths: Sequence[Path], folder: Path, name: str = "photos.txt") -> None:
    """Write paths where contenders read them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(f"{path}\n" for path in paths))


def cache_folder() -> Path:
    """Give the folder for what is too dear to make anew each time; it lies outside the project."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "visavis" / "benchmarks"


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """Take ``count`` of the paths at even distances, or all of them."""
    count = min(count, len(paths))
    return [paths[i * len(paths) // count] for i in range(count)]


def _generated(folder: Path, count: int, instead_of: str) -> Photos:
    """Vary the two portraits of the demo; the same ones come again if there are not enough."""
    from indexer.demo import make_photos

    archive = make_photos(folder / "portraits").archive
    portraits = sorted(path for path in archive.glob("*/*.jpg"))
    paths = random.Random(SEED).choices(portraits, k=count)
    return Photos(paths, f"{count} varied copies of two portraits, because {instead_of} is not there", real=False)
