"""FaceNet's triplet loss: all pairs of a person's faces, each with a semi-hard stranger.

Schroff, Kalenichenko & Philbin 2015, "FaceNet" (arXiv 1503.03832), eq. 2, on the unit sphere:

    L = mean over triplets (a, p, n) of  max(0, |a - p|² - |a - n|² + margin)

Every ordered pair (a, p) of one person's faces in the batch is used; n is the most similar stranger
among those that are farther from a than p is, and the most similar of all where none is
(``trainer.mining.semihard_triplets``). The paper adds the triplets up; here they are averaged, so that
the rate of learning does not depend on the size of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.outcome import Average, Outcome, averaged, check_average, full_precision
from trainer.mining import Triplets, semihard_comparisons


@dataclass(frozen=True)
class FaceNet:
    """FaceNet's loss, called with a batch.

    Attributes:
        margin: in squared distance; the paper's.
        average: over all triplets, or over those with a loss.
    """

    margin: float = 0.2
    average: Average = "all"

    def __post_init__(self) -> None:
        if not self.margin > 0:
            raise ValueError(f"the margin must be above 0, not {self.margin}")
        check_average(self.average)

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Outcome:
        """Mine the batch and give its loss; arguments as for ``BatchHard``."""
        with full_precision(embeddings) as rows:
            unit = functional.normalize(rows)
            return Outcome(*_MinedLoss.apply(unit, labels, self))  # type: ignore[no-untyped-call]


class _MinedLoss(torch.autograd.Function):
    """Mining and the loss, from the similarities that mining has found anyway; the gradient is by formula."""

    @staticmethod
    def forward(ctx: Any, unit: Tensor, labels: Tensor, settings: FaceNet) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        triplets, same, different = semihard_comparisons(unit, labels)
        # |a - p|² - |a - n|² = 2 a·n - 2 a·p on the sphere.
        losses = functional.relu(2 * (different - same) + settings.margin)
        loss, active = averaged(losses, settings.average, unit)
        count = (losses > 0).sum().clamp_min(1) if settings.average == "active" else max(1, len(losses))
        ctx.save_for_backward(_gradient(unit, triplets, 2 * (losses > 0) / count))
        ctx.mark_non_differentiable(active, same, different)
        return loss, active, same, different

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None


def _gradient(unit: Tensor, triplets: Triplets, weights: Tensor) -> Tensor:
    """Give the gradient of the sum of w · (a·n - a·p), float (N, D): a moves with n - p, n with a, and p with -a."""
    a, p, n = triplets
    rows, others = torch.cat([a, a, p, n]), torch.cat([n, p, a, a])
    factors = torch.cat([weights, -weights, -weights, weights]).to(unit.dtype)
    order, counts = rows.argsort(stable=True), torch.bincount(rows, minlength=len(unit))
    total: Tensor = functional.embedding_bag(
        others[order], unit, counts.cumsum(0) - counts, mode="sum", per_sample_weights=factors[order]
    )
    return total
