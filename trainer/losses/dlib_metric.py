"""dlib's metric loss, with which its face network was trained: pairs on the right side of a distance.

``loss_metric`` in dlib/dnn/loss.h (King 2017). With d the Euclidean distance of a pair's embeddings,
t = .6 the threshold by which dlib calls two faces the same person, and m = .04 the margin,

    L = 1 / (2 P) · ( sum over same-person pairs of       max(0, d - (t - m))
                    + sum over other-person pairs of      max(0, (t + m) - d) )

P is the number of same-person pairs in the batch. Of the other-person pairs only the P nearest count,
so that both sides weigh the same. Embeddings are not put on the unit sphere.

This is the function whose gradient dlib computes. The loss that dlib reports counts each pair in both
directions while its gradient does not, so what dlib prints is twice this. A batch that dlib refuses,
without a pair of either kind, is right here: what is not there costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.outcome import Outcome, distances, full_precision, paired_cosines, select_rows
from trainer.mining import balanced_pairs

# dlib divides by no distance below this when it takes the gradient of an other-person pair.
_SMALLEST_DIVISOR = 0.001
# dlib counts its pairs from here on, so that it never divides by zero.
_FIRST_COUNT = 0.0001


@dataclass(frozen=True)
class DlibMetric:
    """dlib's metric loss, called with a batch.

    Attributes:
        distance_threshold: t, two faces nearer than this are taken for one person.
        margin: m, by how much a pair shall be on its side of the threshold.
    """

    distance_threshold: float = 0.6
    margin: float = 0.04

    def __post_init__(self) -> None:
        if not 0 < self.margin < self.distance_threshold:
            raise ValueError(
                f"the margin, {self.margin}, must be between 0 and the threshold {self.distance_threshold}"
            )

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Outcome:
        """Choose the pairs and give their loss; arguments as for ``BatchHard``."""
        near, far = self.distance_threshold - self.margin, self.distance_threshold + self.margin
        with full_precision(embeddings) as rows:
            same, different = balanced_pairs(rows.detach(), labels, within=far)
            too_far = functional.relu(distances(*select_rows(rows, same)) - near)
            too_near = functional.relu(far - _distances_of_strangers(*select_rows(rows, different)))
            total = too_far.sum() + too_near.sum() + rows.sum() * 0  # differentiable without any pair
            with torch.no_grad():
                positive = (too_far > 0).sum() + (too_near > 0).sum()
                active = positive / max(1, same.shape[1] + different.shape[1])
            scale = 0.5 / (same.shape[1] + _FIRST_COUNT)
            return Outcome(total * scale, active, paired_cosines(rows, same), paired_cosines(rows, different))


def _distances_of_strangers(first: Tensor, second: Tensor) -> Tensor:
    """Distances whose gradient is (first - second) / max(distance, .001), as dlib takes it."""
    squares = (first - second).square().sum(dim=1)
    distance = squares.clamp_min(_SMALLEST_DIVISOR**2).sqrt()
    close = squares < _SMALLEST_DIVISOR**2
    bent = torch.where(close, squares / (2 * _SMALLEST_DIVISOR), distance)
    exact = torch.where(close, squares.detach().sqrt(), distance.detach())
    return bent + (exact - bent).detach()
