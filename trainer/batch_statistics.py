"""What a batch says about the state of training: how hard its examples are, how far its faces are spread."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.outcome import Outcome

# Which quantiles of similarities are kept.
QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)


@dataclass(frozen=True)
class BatchStatistics:
    """Figures of one step, for the log and for ``trainer.watch``.

    Attributes:
        loss: NaN where the batch was broken.
        active: share of what was compared that has a loss.
        same_quantiles, different_quantiles: of the similarities that were compared, at QUANTILES; NaN
            where there were none.
        spread: 1 - mean similarity of two faces of the batch: about 1 for a healthy network, 0 when all
            embeddings have become the same.
        rank: how many directions the embeddings really use, from 1 to the dimension.
    """

    loss: float
    active: float
    same_quantiles: tuple[float, ...]
    different_quantiles: tuple[float, ...]
    spread: float
    rank: float


def summarise(outcome: Outcome, embeddings: Tensor) -> BatchStatistics:
    """Make figures of what a loss gave. Waits for the device, so do it every few steps.

    Args:
        outcome: of the batch.
        embeddings: float (N, D), the same batch, of any length.
    """
    rows = embeddings.detach()
    return BatchStatistics(
        loss=float(outcome.loss.detach()),
        active=float(outcome.active),
        same_quantiles=quantiles(outcome.same_similarities),
        different_quantiles=quantiles(outcome.different_similarities),
        spread=spread(rows),
        rank=effective_rank(rows),
    )


def quantiles(values: Tensor) -> tuple[float, ...]:
    """Give the values float (N,) at QUANTILES, each one that occurs (the nearest rank); NaN for none."""
    if len(values) == 0:
        return (float("nan"),) * len(QUANTILES)
    ordered = values.detach().float().sort().values
    return tuple(float(ordered[round(q * (len(values) - 1))]) for q in QUANTILES)


def spread(embeddings: Tensor) -> float:
    """1 - mean cosine of two different rows of float (N, D); NaN for fewer than two."""
    count = len(embeddings)
    if count < 2:
        return float("nan")
    unit = functional.normalize(embeddings.detach().double())
    # All ordered pairs at once: |sum of rows|² is the sum of their products, those with themselves among them.
    together = float(unit.sum(dim=0).square().sum()) - float(unit.square().sum())
    return 1 - together / (count * (count - 1))


def effective_rank(embeddings: Tensor) -> float:
    """Count the directions that float (N, D) rows use: e to the entropy of their singular values' shares.

    Roy & Vetterli 2007, "The effective rank". Rows are put on the unit sphere and are not centred, so the
    same vector in all rows gives 1. NaN without rows, or where a row is no number.
    """
    unit = functional.normalize(embeddings.detach().double())
    if len(unit) == 0 or not bool(torch.isfinite(unit).all()):
        return float("nan")
    values = torch.linalg.svdvals(unit)
    shares = values[values > 0] / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum()))
