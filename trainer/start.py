"""What a run begins with: the weights of a file that is there, or random ones."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trainer.crops import CropsSettings
from trainer.dlib_limits import LIMITS
from trainer.dlib_network import load_dlib
from trainer.networks import NetworkSettings, build_network
from trainer.recipes import first_length
from trainer.settings import TrainSettings
from trainer.sface_network import load_sface
from trainer.weights import load_weights

# What the networks' own makers say of their weights.
_LICENCES = {"dlib": "CC0-1.0", "sface": "Apache-2.0"}
# So far apart two templates' points may lie, pixels, and still be the same one.
_SAME_TEMPLATE = 0.1


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
        start = read_network(Path(settings.init), crops.template)
        if Path(settings.init).suffix == ".dat" and crops.size < start.settings.input_size:
            smaller = replace(start.settings, input_size=crops.size)
            start = replace(start, settings=smaller, origin=f"{start.origin} at {crops.size} pixels")
        if start.settings.kind != settings.kind:
            raise StartError(
                f"{settings.init} holds the network {start.settings.kind!r}, but --network is {settings.kind}"
            )
        _check(start, crops)
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


def read_network(path: Path, template: tuple[tuple[float, float], ...] | None = None) -> Start:
    """Read a network: dlib's ``.dat``, SFace's ``.onnx``, or a weight file of visavis.

    Args:
        path: the file.
        template: that of the crops, for a file that does not say where it wants eyes, nose and mouth: dlib's.
    Raises:
        FileNotFoundError: if there is no such file. Others as for ``begin``.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no weight file {path}")
    if path.suffix == ".dat":
        template = template or NetworkSettings("sface").template
        dlib = NetworkSettings("dlib", 150, 128, template=template, limits=LIMITS)
        return Start(load_dlib(path), dlib, _LICENCES["dlib"], path.name)
    if path.suffix == ".onnx":
        return Start(load_sface(path), NetworkSettings("sface"), _LICENCES["sface"], path.name)
    network, description = load_weights(path)
    return Start(network, description.network, description.licence, f"{path.name} ({description.id})")


def read_teacher(path: Path, template: tuple[tuple[float, float], ...], dimension: int) -> Start:
    """Read a network that others learn from; ``template`` and errors as of ``read_network``.

    Raises:
        StartError: if its embeddings are not of this dimension.
    """
    teacher = read_network(path, template)
    if (given := teacher.settings.dimension) != dimension:
        raise StartError(f"the teacher gives {given} numbers, the network {dimension}: take --dimension {given}")
    return teacher


def _check(start: Start, crops: CropsSettings) -> None:
    wanted = start.settings
    apart = float(np.abs(np.array(wanted.template) - np.array(crops.template)).max())
    if wanted.input_size != crops.size or apart > _SAME_TEMPLATE:
        raise StartError(
            f"{start.origin} takes crops of {wanted.input_size} pixels with its own template, but these crops are of "
            f"{crops.size} pixels with that of {crops.network}: make others with "
            f"`visavis crops --network {wanted.kind}`"
        )


def file_digest(path: Path) -> str:
    """Name a file by its content: 12 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
