"""What every test may use. torch is imported only by the fixtures that need it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from embedder.pretrained import NETWORKS, WEIGHT_FILES, WeightsMissing, locate

if TYPE_CHECKING:
    from embedder.detect import Faces
    from embedder.device import Compute

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def no_album_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test that names no album must not find, or make, the user's own."""
    monkeypatch.delenv("VISAVIS_ALBUM", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user-data"))


@pytest.fixture(scope="session")
def weights() -> Callable[[str], Path]:
    """Give the path of a weight file by its name; without the file the test is skipped, but never in CI."""

    def find(name: str) -> Path:
        try:
            return locate(WEIGHT_FILES[name])
        except WeightsMissing as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))

    return find


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str, str], Path]:
    """Give a path under ../shared/data; where it is not, skip the test and say what was left out."""

    def find(name: str, left_out: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"no ../shared/data/{name}: left out {left_out}")
        return path

    return find


@pytest.fixture(scope="session")
def portraits() -> dict[str, np.ndarray]:
    """Two public-domain photos of one person each: uint8 RGB, read-only.

    "astronaut" is Eileen Collins, 512×512; "hopper" is Grace Hopper, 512 wide and 600 high.
    """
    import matplotlib
    import skimage.data

    hopper = Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    photos = {"astronaut": skimage.data.astronaut(), "hopper": np.array(hopper)}
    for photo in photos.values():
        photo.flags.writeable = False
    return photos


@pytest.fixture(scope="session")
def exact_compute() -> Compute:
    """The CPU in float32."""
    from embedder.device import choose_compute

    return choose_compute("cpu", exact=True)


@pytest.fixture(scope="session")
def fast_compute(exact_compute: Compute) -> Compute:
    """The CPU in bfloat16, also where that is emulated."""
    import torch

    return dataclasses.replace(exact_compute, dtype=torch.bfloat16)


@pytest.fixture(scope="session")
def portrait_faces(
    weights: Callable[[str], Path], portraits: dict[str, np.ndarray], exact_compute: Compute
) -> dict[str, Faces]:
    """What the detector finds in the portraits, in float32."""
    from embedder.detect import FaceDetector

    detector = FaceDetector(weights("centerface"), exact_compute)
    return dict(zip(portraits, detector.detect(list(portraits.values())), strict=True))


@pytest.fixture(scope="session")
def portrait_crops(portraits: dict[str, np.ndarray], portrait_faces: dict[str, Faces]) -> Callable[[str], np.ndarray]:
    """Give the crops of the portraits for a network by its name: uint8 RGB (2, size, size, 3)."""
    from embedder.align import crop_faces

    def cut(network: str) -> np.ndarray:
        wanted = NETWORKS[network]
        crops = [
            crop_faces(portraits[name], faces.landmarks[:1], wanted.template, wanted.input_size)
            for name, faces in portrait_faces.items()
        ]
        return np.concatenate(crops)

    return cut
