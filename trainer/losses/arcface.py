"""ArcFace: a classifier of people whose own angle is widened by a margin.

Deng et al. 2019 (arXiv 1801.07698), eq. 3. With θ_j the angle between an embedding and the weights of
person j, and y the embedding's person,

    L = mean of  -log( e^(s cos(θ_y + m)) / (e^(s cos(θ_y + m)) + sum over j ≠ y of e^(s cos θ_j)) )
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.losses.margin_softmax import MarginSoftmax


@dataclass(frozen=True)
class ArcFace:
    """Settings of ArcFace; the defaults are the paper's.

    Attributes:
        margin: m, radians.
        scale: s.
    """

    margin: float = 0.5
    scale: float = 64.0

    def __post_init__(self) -> None:
        if not 0 < self.margin < 1.5 or not self.scale > 0:
            raise ValueError(f"margin must be between 0 and 1.5 radians, scale above 0: {self.margin}, {self.scale}")

    def objective(self, classes: int, dimension: int) -> MarginSoftmax:
        """Make the classifier for so many people and embeddings of so many numbers."""
        return MarginSoftmax(classes, dimension, scale=self.scale, angular=self.margin)
