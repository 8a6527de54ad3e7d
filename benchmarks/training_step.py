"""Claim: bfloat16 makes a training step faster, gradient caching makes it small, and mining is next to nothing of it.

python -m benchmarks.training_step [--quick] [--json]

dlib's network on crops of 150 pixels, which are noise, as only the work is measured. Memory "above the
start" is the growth of the peak during the steps; the crops themselves, as bytes, are there before.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.contender import Job, peak_rss_bytes
from benchmarks.frame import Comparison, Contender
from benchmarks.script import Plan, Settings, run_script
from benchmarks.training import Loss, our_loss, their_loss, write_batch

if TYPE_CHECKING:
    from torch import Tensor

    from trainer.losses.outcome import Outcome

CLAIM = (
    "A training step with dlib's network, batch-hard loss and SGD: forward, mining, loss, backward and update. The "
    "share of the loss is that of mining and loss, forward and backward, in the time of the step. In parts means "
    "gradient caching: embed all crops, mine among all, then back-propagate a part at a time."
)
_WARM_UP = 8  # crops


def visavis_step(folder: Path, how: str) -> Job:
    """A step; ``how``: precision, how many crops, and how many of them at once."""
    return _step_job(folder, our_loss("batch-hard"), how)


def peer_step(folder: Path, how: str) -> Job:
    """The same step with the peer's loss."""
    return _step_job(folder, their_loss("batch-hard"), how)


def _step_job(folder: Path, loss: Loss, how: str) -> Job:
    import torch

    from trainer.dlib_network import DlibResNet
    from trainer.gradient_cache import backward_in_parts

    precision, crops_text, part_text = how.split()
    total, part = int(crops_text), int(part_text)
    torch.manual_seed(1)
    network = DlibResNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)
    timed = _TimedLoss(loss, torch.from_numpy(np.load(folder / "labels.npy")))
    crops = torch.randint(0, 256, (total, 150, 150, 3), dtype=torch.uint8).permute(0, 3, 1, 2)

    def step(count: int) -> float:
        started = time.process_time()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
            if part < count:
                backward_in_parts(network, crops[:count], timed, part=part, augment=lambda some: some.float())
            else:
                timed(network(crops[:count].float())).loss.backward()
        optimizer.step()
        return timed.seconds / (time.process_time() - started)

    def judge(share: float) -> dict[str, float]:
        return {"share of the loss": share, "MB above the start": (peak_rss_bytes() - before) / 1e6}

    before = peak_rss_bytes()
    return Job(lambda: step(total), total, lambda: step(_WARM_UP), judge)


class _TimedLoss:
    """A loss that notes how long it took last, forward and backward."""

    def __init__(self, loss: Loss, labels: Tensor) -> None:
        self.seconds = 0.0
        self._loss, self._labels = loss, labels

    def __call__(self, rows: Tensor) -> Outcome:
        """Give a stand-in for the loss that has its gradient and costs nothing."""
        import torch

        from trainer.losses.outcome import Outcome

        started = time.process_time()
        copy = rows.detach().float().requires_grad_()
        value = self._loss(copy, self._labels[: len(rows)])
        (gradient,) = torch.autograd.grad(value, copy)
        self.seconds = time.process_time() - started
        nothing = value.detach()
        return Outcome((rows.float() * gradient).sum(), nothing, nothing[None], nothing[None])


def _visavis(name: str, how: str) -> Contender:
    return Contender(f"visavis, {name}", "benchmarks.training_step:visavis_step", "visavis", ("torch",), argument=how)


def _peer(how: str) -> Contender:
    packages = ("pytorch-metric-learning", "torch")
    name = "bfloat16, pytorch-metric-learning's loss"
    return Contender(name, "benchmarks.training_step:peer_step", packages=packages, argument=how)


def _prepare(settings: Settings, folder: Path) -> Plan:
    large = 300 if settings.quick else 1_800
    at_once = (
        _visavis("bfloat16", "bfloat16 180 180"),
        _visavis("float32", "float32 180 180"),
        _peer("bfloat16 180 180"),
    )
    in_parts = (
        _visavis("in parts of 20", "float32 240 20"),
        _visavis("in one piece", "float32 240 240"),
    )
    facenets = (
        _visavis(f"{large:,} crops in parts of 60", f"bfloat16 {large} 60"),
        _visavis("64 crops in one piece", "bfloat16 64 64"),
    )
    inputs = write_batch(folder, large)  # labels of all; a smaller batch takes the first ones
    return Plan(
        [
            (Comparison("180 crops in one piece", "crop", at_once), inputs),
            (Comparison("240 crops, float32", "crop", in_parts), inputs),
            (Comparison(f"{large:,} crops, bfloat16, beside 64", "crop", facenets), inputs),
        ]
    )


if __name__ == "__main__":
    run_script("training_step", CLAIM, _prepare)
