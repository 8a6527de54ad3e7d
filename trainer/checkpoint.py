"""Where a run stands, in one file that is whole or not there: tensors, and one JSON text in the header.

Everything that decides how the run goes on is in it, so that a run that was killed ends with the same
weights as one that was not. What is drawn at random needs no place: it follows from seed and position.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trainer.crops import CropsFolder
from trainer.option_names import NOT_GIVEN, as_options
from trainer.run_folder import BEST

_VERSION = 1
_HEADER = "visavis-checkpoint"


class CheckpointError(Exception):
    """A checkpoint that cannot be gone on from. The message names it and the remedy."""


@dataclass(frozen=True)
class Checkpoint:
    """What is saved.

    Attributes:
        tensors: by "part/name".
        state: all else, as JSON takes it.
    """

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """Give the tensors of one part by their names in it."""
        return {key.split("/", 1)[1]: value for key, value in self.tensors.items() if key.split("/", 1)[0] == name}


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint over the former one."""
    header = {_HEADER: json.dumps({"version": _VERSION, **checkpoint.state})}
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()}
    temporary = path.with_name(f".{path.name}")
    save_file(tensors, temporary, metadata=header)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: if the file is none, is cut short, or is of another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
        state = json.loads(header) if header else {}
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): begin again with --fresh") from error
    if state.get("version") != _VERSION:
        raise CheckpointError(
            f"{path} is no checkpoint of version {_VERSION}, which this visavis reads: begin again with --fresh"
        )
    return Checkpoint(tensors, state)


def check_same_run(
    checkpoint: Checkpoint, root: Path, settings: Mapping[str, Any], crops: str, *, may_differ: Collection[str]
) -> None:
    """Refuse to go on with a run under other settings, or with other crops.

    Args:
        checkpoint: its state has "settings" and "crops".
        root: the run's folder, for the message.
        settings: of now.
        crops: ``contents_digest`` of now.
        may_differ: settings that may be others.
    Raises:
        CheckpointError: names what is different.
    """
    before, now = checkpoint.state["settings"], json.loads(json.dumps(settings))
    others = [name for name in now if name not in may_differ and now[name] != before.get(name)]
    if others:
        one, other = (as_options({name: chosen.get(name) for name in others}) for chosen in (before, now))
        pairs = ((name, one.get(name, NOT_GIVEN), text) for name, text in other.items())
        told = ", ".join(f"{name} was {was} and is {text}" for name, was, text in pairs if was != text)
        further = f". To train on: `--init {root / BEST} --out NEW`" if (root / BEST).is_file() else ""
        raise CheckpointError(
            f"{root} holds a run with other settings ({told}): take the same, another --out, "
            f"or begin again with --fresh{further}"
        )
    if checkpoint.state["crops"] != crops:
        raise CheckpointError(
            f"the folder of crops holds others than when {root} was begun: take another --out, "
            "or begin again with --fresh"
        )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Give what an optimizer remembers of each parameter: "place/name" to tensor, places in the order of its groups."""
    return {
        f"{place}/{name}": value
        for place, parameter in enumerate(_parameters(optimizer))
        for name, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what ``optimizer_tensors`` gave.

    Raises:
        CheckpointError: if it does not fit the parameters.
    """
    parameters = _parameters(optimizer)
    for key, value in tensors.items():
        place, name = key.split("/", 1)
        if int(place) >= len(parameters):
            raise CheckpointError("the checkpoint is of a run with other layers in training: begin again with --fresh")
        parameter = parameters[int(place)]
        if value.ndim and value.shape != parameter.shape:
            raise CheckpointError("the checkpoint is of another network: begin again with --fresh")
        # In the parameter's own memory layout, so that the next step adds up in the same order.
        kept = torch.empty_like(parameter).copy_(value) if value.ndim else value.clone()
        optimizer.state[parameter][name] = kept


def restore(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load a part's tensors into a module; CheckpointError if they are not its own."""
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise CheckpointError(f"the checkpoint is of another network: begin again with --fresh ({error})") from error


def contents_digest(folder: CropsFolder) -> str:
    """Name what lies in a folder of crops: a run goes on only with the same crops."""
    digest = hashlib.sha256(repr((folder.settings.size, folder.settings.margin, folder.settings.template)).encode())
    for path in folder.paths:
        digest.update(os.fsencode(path) + b"\0")
    return digest.hexdigest()[:16]


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
