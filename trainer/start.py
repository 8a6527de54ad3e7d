"""What a run begins with: the weights of a file that is there, or random ones."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from trainer.crops import CropsSettings
from trainer.dlib_limits import LIMITS
from trainer.dlib_network import SMALLEST_CROP, load_dlib
from trainer.networks import NetworkSettings, build_network
from trainer.recipes import first_length
from trainer.settings import TrainSettings
from trainer.sface_network import load_sface
from trainer.templates import DLIB_TEMPLATE, DLIB_YUNET_TEMPLATE, Template, is_same, name_of, scaled
from trainer.weights import load_weights

# What the networks' own makers say of their weights.
_LICENCES = {"dlib": "CC0-1.0", "sface": "Apache-2.0"}
_MAKERS = {"dlib": "dlib", "sface": "SFace"}
_DLIB_SIZE = 150  # pixels of the crops that dlib's own weights want; of smaller ones they are a beginning


class StartError(ValueError):
    """Weights that do not go with the crops or the settings."""


@dataclass(frozen=True)
class Start:
    """A network to be trained further.

    Attributes:
        network: in eval mode, on the CPU.
        settings: of the network.
        licence: of the weights that it began with, "" for random ones.
        origin: where they came from, for the reader.
    """

    network: nn.Module
    settings: NetworkSettings
    licence: str
    origin: str


def begin(settings: TrainSettings, crops: CropsSettings) -> Start:
    """Build the network and give it its first weights.

    Raises:
        StartError: if the network takes other crops than these.
        trainer.weights.WeightFileError, trainer.dlib_network.DlibFileError, trainer.sface_network.SFaceFileError,
        trainer.onnx_graph.OnnxError: if the file does not hold a network.
    """
    if settings.init is not None:
        start = read_network(Path(settings.init))
        if start.settings.kind != settings.kind:
            raise StartError(
                f"{settings.init} holds the network {start.settings.kind!r}, but --network is {settings.kind}"
            )
        if _is_dlibs(Path(settings.init)):
            return _cut_as(start, crops)
        check_crops(start, crops)
        return start
    try:
        wanted = NetworkSettings(
            kind=settings.kind,
            input_size=crops.size,
            dimension=settings.dimension or 128,
            width=settings.width or 32,
            depths=settings.depths,
            template=crops.template,
        )
        torch.manual_seed(settings.seed)
        network = build_network(wanted).eval()
    except ValueError as error:
        raise StartError(f"{error}: see --dimension, --depths, and `visavis crops --network` or --size") from error
    if settings.recipe is not None:
        _set_length(network, first_length(settings.loss_settings(settings.recipe)))
    return Start(network, wanted, "", "random weights")


def _set_length(network: nn.Module, length: float | None) -> None:
    """Let embeddings begin with this length, in a network that ends in a batch norm; else they have the root of D."""
    norm = getattr(network, "head_norm", None)
    if length is not None and isinstance(norm, nn.BatchNorm1d):
        nn.init.constant_(norm.weight, length / math.sqrt(norm.num_features))


def read_network(path: Path) -> Start:
    """Read a network: dlib's ``.dat``, SFace's ``.onnx``, or a weight file of visavis.

    Raises:
        FileNotFoundError: if there is no such file. Others as for ``begin``.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no weight file {path}")
    if _is_dlibs(path):
        dlib = NetworkSettings("dlib", _DLIB_SIZE, 128, template=DLIB_TEMPLATE, limits=LIMITS)
        return Start(load_dlib(path), dlib, _LICENCES["dlib"], path.name)
    if path.suffix == ".onnx":
        return Start(load_sface(path), NetworkSettings("sface"), _LICENCES["sface"], path.name)
    network, description = load_weights(path)
    return Start(network, description.network, description.licence, f"{path.name} ({description.id})")


def read_teacher(path: Path, crops: CropsSettings, dimension: int) -> Start:
    """Read a network that others learn from.

    Args:
        path: as of ``read_network``, and so are other errors.
        crops: to be looked at. Of dlib's templates they decide which, if they have one of them.
        dimension: of the network that learns.
    Raises:
        StartError: if its embeddings are not of this dimension.
    """
    teacher = read_network(path)
    if _is_dlibs(path) and (template := _dlib_template(crops)) is not None:
        teacher = replace(teacher, settings=replace(teacher.settings, template=template))
    if (given := teacher.settings.dimension) != dimension:
        raise StartError(f"the teacher gives {given} numbers, the network {dimension}: take --dimension {given}")
    return teacher


def _is_dlibs(path: Path) -> bool:
    return path.suffix == ".dat"


def _dlib_template(crops: CropsSettings) -> Template | None:
    """Give that of dlib's templates, on 150 pixels, that the crops have; None if they have another one."""
    known = (DLIB_TEMPLATE, DLIB_YUNET_TEMPLATE)
    return next((own for own in known if is_same(scaled(own, crops.size / _DLIB_SIZE), crops.template)), None)


def _cut_as(dlib: Start, crops: CropsSettings) -> Start:
    """Let dlib's weights take crops as they are, if these have its template: fewer pixels make it faster."""
    if _dlib_template(crops) is None or not SMALLEST_CROP <= crops.size <= _DLIB_SIZE:
        raise StartError(
            f"{dlib.origin} takes crops of {SMALLEST_CROP} to {_DLIB_SIZE} pixels with dlib's template, but these "
            f"{_told(crops)}: make others with `visavis crops ... --network dlib`"
        )
    settings = replace(dlib.settings, input_size=crops.size, template=crops.template)
    origin = dlib.origin if crops.size == _DLIB_SIZE else f"{dlib.origin} at {crops.size} pixels"
    return replace(dlib, settings=settings, origin=origin)


def check_crops(start: Start, crops: CropsSettings) -> None:
    """Refuse crops that a network does not take: StartError says which it takes, and what makes them."""
    wanted = start.settings
    if wanted.input_size == crops.size and is_same(wanted.template, crops.template):
        return
    name = name_of(wanted.template, wanted.input_size)
    if name is None:
        raise StartError(
            f"{start.origin} takes crops of {wanted.input_size} pixels with a template that no `visavis crops "
            f"--network` has, and these {_told(crops)}: embed an album with it, `visavis index --model FILE`, whose "
            "named people `visavis train --album` cuts out as it wants them"
        )
    raise StartError(
        f"{start.origin} takes crops of {wanted.input_size} pixels with {_MAKERS[name]}'s template, but these "
        f"{_told(crops)}: make others with `visavis crops ... --network {name} --size {wanted.input_size}`"
    )


def _told(crops: CropsSettings) -> str:
    name = name_of(crops.template, crops.size)
    template = f"{_MAKERS[name]}'s template" if name else "a template of their own"
    return f"crops have {template} and {crops.size} pixels"


def file_digest(path: Path) -> str:
    """Name a file by its content: 12 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
