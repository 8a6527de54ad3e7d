"""The rate of learning over a run, and the running mean of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

_LAST = 0.01  # of the full rate, at the end


def rate_at(step: int, steps: int, warm_up: float) -> float:
    """Give the share of the full rate in a step: it rises in a line, then falls as half a cosine to a hundredth.

    Loshchilov & Hutter 2017, "SGDR" (arXiv 1608.03983), without restarts.

    Args:
        step: from 0.
        steps: of the run.
        warm_up: share of the steps.
    """
    rising = warm_up * steps
    if step < rising:
        return (step + 1) / (math.ceil(rising) + 1)
    progress = (step - rising) / max(1.0, steps - rising)
    return _LAST + (1 - _LAST) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, *, decay: float, step: int) -> None:
    """Move the mean of the weights, and of batch norm's statistics, towards the network.

    Polyak & Juditsky 1992, as a running mean: a ← d·a + (1 - d)·w, with a smaller d in the first steps.

    Args:
        average, network: of the same kind; the first is changed.
        decay: d.
        step: from 0.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    for mean, value in zip(_tensors(average), _tensors(network), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value, share)
        else:
            mean.copy_(value)


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.state_dict().values()
