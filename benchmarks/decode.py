"""Claim: visavis decodes photos at the speed of OpenCV, in half of Pillow's time.

python -m benchmarks.decode [--quick] [--json]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.contender import Job
from benchmarks.frame import Comparison, Contender
from benchmarks.inputs import large_photos, wider_photos, write_list
from benchmarks.script import Plan, Settings, run_script

CLAIM = (
    "visavis decodes at the speed of OpenCV, in half of Pillow's time, from a JPEG file to upright RGB pixels; it also "
    "reads when the photo was taken, and refuses bombs by their header. simplejpeg, which only unpacks JPEGs, shows "
    "what is left to gain."
)
_CONTENDERS = (
    Contender("Pillow", "benchmarks.decode:pillow", packages=("pillow",)),
    Contender("cv2.imread", "benchmarks.decode:opencv", packages=("opencv-python",)),
    Contender("simplejpeg", "benchmarks.decode:simplejpeg", packages=("simplejpeg",)),
    Contender("visavis", "benchmarks.decode:visavis", "visavis", packages=("opencv-python", "pillow")),
)


def pillow(folder: Path) -> Job:
    """Read photos as face_recognition does."""
    import numpy as np
    from PIL import Image

    return _job(folder, lambda path: np.array(Image.open(path).convert("RGB")))


def opencv(folder: Path) -> Job:
    """Read photos as most of OpenCV's users do; the pixels are BGR, and upright."""
    import cv2

    return _job(folder, lambda path: cv2.imread(str(path)))


def simplejpeg(folder: Path) -> Job:
    """Read JPEGs through libjpeg-turbo and nothing else."""
    from simplejpeg import decode_jpeg

    return _job(folder, lambda path: decode_jpeg(path.read_bytes(), "RGB"))


def visavis(folder: Path) -> Job:
    """Read photos as ``visavis index`` does."""
    from embedder.decode import decode

    return _job(folder, lambda path: decode(path.read_bytes()).pixels)


def _job(folder: Path, read: Callable[[Path], Any]) -> Job:
    paths = [Path(line) for line in (folder / "photos.txt").read_text().splitlines()]

    def run() -> None:
        for path in paths:
            read(path)

    return Job(run, len(paths), warm_up=lambda: read(paths[0]))


def _prepare(settings: Settings, folder: Path) -> Plan:
    small = wider_photos(settings.data, 16 if settings.quick else 64, folder)
    few = wider_photos(settings.data, 3 if settings.quick else 8, folder)
    large = large_photos(few, folder / "large-photos")
    comparisons = []
    for name, photos in (("large", large), ("small", small)):
        write_list(photos.paths, folder / name)
        comparisons.append((Comparison(photos.source, "photo", _CONTENDERS), folder / name))
    return Plan(comparisons)


if __name__ == "__main__":
    run_script("decode", CLAIM, _prepare)
