"""A trained network's file: weights, what is needed to build and feed it, how good it is, and its licence.

A safetensors file with one JSON text in its header. Reading it runs no code, and it is checked whole:
its id is a hash of all that decides what the network computes.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trainer.networks import NetworkSettings, build_network

_VERSION = 1
_HEADER = "visavis"


class WeightFileError(ValueError):
    """A weight file that cannot be used. The message names the file, what is wrong, and the remedy."""


@dataclass(frozen=True)
class Description:
    """What a weight file says of itself.

    Attributes:
        network: how to build the network and to cut its crops.
        licence: of the weights, an SPDX identifier, or what the maker wrote.
        metrics: figures on people that the network has not seen, by name.
        recipe: how it was trained, to be read by people: losses, settings, material.
        id: 16 hexadecimal digits, of the settings and all weights; "" before the file is written.
    """

    network: NetworkSettings
    licence: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


def save_weights(path: Path, network: nn.Module, description: Description) -> str:
    """Write a weight file; under its name it is whole or not there.

    Args:
        path: of the file; an older one is replaced.
        network: as ``build_network(description.network)`` makes it.
        description: its ``id`` is ignored.
    Returns:
        The file's id.
    Raises:
        ValueError: if the network is not the one that is described, or holds a weight that is no number.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    wanted = {name: value.shape for name, value in _empty(description.network).state_dict().items()}
    if wanted != {name: value.shape for name, value in state.items()}:
        raise ValueError(
            f"the network is not a {description.network.kind!r} with these settings: {description.network}"
        )
    broken = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise ValueError(f"{broken[0]} and {len(broken) - 1} others hold values that are no numbers; not saved")
    identity = _identity(description.network, state)
    content = {
        "version": _VERSION,
        "id": identity,
        "network": asdict(description.network),
        "licence": description.licence,
        "metrics": dict(description.metrics),
        "recipe": dict(description.recipe),
    }
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(state, temporary, metadata={_HEADER: json.dumps(content, allow_nan=False)})
        with Path(temporary).open("rb") as written:
            os.fsync(written.fileno())
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return identity


def read_description(path: Path) -> Description:
    """Read what a weight file says of itself, without its weights.

    Raises:
        WeightFileError: if it is not a weight file of visavis, or is cut short.
        FileNotFoundError: if there is no such file.
    """
    with _opened(path) as file:
        return _parse((file.metadata() or {}).get(_HEADER), path)


def load_weights(path: Path) -> tuple[nn.Module, Description]:
    """Build the network of a weight file, in eval mode on the CPU.

    Raises:
        WeightFileError: if it is not a weight file of visavis, is cut short, altered, or of another network.
        FileNotFoundError: if there is no such file.
    """
    with _opened(path) as file:
        description = _parse((file.metadata() or {}).get(_HEADER), path)
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    network = build_network(description.network)
    wanted = network.state_dict()
    missing, unknown = wanted.keys() - state.keys(), state.keys() - wanted.keys()
    if missing or unknown:
        raise WeightFileError(
            f"{path} does not hold the {description.network.kind!r} network that it names: "
            f"{len(missing)} tensors are missing, {len(unknown)} unknown ({min(missing | unknown)})"
        )
    for name, value in state.items():
        if value.shape != wanted[name].shape or value.dtype != wanted[name].dtype:
            raise WeightFileError(
                f"{path}: {name} is {value.dtype} {tuple(value.shape)}, but {description.network.kind!r} with its "
                f"settings wants {wanted[name].dtype} {tuple(wanted[name].shape)}"
            )
    if _identity(description.network, state) != description.id:
        raise WeightFileError(f"{path} was altered after it was written; fetch or train it again")
    network.load_state_dict(state)
    return network.eval(), description


def _empty(settings: NetworkSettings) -> nn.Module:
    """Build a network without memory for its weights, for the shapes alone."""
    with torch.device("meta"):
        return build_network(settings)


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no weight file {path}")
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise WeightFileError(
            f"{path} is not a weight file of visavis, or is cut short ({error}); fetch or train it again"
        ) from error


def _parse(header: str | None, path: Path) -> Description:
    if header is None:
        raise WeightFileError(f"{path} is a safetensors file, but not one that visavis wrote: it describes no network")
    try:
        content = json.loads(header)
        version = content.pop("version")
        if version != _VERSION:
            raise WeightFileError(f"{path} has format version {version}, but this visavis reads {_VERSION}: update it")
        settings = content.pop("network")
        settings["depths"] = tuple(settings["depths"])
        settings["template"] = tuple((float(x), float(y)) for x, y in settings["template"])
        settings["limits"] = tuple(float(limit) for limit in settings.get("limits", ()))
        known = {entry.name for entry in fields(NetworkSettings)}
        network = NetworkSettings(**{name: settings[name] for name in known})
        return Description(network=network, **content)
    except WeightFileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightFileError(f"{path}: its description cannot be read ({error!r})") from error


def _identity(settings: NetworkSettings, state: Mapping[str, Tensor]) -> str:
    """Hash what decides the embeddings: settings and tensors, whatever order they stand in."""
    parts = {name: value for name, value in asdict(settings).items() if value or name != "limits"}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for name in sorted(state):
        value = state[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
