"""A network in a file of the user's own: a weight file of the trainer, or an ONNX file as ArcFace's are.

A weight file says itself how its faces are cut and fed. An ONNX file does not, so the manner of the field is taken,
and a JSON file of the same name beside it may say otherwise:

    {"input_size": 112, "channel_order": "BGR", "mean": 127.5, "divisor": 128, "licence": "MIT", "template": [...]}

An ONNX file that visavis wrote carries this with it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, nn

from embedder.model_records import FILE_SUFFIXES
from embedder.pretrained import FaceNetwork, WeightFile, WeightsError
from trainer.dlib_network import DlibResNet, load_dlib
from trainer.networks import trace
from trainer.onnx_export import SETTINGS_KEY
from trainer.onnx_graph import fuse_batch_norm, load_onnx
from trainer.templates import ARCFACE_TEMPLATE
from trainer.weights import load_weights, read_description

# Pixels as ArcFace's networks are fed (insightface): (x - 127.5) / 127.5, unless the graph begins with that itself.
_PIXELS = (127.5, 127.5)
_FIRST_NODES = 8  # among which the graph's own scaling stands; insightface looks at as many
_INPUT_SIZE = 112  # where the graph leaves it open
_SETTINGS = {"input_size", "channel_order", "mean", "divisor", "licence", "template"}


class ModelFileError(WeightsError):
    """A file that cannot serve as a face network. The message names the file, what is wrong, and the remedy."""


def open_model_file(path: Path) -> FaceNetwork:
    """Find out how the network in ``path`` wants its faces.

    Raises:
        ModelFileError: if it is no face network, or what stands beside it does not fit.
        trainer.weights.WeightFileError, trainer.onnx_graph.OnnxError: if it is broken.
        FileNotFoundError: if it is not there.
    """
    suffix = path.suffix.lower()
    if suffix not in FILE_SUFFIXES:
        raise ModelFileError(f"{path} is neither a weight file (.safetensors) nor an ONNX file (.onnx)")
    if not path.is_file():
        raise FileNotFoundError(f"there is no model file {path}")
    return _open_weights(path) if suffix == ".safetensors" else _open_onnx(path)


def load_model_file(path: Path, network: FaceNetwork | None = None) -> nn.Module:
    """Build the network in ``path``: RGB 0-255 (N, 3, size, size) to embeddings (N, D), or a tuple with them first.

    Args:
        path: ``.dat`` is dlib's, ``.safetensors`` the trainer's, anything else is read as ONNX.
        network: what ``open_model_file`` gave; None for the files of the table, which scale pixels themselves.
    Raises:
        trainer.weights.WeightFileError, trainer.onnx_graph.OnnxError, trainer.dlib_network.DlibFileError: if the file
            is not what its name says.
    """
    suffix = path.suffix.lower()
    module: nn.Module
    if suffix == ".dat":
        module = load_dlib(path)
    elif suffix == ".safetensors":
        trained = load_weights(path)[0]
        module = trained if isinstance(trained, DlibResNet) else fuse_batch_norm(trace(trained))
    else:
        module = fuse_batch_norm(load_onnx(path))
    if network is None or (network.channel_order == "RGB" and network.pixels is None):
        return module
    return _Fed(module, network).eval()


class _Fed(nn.Module):
    """A network that wants its pixels otherwise than as RGB 0-255."""

    def __init__(self, network: nn.Module, settings: FaceNetwork) -> None:
        super().__init__()
        self.network = network
        self.reverse = settings.channel_order == "BGR"
        self.mean, self.divisor = settings.pixels or (0.0, 1.0)

    def forward(self, x: Tensor) -> Any:
        x = x.flip(1) if self.reverse else x
        return self.network((x - self.mean) / self.divisor)


def _open_weights(path: Path) -> FaceNetwork:
    description = read_description(path)
    settings = description.network
    return FaceNetwork(
        _weight_file(path, "visavis", description.licence, f"{settings.kind} network, trained by visavis"),
        input_size=settings.input_size,
        template=settings.template,
        channel_order="RGB",
        pixel_scaling="the network's own",
        dimension=settings.dimension,
    )


def _open_onnx(path: Path) -> FaceNetwork:
    module = load_onnx(path)
    model = onnx.load(str(path), load_external_data=False)
    graph = model.graph
    beside = path.with_suffix(".json")
    chosen = _read_settings(beside) if beside.is_file() else _own_settings(model, path)
    try:
        size = int(chosen.get("input_size") or _graph_size(graph, path))
        template = chosen.get("template") or [[x * size / 112, y * size / 112] for x, y in ARCFACE_TEMPLATE]
        points = tuple((float(x), float(y)) for x, y in template)
        own = {node.op_type for node in graph.node[:_FIRST_NODES]}
        pixels = None if "Sub" in own and own & {"Mul", "Div"} else _PIXELS
        if "mean" in chosen or "divisor" in chosen:
            pixels = float(chosen["mean"]), float(chosen["divisor"])
        order: Literal["RGB", "BGR"] = chosen.get("channel_order", "RGB")
        if len(points) != 5 or order not in ("RGB", "BGR") or (pixels and not pixels[1]) or size < 1:
            raise ValueError("five points, RGB or BGR, a size and a divisor above 0 are needed")
    except (KeyError, TypeError, ValueError) as error:
        where = beside if beside.is_file() else path
        raise ModelFileError(f"{where} does not say how to feed {path.name}: {error!r}") from error
    return FaceNetwork(
        _weight_file(path, "onnx", str(chosen.get("licence", "unknown")), "a network from an ONNX file"),
        input_size=size,
        template=points,
        channel_order=order,
        pixel_scaling="the network's own" if pixels is None else f"(x - {pixels[0]:g}) / {pixels[1]:g}",
        dimension=_dimension(module, size, path),
        pixels=pixels,
    )


def _own_settings(model: onnx.ModelProto, path: Path) -> dict[str, Any]:
    for entry in model.metadata_props:
        if entry.key == SETTINGS_KEY:
            try:
                settings = dict(json.loads(entry.value))
            except (ValueError, TypeError) as error:
                raise ModelFileError(f"{path}: its metadata cannot be read ({error}); export it again") from error
            return {name: settings[name] for name in settings.keys() & _SETTINGS}
    return {}


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text())
    except ValueError as error:
        raise ModelFileError(f"{path} is no JSON: {error}") from error
    if not isinstance(settings, dict) or not settings.keys() <= _SETTINGS:
        raise ModelFileError(f"{path} must be a JSON object with some of {', '.join(sorted(_SETTINGS))}")
    return settings


def _graph_size(graph: onnx.GraphProto, path: Path) -> int:
    """Read the side of the crops from the graph's input; the usual one where it is left open."""
    constants = {tensor.name for tensor in graph.initializer}
    image = next(entry for entry in graph.input if entry.name not in constants)
    sides = [dim.dim_value for dim in image.type.tensor_type.shape.dim]
    if sides and (len(sides) != 4 or sides[1] not in (0, 3) or sides[2] != sides[3]):
        raise ModelFileError(f"{path} takes inputs of shape {sides}, not square RGB crops (N, 3, size, size)")
    return sides[2] if sides and sides[2] else _INPUT_SIZE


def _dimension(module: nn.Module, size: int, path: Path) -> int:
    """Find the length of an embedding by making one."""
    try:
        with torch.inference_mode():
            output = module(torch.zeros(2, 3, size, size))
    except RuntimeError as error:
        raise ModelFileError(f"{path} takes no crops of {size} pixels, or no batches: {error}") from error
    first = output if isinstance(output, Tensor) else output[0]
    if first.ndim != 2 or len(first) != 2:
        raise ModelFileError(f"{path} gives {tuple(first.shape)} for two crops, not one row of numbers for each")
    if not any(isinstance(part, nn.Linear) for part in module.modules()):
        raise ModelFileError(f"{path} has no dense layer at its end, as face networks have")
    return int(first.shape[1])


def _weight_file(path: Path, kind: Literal["visavis", "onnx"], licence: str, description: str) -> WeightFile:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return WeightFile(
        # Never the name of a model in the table, whose calibration is not this one's.
        name=f"{path.stem}-{sha256[:8]}",
        role="network",
        description=description,
        file_name=path.name,
        format=kind,
        sha256=sha256,
        size_bytes=path.stat().st_size,
        licence=licence,
        address="",
        path=path.resolve(),
    )
