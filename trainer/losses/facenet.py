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

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.outcome import Average, Outcome, averaged, check_average, divisor, full_precision, with_gradient
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
            triplets, same, different = semihard_comparisons(unit.detach(), labels)
            # |a - p|² - |a - n|² = 2 a·n - 2 a·p on the sphere.
            losses = functional.relu(2 * (different - same) + self.margin)
            loss, active = averaged(losses, self.average, unit.detach())
            gradient = _gradient(unit.detach(), triplets, 2 * (losses > 0) / divisor(losses, self.average))
            return Outcome(with_gradient(loss, unit, gradient), active, same, different)


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
