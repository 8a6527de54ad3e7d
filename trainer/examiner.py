"""Measures a network after each epoch on the people who are held out, and keeps the best as a weight file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from trainer.crops import CropsError
from trainer.evaluate import HeldOut, embed_crops, held_out_figures
from trainer.loader import readable_crops
from trainer.material import Material
from trainer.measures import compare_measures
from trainer.processes import Processes
from trainer.run_folder import BEST
from trainer.settings import TrainSettings
from trainer.start import Start
from trainer.weights import Description, save_weights

# Crops to which DeepFace's measures are fitted, about.
_FITTED = 4_000

NO_NUMBERS = (
    "The network's embeddings are no numbers any more, though every step's loss was one: its weights have grown too "
    "large. Lower the learning rate, clip gradients, or train in float32; the last checkpoint is whole."
)


class NoNumbers(ArithmeticError):
    """A network whose embeddings are no numbers."""


@dataclass
class Examiner:
    """Knows the best epoch so far.

    Attributes:
        root: the run's folder.
        settings, material, start: of the run.
        bfloat16: whether to measure in it.
        complain: told of crops that cannot be read; they are left out.
        is_random: whether the network begins with random weights, to which nothing was fitted.
        last, best: figures of the network that was measured last, and of the best one.
        best_epoch: counted from 1; 0 is what the run began with, -1 before anything was measured.
    """

    root: Path
    settings: TrainSettings
    material: Material
    start: Start
    bfloat16: bool
    complain: Callable[[str], None]
    is_random: bool
    last: HeldOut | None = None
    best: HeldOut | None = None
    best_epoch: int = -1
    _unreadable: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64), compare=False)

    def examine(self, network: nn.Module, epoch: int, processes: Processes) -> bool:
        """Measure a network; whether it is the best so far, and was kept.

        Where nobody is held out the latest is the best. Random weights are measured, and not kept.

        Raises:
            NoNumbers: if embeddings are no numbers.
        """
        rows, embeddings = self._embed(network, self.material.held_out, processes)
        if not np.isfinite(embeddings).all():
            raise NoNumbers
        labels = self.material.folder.labels[rows]
        self.last = held_out_figures(embeddings, labels) if len(rows) else None
        if epoch == 0 and self.is_random:
            return False
        if self.last is not None and self.best is not None and self.last.score <= self.best.score:
            return False
        self.best, self.best_epoch = self.last, epoch
        self.write(BEST, network, epoch)
        return True

    def compare_measures(self, network: nn.Module, processes: Processes) -> dict[str, float] | None:
        """Judge cosine beside DeepFace's measures (``trainer.measures``); None if too few people are held out."""
        if self.last is None:
            return None
        folder = self.material.folder
        some = self.material.trained[:: max(1, len(self.material.trained) // _FITTED)]
        both = []
        for wanted in (some, self.material.held_out):
            rows, embeddings = self._embed(network, wanted, processes)
            both.append((embeddings, folder.labels[rows]))
        return compare_measures(both[0], both[1])

    def _embed(
        self, network: nn.Module, rows: NDArray[np.int64], processes: Processes
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Embed crops: (the rows of those that can be read, their embeddings)."""
        folder = self.material.folder
        rows = rows[~np.isin(rows, self._unreadable)]
        try:
            return rows, embed_crops(network, folder, rows, processes.device, bfloat16=self.bfloat16)
        except CropsError:
            readable, complaints = readable_crops(folder, rows)
        for complaint in complaints:
            self.complain(f"{complaint}. It is left out of what is measured")
        self._unreadable = np.union1d(self._unreadable, np.setdiff1d(rows, readable))
        return readable, embed_crops(network, folder, readable, processes.device, bfloat16=self.bfloat16)

    def write(self, name: str, network: nn.Module, epoch: int) -> None:
        """Write a network as a weight file, with the figures of the last examination."""
        recipe = {
            "settings": self.settings.as_dict(),
            "epochs": epoch,
            "began with": self.start.origin,
            "crops": self.material.folder.settings.source,
            "held out": self._held_out_share(),
            "people": len(self.material.people),
            "trained on": len(self.material.trained),
        }
        description = Description(
            network=self.start.settings,
            licence=self.settings.licence or self.start.licence or "unspecified",
            metrics=self.last.as_metrics() if self.last is not None else {},
            recipe=recipe,
        )
        save_weights(self.root / name, network, description)

    def _held_out_share(self) -> float:
        own = self.settings.held_out
        return self.material.folder.settings.held_out if own is None else own

    def state(self) -> dict[str, Any]:
        """Give what a checkpoint keeps."""
        figures = {name: asdict(found) if found else None for name, found in (("last", self.last), ("best", self.best))}
        return {**figures, "best_epoch": self.best_epoch}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what ``state`` gave."""
        self.last, self.best = (_held_out(state[name]) for name in ("last", "best"))
        self.best_epoch = state["best_epoch"]


def _held_out(saved: Mapping[str, Any] | None) -> HeldOut | None:
    if saved is None:
        return None
    values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in saved.items()}
    return HeldOut(**values)
