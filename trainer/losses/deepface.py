"""DeepFace: a plain classifier of people, whose layer before the last is the embedding.

Taigman, Yang, Ranzato & Wolf 2014, "DeepFace" (CVPR), section 3: with an embedding x of person y,

    L = mean of  -log softmax(W x + b)[y]

Faces are then compared by ``trainer.losses.verification_head``, fitted to pairs, or by cosine.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from trainer.losses.margin_softmax import cosines_to_classes, softmax_outcome
from trainer.losses.outcome import Outcome, full_precision
from trainer.mining import check_batch


@dataclass(frozen=True)
class DeepFace:
    """Settings of the identity softmax.

    Attributes:
        dropout: share of the features that each step leaves out, as the paper's first dense layer does.
    """

    dropout: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, not {self.dropout}")

    def objective(self, classes: int, dimension: int) -> IdentitySoftmax:
        """Make the classifier for so many people and embeddings of so many numbers."""
        return IdentitySoftmax(self, classes, dimension)


class IdentitySoftmax(nn.Module):
    """Softmax over people, thrown away after training."""

    def __init__(self, settings: DeepFace, classes: int, dimension: int) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"a classifying loss needs at least 2 people, not {classes}")
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(dimension, classes)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Outcome:
        check_batch(embeddings, labels)
        with full_precision(embeddings) as rows:
            logits = self.classifier(self.dropout(rows))
            return softmax_outcome(logits, cosines_to_classes(rows, self.classifier.weight), labels)
