"""Claim: the losses of a training step cost next to nothing, where those of a peer take much of it.

python -m benchmarks.training [--quick] [--json]

Embeddings are random points around their people; crops are noise, as only the work is measured. Memory
"above the start" is the growth of the peak while the loss is computed.
"""

from __future__ import annotations

import time
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
    "visavis mines a batch and gives its loss, forward and backward, many times faster than pytorch-metric-learning "
    "and in a fraction of its memory, so that mining is a small share of a training step. A step runs dlib's network "
    "on crops of 150 pixels; 180 crops at once, 1,800 in parts of 60 (gradient caching)."
)
_SIZES, _QUICK_SIZES = (180, 1_800, 4_096), (180, 600)
_CROPS_EACH = 4
_MARGIN = 0.2
_AT_ONCE, _PART = 180, 60  # up to so many crops in one piece, more of them in parts
_REPEATS = {180: 100, 600: 20, 1_800: 3, 4_096: 1}

# For embeddings and labels of a batch: the loss.
_Loss = Callable[["Tensor", "Tensor"], "Tensor"]


def visavis_batch_hard(folder: Path) -> Job:
    """Mine and differentiate batch-hard loss."""
    return _loss_job(folder, _ours("batch-hard"))


def peer_batch_hard(folder: Path) -> Job:
    """The same with a miner and a loss of pytorch-metric-learning."""
    return _loss_job(folder, _theirs("batch-hard"))


def visavis_semihard(folder: Path) -> Job:
    """Mine and differentiate FaceNet's loss."""
    return _loss_job(folder, _ours("facenet"), repeats=1)


def peer_semihard(folder: Path) -> Job:
    """All semi-hard triplets, as the peer has no way to take the hardest of each pair."""
    return _loss_job(folder, _theirs("facenet"), repeats=1)


def visavis_step(folder: Path, precision: str) -> Job:
    """A whole step in this precision."""
    return _step_job(folder, _ours("batch-hard"), precision)


def peer_step(folder: Path, precision: str) -> Job:
    """The same step with the peer's loss."""
    return _step_job(folder, _theirs("batch-hard"), precision)


def visavis_memory(folder: Path, part: str) -> Job:
    """A step on 240 crops, so many at once."""
    return _step_job(folder, _ours("batch-hard"), "float32", part=int(part))


def _ours(recipe: str) -> _Loss:
    from trainer.recipes import RECIPES, build_objective

    objective = build_objective(RECIPES[recipe].settings, classes=0, dimension=128)
    return lambda rows, labels: objective(rows, labels).loss


def _theirs(recipe: str) -> _Loss:
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


def _loss_job(folder: Path, loss: _Loss, *, repeats: int = 0) -> Job:
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


def _step_job(folder: Path, loss: _Loss, precision: str, *, part: int = 0) -> Job:
    import torch

    from trainer.dlib_network import DlibResNet
    from trainer.gradient_cache import backward_in_parts
    from trainer.losses.outcome import Outcome

    torch.manual_seed(1)
    network = DlibResNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    labels = torch.from_numpy(np.load(folder / "labels.npy"))
    crops = torch.randint(0, 256, (len(labels), 3, 150, 150), dtype=torch.uint8)
    at_once = part or (_PART if len(crops) > _AT_ONCE else len(crops))
    spent: list[float] = []

    def timed(rows: Tensor) -> Outcome:
        """Note what the loss takes, forward and backward; give a surrogate that has its gradient and costs nothing."""
        started = time.process_time()
        copy = rows.detach().float().requires_grad_()
        value = loss(copy, labels[: len(rows)])
        (gradient,) = torch.autograd.grad(value, copy)
        spent.append(time.process_time() - started)
        nothing = value.detach()
        return Outcome((rows.float() * gradient).sum(), nothing, nothing[None], nothing[None])

    def step(count: int) -> float:
        started = time.process_time()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            if at_once < count:
                backward_in_parts(network, crops[:count].float(), timed, part=at_once)
            else:
                timed(network(crops[:count].float())).loss.backward()
        optimizer.step()
        return spent.pop() / (time.process_time() - started)

    before = peak_rss_bytes()

    def judge(share: float) -> dict[str, float]:
        return {"share of the loss": share, "MB above the start": (peak_rss_bytes() - before) / 1e6}

    return Job(lambda: step(len(crops)), len(crops), lambda: step(8), judge)


_PEER = ("pytorch-metric-learning", "torch")
_BATCH_HARD = (
    Contender("pytorch-metric-learning", "benchmarks.training:peer_batch_hard", packages=_PEER),
    Contender("visavis", "benchmarks.training:visavis_batch_hard", "visavis", ("torch",)),
)
_SEMIHARD = (
    Contender("pytorch-metric-learning", "benchmarks.training:peer_semihard", packages=_PEER),
    Contender("visavis", "benchmarks.training:visavis_semihard", "visavis", ("torch",)),
)
_BF16, _FP32 = (
    Contender(f"visavis, {name}", "benchmarks.training:visavis_step", "visavis", ("torch",), argument=name)
    for name in ("bfloat16", "float32")
)
_PEERS_STEP = Contender(
    "with pytorch-metric-learning's loss", "benchmarks.training:peer_step", packages=_PEER, argument="bfloat16"
)
_MEMORY = tuple(
    Contender(f"visavis, {name}", "benchmarks.training:visavis_memory", "visavis", ("torch",), argument=part)
    for name, part in (("in parts of 20", "20"), ("in one piece", "240"))
)


def _prepare(settings: Settings, folder: Path) -> Plan:
    sizes = _QUICK_SIZES if settings.quick else _SIZES
    comparisons = [
        (Comparison(f"Batch-hard loss of {size:,} faces", "batch", _BATCH_HARD), _batch(folder, size)) for size in sizes
    ]
    middle = sizes[1]
    comparisons += [
        (Comparison(f"Semi-hard loss of {middle:,} faces", "batch", _SEMIHARD), _batch(folder, middle)),
        (Comparison("A step on 180 crops", "crop", (_BF16, _FP32, _PEERS_STEP)), _batch(folder, 180)),
        (Comparison("Memory of a step on 240 crops", "crop", _MEMORY), _batch(folder, 240)),
    ]
    if not settings.quick:
        comparisons.append((Comparison("A step on 1,800 crops", "crop", (_BF16, _PEERS_STEP)), _batch(folder, 1_800)))
    return Plan(comparisons)


def _batch(folder: Path, size: int) -> Path:
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
