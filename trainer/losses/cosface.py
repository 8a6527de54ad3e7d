"""CosFace: a classifier of people whose own cosine is lowered by a margin.

Wang et al. 2018 (arXiv 1801.09414), eq. 4. With cos θ_j the cosine between an embedding and the
weights of person j, and y the embedding's person,

    L = mean of  -log( e^(s (cos θ_y - m)) / (e^(s (cos θ_y - m)) + sum over j ≠ y of e^(s cos θ_j)) )
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.losses.margin_softmax import MarginSoftmax


@dataclass(frozen=True)
class CosFace:
    """Settings of CosFace; the defaults are the paper's.

    Attributes:
        margin: m, in cosine.
        scale: s.
    """

    margin: float = 0.35
    scale: float = 64.0

    def __post_init__(self) -> None:
        if not 0 < self.margin < 2 or not self.scale > 0:
            raise ValueError(f"margin must be between 0 and 2, scale above 0: {self.margin}, {self.scale}")

    def objective(self, classes: int, dimension: int) -> MarginSoftmax:
        """Make the classifier for so many people and embeddings of so many numbers."""
        return MarginSoftmax(classes, dimension, scale=self.scale, additive=self.margin)
