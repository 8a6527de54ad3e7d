"""What ArcFace and CosFace share: a cosine classifier whose own class is made harder by a margin."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.losses.outcome import Outcome, full_precision
from trainer.mining import check_batch


def class_weights(classes: int, dimension: int) -> nn.Parameter:
    """Give one direction for each person: float (classes, dimension), drawn from a normal distribution."""
    if classes < 2:
        raise ValueError(f"a classifying loss needs at least 2 people, not {classes}")
    return nn.Parameter(torch.empty(classes, dimension).normal_(std=0.01))


def cosines_to_classes(rows: Tensor, weights: Tensor) -> Tensor:
    """Cosine of each row (N, D) with each class's weights (C, D): (N, C)."""
    return functional.linear(functional.normalize(rows), functional.normalize(weights.to(rows.dtype)))


def own_and_hardest(cosines: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Give each face's cosine with its own class, and with the most similar other one; no gradient."""
    with torch.no_grad():
        column = labels.unsqueeze(1)
        return cosines.gather(1, column).squeeze(1), cosines.scatter(1, column, -torch.inf).amax(dim=1)


def softmax_outcome(logits: Tensor, cosines: Tensor, labels: Tensor) -> Outcome:
    """Cross-entropy of logits (N, C), and what ``Outcome`` reports of a classifier.

    Active are the faces that the logits, margin included, do not give to their own person.
    """
    same, different = own_and_hardest(cosines.detach(), labels)
    if len(labels) == 0:
        nothing = logits.sum() * 0
        return Outcome(nothing, nothing.detach(), same, different)
    loss = functional.cross_entropy(logits, labels)
    wrong = (logits.detach().argmax(dim=1) != labels).to(loss.dtype).mean()
    return Outcome(loss, wrong, same, different)


class MarginSoftmax(nn.Module):
    """Softmax over s · cos θ with the class's own cosine lowered: s · (cos(θ + angular) - additive).

    For θ > π - angular, where cos(θ + angular) would rise again, it is continued by
    cos θ - angular · sin(angular), as the authors' code does.
    """

    def __init__(self, classes: int, dimension: int, *, scale: float, angular: float = 0, additive: float = 0) -> None:
        super().__init__()
        self.scale, self.angular, self.additive = scale, angular, additive
        self.weights = class_weights(classes, dimension)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Outcome:
        check_batch(embeddings, labels)
        with full_precision(embeddings) as rows:
            cosines = cosines_to_classes(rows, self.weights)
            own = cosines.gather(1, labels.unsqueeze(1))
            harder = self._lowered(own) - self.additive
            return softmax_outcome(cosines.scatter(1, labels.unsqueeze(1), harder) * self.scale, cosines, labels)

    def _lowered(self, cosine: Tensor) -> Tensor:
        if self.angular == 0:
            return cosine
        # Below 1e-12 the face is where its class is: the sine's gradient, without a bound there, is taken as 0.
        sine = (1 - cosine * cosine).clamp_min(1e-12).sqrt()
        turned = cosine * math.cos(self.angular) - sine * math.sin(self.angular)
        beyond = cosine - self.angular * math.sin(self.angular)
        return torch.where(cosine > -math.cos(self.angular), turned, beyond)
