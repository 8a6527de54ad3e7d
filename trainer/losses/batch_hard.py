"""Batch-hard triplet loss: each face against its least similar partner and its most similar stranger.

Hermans, Beyer & Leibe 2017, "In defense of the triplet loss" (arXiv 1703.07737), eq. 5:

    L = mean over anchors a of  h( max_p d(a, p) - min_n d(a, n) )

with d the Euclidean distance, and h either a hinge, h(x) = max(0, margin + x), or the soft margin,
h(x) = log(1 + e^(s x)) / s. Embeddings are put on the unit sphere first, because they will be compared
by cosine; the paper leaves them where they are. There a distance is at most 2, and the paper's soft
margin (s = 1) never comes near 0: a sharpness of 10 or so restores it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from trainer.losses.outcome import (
    Average,
    Outcome,
    add_rows,
    check_average,
    cosines_at,
    full_precision,
    select_rows,
    with_gradient,
)
from trainer.mining import hardest_rows

_SMALLEST = 1e-12  # no length or distance is divided by less


@dataclass(frozen=True)
class BatchHard:
    """Batch-hard loss, called with a batch.

    Attributes:
        margin: by which distance a stranger shall be farther than a partner; None: soft margin.
        sharpness: s of the soft margin; the hinge does not use it.
        average: over all triplets, or over those with a loss.
    """

    margin: float | None = 0.2
    sharpness: float = 1.0
    average: Average = "all"

    def __post_init__(self) -> None:
        if self.margin is not None and not self.margin > 0:
            raise ValueError(f"the margin must be above 0, or None for a soft margin, not {self.margin}")
        if not self.sharpness > 0:
            raise ValueError(f"the sharpness must be above 0, not {self.sharpness}")
        check_average(self.average)

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Outcome:
        """Mine the batch and give its loss.

        Args:
            embeddings: float (N, D), of any length.
            labels: int64 (N,), the person of each row.
        """
        with full_precision(embeddings) as rows:
            outcome, gradient = self._mined(rows.detach(), labels)
            return replace(outcome, loss=with_gradient(outcome.loss, rows, gradient))

    def penalty(self, violations: Tensor) -> tuple[Tensor, Tensor]:
        """Give h(x) and its slope for violations x = d(a, p) - d(a, n), float (T,)."""
        if self.margin is None:
            sharper = violations * self.sharpness
            return functional.softplus(sharper) / self.sharpness, sharper.sigmoid()
        losses = functional.relu(violations + self.margin)
        return losses, (losses > 0).to(losses.dtype)

    def _mined(self, rows: Tensor, labels: Tensor) -> tuple[Outcome, Tensor]:
        """Give the loss, and its gradient by formula: in a batch of 180 autograd's overhead would be half the time."""
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_min_(_SMALLEST)
        unit = rows / length
        triplets = hardest_rows(unit, labels)
        compared = select_rows(unit, triplets)
        apart = compared[:1] - compared[1:]  # from the partner, and from the stranger
        distances = torch.linalg.vector_norm(apart, dim=2)
        violations = distances[0] - distances[1]
        losses, slopes = self.penalty(violations)
        # With a soft margin every triplet has a loss: active are those whose stranger is nearer.
        active = ((losses if self.margin is not None else violations) > 0).sum()
        count = active.clamp_min(1) if self.average == "active" else max(1, len(losses))
        # d(a, p) changes with a by (a - p) / d(a, p), with p by the opposite; the same for n, with the other sign.
        apart *= (slopes / (distances.clamp_min(_SMALLEST) * count)).unsqueeze(2)
        from_partner, from_stranger = apart
        pulls = torch.stack([from_partner - from_stranger, -from_partner, from_stranger])
        gradient = add_rows(pulls, triplets, len(rows))
        along = (gradient * unit).sum(dim=1, keepdim=True)
        share = active / max(1, len(losses))
        same, different = cosines_at(distances)
        loss = losses.sum() / count if len(losses) else rows.sum() * 0  # NaN, if an embedding is no number
        return Outcome(loss, share, same, different), (gradient - along * unit) / length
