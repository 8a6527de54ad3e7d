"""What a run learns about itself: figures of its steps, its hardest triplets, doubtful labels; and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainer.batch_statistics import BatchStatistics, summarise
from trainer.learner import Step
from trainer.material import Material
from trainer.mining import hardest_triplets
from trainer.suspicions import LabelSuspicions
from trainer.watch import BrokenSteps, Verdict, judge_collapse

# Logged steps that are looked at to tell whether a network has collapsed.
_WINDOW = 12
_HISTORY = 500


@dataclass(frozen=True)
class Triplet:
    """One of the hardest: rows of the folder, and the cosines of what the network saw."""

    anchor: int
    positive: int
    negative: int
    same: float
    different: float


class Journal:
    """Keeps the figures of a run. All of it is saved with a checkpoint."""

    def __init__(self, material: Material, *, keep: int) -> None:
        """Begin.

        Args:
            material: whose crops are trained on.
            keep: how many of the hardest triplets of an epoch.
        """
        self._material, self._keep = material, keep
        self._history: list[BatchStatistics] = []
        self._epoch: list[BatchStatistics] = []
        self._triplets: dict[int, Triplet] = {}
        self._suspicions = LabelSuspicions()
        self.broken = BrokenSteps()

    def watch(self, step: Step, rows: np.ndarray, labels: Tensor) -> None:
        """Look at the batch of a step: its hardest triplets, and whose faces look like somebody else's.

        Args:
            step: what became of it.
            rows: int64 (N,), of the batch of all processes.
            labels: int64 (N,), its people; -1 for faces without names.
        """
        self.broken = self.broken.after(finite=step.finite)
        if not step.finite or not len(self._material.people):
            return
        unit = functional.normalize(step.embeddings.float())
        self._suspicions.record(torch.from_numpy(rows), labels, unit)
        triplets = torch.stack(hardest_triplets(unit, labels))
        if triplets.shape[1]:
            anchor, positive, negative = unit[triplets]
            same, different = (anchor * positive).sum(dim=1), (anchor * negative).sum(dim=1)
            order = (different - same).topk(min(self._keep, len(same))).indices
            for place in order.tolist():
                a, p, n = (int(rows[number]) for number in triplets[:, place].tolist())
                self._keep_triplet(Triplet(a, p, n, float(same[place]), float(different[place])))

    def _keep_triplet(self, triplet: Triplet) -> None:
        former = self._triplets.get(triplet.anchor)
        if former is None or _hardness(triplet) > _hardness(former):
            self._triplets[triplet.anchor] = triplet
        if len(self._triplets) > 4 * self._keep + 16:
            self._triplets = {kept.anchor: kept for kept in self.hardest()}

    def measure(self, step: Step) -> BatchStatistics:
        """Take the figures of a step for the log."""
        statistics = summarise(step.outcome, step.embeddings)
        self._history = [*self._history[-_HISTORY:], statistics]
        self._epoch.append(statistics)
        return statistics

    def verdict(self, loss_at_collapse: float | None) -> Verdict:
        """Judge whether the network has collapsed."""
        return judge_collapse(self._history, loss_at_collapse=loss_at_collapse, window=_WINDOW)

    def hardest(self) -> list[Triplet]:
        """Give the hardest triplets of the epoch so far, hardest first."""
        return sorted(self._triplets.values(), key=lambda t: (-_hardness(t), t.anchor))[: self._keep]

    def hardest_by_name(self) -> list[dict[str, Any]]:
        """Give them as the run's folder has them."""
        folder = self._material.folder
        return [
            {
                "anchor": folder.paths[t.anchor],
                "positive": folder.paths[t.positive],
                "negative": folder.paths[t.negative],
                "same": t.same,
                "different": t.different,
                "person": folder.people[int(folder.labels[t.anchor])],
                "other": folder.people[int(folder.labels[t.negative])],
            }
            for t in self.hardest()
        ]

    def suspects_by_name(self) -> list[dict[str, Any]]:
        """Give the crops that are probably filed under a wrong name, as the run's folder has them."""
        return [
            {
                "crop": self._material.folder.paths[suspect.crop],
                "person": self._material.name(suspect.label),
                "looks_like": self._material.name(suspect.looks_like),
                "seen": suspect.seen,
                "times": suspect.times,
            }
            for suspect in self._suspicions.suspects()
        ]

    def suspects(self) -> np.ndarray:
        """Give their rows: int64 (S,), rising."""
        return np.sort(np.array([suspect.crop for suspect in self._suspicions.suspects()], np.int64))

    def forget_suspicions(self) -> None:
        """Begin to suspect anew: what an untrained network confuses says nothing."""
        self._suspicions.forget()

    def end_epoch(self) -> dict[str, Any]:
        """Give the means of the epoch's figures for the log, and begin the next epoch."""
        columns = ("loss", "active", "same_quantiles", "different_quantiles", "spread", "rank")
        figures: dict[str, Any] = {}
        for name in columns:
            values = np.array([getattr(step, name) for step in self._epoch], np.float64)
            finite = values[np.isfinite(values.reshape(len(values), -1)).all(axis=1)] if len(values) else values
            figures[name] = finite.mean(axis=0).tolist() if len(finite) else None
        self._epoch, self._triplets = [], {}
        return figures

    def tensors(self) -> dict[str, Tensor]:
        """Give what a checkpoint keeps as tensors."""
        return {f"suspicions/{name}": value for name, value in self._suspicions.tensors().items()}

    def state(self) -> dict[str, Any]:
        """Give what a checkpoint keeps as JSON."""
        return {
            "history": [asdict(step) for step in self._history],
            "epoch": [asdict(step) for step in self._epoch],
            "triplets": [asdict(triplet) for triplet in self.hardest()],
            "broken": asdict(self.broken),
        }

    def restore(self, state: Mapping[str, Any], suspicions: Mapping[str, Tensor]) -> None:
        """Put back what ``state`` and ``tensors`` gave."""
        self._history = [_statistics(step) for step in state["history"]]
        self._epoch = [_statistics(step) for step in state["epoch"]]
        self._triplets = {t["anchor"]: Triplet(**t) for t in state["triplets"]}
        self.broken = BrokenSteps(**state["broken"])
        self._suspicions.restore(suspicions)


def _hardness(triplet: Triplet) -> float:
    return triplet.different - triplet.same


def _statistics(saved: Mapping[str, Any]) -> BatchStatistics:
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
    return BatchStatistics(**values)
