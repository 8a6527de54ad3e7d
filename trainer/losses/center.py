"""Center loss: softmax, and each face drawn to the centre of its person.

Wen et al. 2016, "A discriminative feature learning approach for deep face recognition" (ECCV), eq. 5:

    L = mean of  -log softmax(W x + b)[y]  +  λ/2 · mean of |x - c_y|²

The centres c are not learned by gradient. After each batch they follow their people (eq. 4):

    c_j ← c_j - α · ( sum over the batch's faces of j of (c_j - x) ) / (1 + number of those faces)

The paper adds up over the batch; here both terms are averaged, as its authors' code does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.losses.margin_softmax import cosines_to_classes, softmax_outcome
from trainer.losses.outcome import Outcome, full_precision
from trainer.mining import check_batch


@dataclass(frozen=True)
class Center:
    """Settings of center loss; the defaults are the paper's for faces.

    Attributes:
        weight: λ, of the distance to the centres.
        center_rate: α, how fast a centre follows its person: 0 never, 1 at once.
    """

    weight: float = 0.003
    center_rate: float = 0.5

    def __post_init__(self) -> None:
        if not self.weight >= 0 or not 0 <= self.center_rate <= 1:
            raise ValueError(
                f"weight must not be below 0, center_rate be between 0 and 1: {self.weight}, {self.center_rate}"
            )

    def objective(self, classes: int, dimension: int) -> CenterLoss:
        """Make the classifier and the centres for so many people and embeddings of so many numbers."""
        return CenterLoss(self, classes, dimension)


class CenterLoss(nn.Module):
    """Softmax with centres. In training mode each call moves the centres, as batch norm its statistics."""

    centers: Tensor

    def __init__(self, settings: Center, classes: int, dimension: int) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"center loss needs at least 2 people, not {classes}")
        self.settings = settings
        self.classifier = nn.Linear(dimension, classes)
        self.register_buffer("centers", torch.zeros(classes, dimension))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Outcome:
        check_batch(embeddings, labels)
        with full_precision(embeddings) as rows:
            outcome = softmax_outcome(self.classifier(rows), cosines_to_classes(rows, self.classifier.weight), labels)
            away = rows - self.centers.index_select(0, labels)
            distance = away.square().sum() / max(1, len(labels))
            if self.training:
                self._follow(rows.detach(), labels)
            loss = outcome.loss + self.settings.weight / 2 * distance
            return Outcome(loss, outcome.active, outcome.same_similarities, outcome.different_similarities)

    @torch.no_grad()
    def _follow(self, rows: Tensor, labels: Tensor) -> None:
        """Move the centres by eq. 4; not at all if an embedding is not a number, as that step will be skipped."""
        step = self.centers.new_zeros(self.centers.shape)
        step.index_add_(0, labels, self.centers.index_select(0, labels) - rows.to(step.dtype))
        count = self.centers.new_zeros(len(self.centers))
        count.index_add_(0, labels, torch.ones_like(labels, dtype=count.dtype))
        moved = self.centers - self.settings.center_rate * step / (1 + count).unsqueeze(1)
        self.centers.copy_(torch.where(torch.isfinite(rows).all(), moved, self.centers))
