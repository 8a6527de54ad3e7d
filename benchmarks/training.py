"""Claim: visavis mines a batch and gives its loss faster than a peer, and in less memory.

python -m benchmarks.training [--quick] [--json]

Embeddings are random points around their people. Memory "above the start" is the growth of the peak while
the loss is computed. What the loss is of a whole step: ``benchmarks.training_step``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.contender import Job, peak_rss_bytes
from benchmarks.frame import Comparison, Contender
from benchmarks.script import Plan, Settings, run_script

if TYPE_CHECKING:
    from torch import Tensor

CLAIM = (
    "visavis mines a batch and gives its loss, forward and backward, faster than pytorch-metric-learning and in a "
    "fraction of its memory. Batch-hard takes one triplet a face. Semi-hard is FaceNet's: visavis takes the hardest "
    "semi-hard stranger of each pair, the peer all of them, as it has no way to take the hardest."
)
_SIZES, _QUICK_SIZES = (180, 1_800, 4_096), (180, 600)
_CROPS_EACH = 4
_MARGIN = 0.2
_REPEATS = {180: 100, 600: 20, 1_800: 3, 4_096: 1}

# For embeddings and labels of a batch: the loss.
Loss = Callable[["Tensor", "Tensor"], "Tensor"]


def visavis_batch_hard(folder: Path) -> Job:
    """Mine and differentiate batch-hard loss."""
    return _loss_job(folder, our_loss("batch-hard"))


def peer_batch_hard(folder: Path) -> Job:
    """The same with a miner and a loss of pytorch-metric-learning."""
    return _loss_job(folder, their_loss("batch-hard"))


def visavis_semihard(folder: Path) -> Job:
    """Mine and differentiate FaceNet's loss."""
    return _loss_job(folder, our_loss("facenet"), repeats=1)


def peer_semihard(folder: Path) -> Job:
    """All semi-hard triplets, as the peer has no way to take the hardest of each pair."""
    return _loss_job(folder, their_loss("facenet"), repeats=1)


def our_loss(recipe: str) -> Loss:
    """Give the loss of a recipe, with its defaults."""
    from trainer.recipes import RECIPES, build_objective

    objective = build_objective(RECIPES[recipe].settings, classes=0, dimension=128)
    return lambda rows, labels: objective(rows, labels).loss


def their_loss(recipe: str) -> Loss:
    """Give the peer's loss that is nearest to a recipe's."""
    from pytorch_metric_learning import distances, losses, miners
    from pytorch_metric_learning.reducers import MeanReducer

    if recipe == "batch-hard":
        miner: Any = miners.BatchHardMiner()
        loss = losses.TripletMarginLoss(margin=_MARGIN, reducer=MeanReducer())
    else:
        distance = distances.LpDistance(power=2)
        miner = miners.TripletMarginMiner(margin=_MARGIN, type_of_triplets="semihard", distance=distance)
        loss = losses.TripletMarginLoss(margin=_MARGIN, distance=distance, reducer=MeanReducer())

    def compute(rows: Tensor, labels: Tensor) -> Tensor:
        found: Tensor = loss(rows, labels, miner(rows, labels))
        return found

    return compute


def _loss_job(folder: Path, loss: Loss, *, repeats: int = 0) -> Job:
    import torch

    rows = torch.from_numpy(np.load(folder / "rows.npy")).requires_grad_()
    labels = torch.from_numpy(np.load(folder / "labels.npy"))
    repeats = repeats or _REPEATS[len(rows)]
    few = torch.from_numpy(np.load(folder / "rows.npy")[:8]).requires_grad_()
    loss(few, labels[:8]).backward()  # so that what is loaded only once is no part of the memory
    before = peak_rss_bytes()

    def run() -> float:
        for _ in range(repeats):
            rows.grad = None
            value = loss(rows, labels)
            value.backward()
        return float(value)

    return Job(run, repeats, judge=lambda value: {"MB above the start": (peak_rss_bytes() - before) / 1e6})


_PEER = ("pytorch-metric-learning", "torch")
_BATCH_HARD = (
    Contender("pytorch-metric-learning", "benchmarks.training:peer_batch_hard", packages=_PEER),
    Contender("visavis", "benchmarks.training:visavis_batch_hard", "visavis", ("torch",)),
)
_SEMIHARD = (
    Contender("pytorch-metric-learning", "benchmarks.training:peer_semihard", packages=_PEER),
    Contender("visavis", "benchmarks.training:visavis_semihard", "visavis", ("torch",)),
)


def _prepare(settings: Settings, folder: Path) -> Plan:
    sizes = _QUICK_SIZES if settings.quick else _SIZES
    comparisons = [
        (Comparison(f"Batch-hard loss of {size:,} faces", "batch", _BATCH_HARD), write_batch(folder, size))
        for size in sizes
    ]
    middle = sizes[1]
    comparisons.append(
        (Comparison(f"Semi-hard loss of {middle:,} faces", "batch", _SEMIHARD), write_batch(folder, middle))
    )
    return Plan(comparisons)


def write_batch(folder: Path, size: int) -> Path:
    """Write ``size`` embeddings of people with four faces each, and their labels; gives the folder they are in."""
    inputs = folder / str(size)
    inputs.mkdir(exist_ok=True)
    random = np.random.default_rng(size)
    labels = np.arange(size) // _CROPS_EACH
    people = random.standard_normal((size // _CROPS_EACH, 128))
    rows = people[labels] + 1.5 * random.standard_normal((size, 128))
    np.save(inputs / "rows.npy", rows.astype(np.float32))
    np.save(inputs / "labels.npy", labels.astype(np.int64))
    return inputs


if __name__ == "__main__":
    run_script("training", CLAIM, _prepare)
