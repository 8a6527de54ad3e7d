"""What an album keeps of a network that came in a file of the user's own: a copy, and how its faces are fed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedder.pretrained import FaceNetwork, WeightFile, locate

FILE_SUFFIXES = (".safetensors", ".onnx")
"""Of files that can be given as a model: the trainer's own, and ONNX."""


def is_model_file(name: str) -> bool:
    """Whether a model is named by its file, and not by its name in the table."""
    return Path(name).suffix.lower() in FILE_SUFFIXES


def keep_copy(network: FaceNetwork, folder: Path) -> FaceNetwork:
    """Copy a network's file into ``folder`` under its SHA-256; a copy that is there already serves.

    Returns:
        the same network, in the copy.
    Raises:
        embedder.pretrained.WeightsError: if the file is not what it was when it was opened.
        OSError: if it cannot be copied; nothing is left then.
    """
    source = locate(network.weights)
    target = folder / f"{network.weights.sha256[:16]}{source.suffix.lower()}"
    kept = network_in(folder, network_record(network, target.name))
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        making = folder / f".tmp-{os.getpid()}-{target.name}"
        try:
            shutil.copyfile(source, making)
            making.chmod(0o600)
            with making.open("rb") as file:
                os.fsync(file.fileno())
            making.replace(target)
        finally:
            making.unlink(missing_ok=True)
    locate(kept.weights)
    return kept


def network_record(network: FaceNetwork, file_name: str | None = None) -> dict[str, Any]:
    """Give what ``network_in`` needs, for JSON."""
    weights = network.weights
    return {
        "file": file_name or weights.file_name,
        "name": weights.name,
        "format": weights.format,
        "sha256": weights.sha256,
        "size_bytes": weights.size_bytes,
        "licence": weights.licence,
        "description": weights.description,
        "input_size": network.input_size,
        "template": [list(point) for point in network.template],
        "channel_order": network.channel_order,
        "pixel_scaling": network.pixel_scaling,
        "pixels": None if network.pixels is None else list(network.pixels),
        "dimension": network.dimension,
    }


def network_in(folder: Path, record: Mapping[str, Any]) -> FaceNetwork:
    """Read a record; the file lies in ``folder``, and is not looked at yet.

    Raises:
        KeyError, TypeError, ValueError: if the record is damaged.
    """
    name = str(record["file"])
    if Path(name).name != name:
        raise ValueError(f"{name!r} is no name of a file in {folder}")
    weights = WeightFile(
        name=str(record["name"]),
        role="network",
        description=str(record["description"]),
        file_name=name,
        format=record["format"],
        sha256=str(record["sha256"]),
        size_bytes=int(record["size_bytes"]),
        licence=str(record["licence"]),
        address="",
        path=folder / name,
    )
    pixels = record["pixels"]
    return FaceNetwork(
        weights,
        input_size=int(record["input_size"]),
        template=tuple((float(x), float(y)) for x, y in record["template"]),
        channel_order=record["channel_order"],
        pixel_scaling=str(record["pixel_scaling"]),
        dimension=int(record["dimension"]),
        pixels=None if pixels is None else (float(pixels[0]), float(pixels[1])),
    )
