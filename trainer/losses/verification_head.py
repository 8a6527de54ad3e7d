"""DeepFace's two learned ways of comparing faces, beside cosine.

Taigman, Yang, Ranzato & Wolf 2014, "DeepFace" (CVPR). The network is kept as it is, and one of two
measures is fitted to pairs of faces. With f and g the features of two faces,

    chi-squared   χ²(f, g) = sum over i of  w_i (f_i - g_i)² / (f_i + g_i)        (section 4.1)
    Siamese       d(f, g)  = sum over i of  w_i |f_i - g_i|                       (section 4.2)

The weights w come from a linear support vector machine for χ², from logistic regression for the
Siamese measure. Features below 0 count as 0 for χ², as the paper's come out of a rectifier.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.losses.outcome import full_precision

Measure = Literal["chi-squared", "siamese"]


class VerificationHead(nn.Module):
    """A measure of likeness: gives pairs (N, D), (N, D) a score (N,), above 0 for the same person."""

    def __init__(self, measure: Measure, dimension: int) -> None:
        super().__init__()
        self.measure = measure
        self.weights = nn.Parameter(torch.full((dimension,), 1 / max(1, dimension)))
        self.threshold = nn.Parameter(torch.zeros(()))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        with full_precision(first) as rows:
            return self.threshold - feature_differences(self.measure, rows, second.to(rows.dtype)) @ self.weights


def feature_differences(measure: Measure, first: Tensor, second: Tensor) -> Tensor:
    """How far two faces are apart in each feature, before it is weighted: (N, D), never below 0."""
    if measure == "siamese":
        return (first - second).abs()
    first, second = first.clamp_min(0), second.clamp_min(0)
    total = first + second
    return (first - second).square() / torch.where(total > 0, total, torch.ones_like(total))


def pair_loss(measure: Measure, scores: Tensor, same: Tensor) -> Tensor:
    """Mean loss of pairs with these scores (N,), same: bool (N,).

    Squared hinge for χ² (a support vector machine's, made smooth), logistic for the Siamese measure.
    """
    wanted = torch.where(same, scores, -scores)
    if measure == "siamese":
        return functional.softplus(-wanted).mean()
    return functional.relu(1 - wanted).square().mean()


def fit_verification_head(
    measure: Measure, first: Tensor, second: Tensor, same: Tensor, *, ridge: float = 1e-4, iterations: int = 100
) -> VerificationHead:
    """Fit a measure of likeness to pairs of features of a network that is trained already.

    The problem is convex; features are scaled to the same mean difference while it is solved.

    Args:
        measure: which of the two.
        first, second: float (N, D), the features of each pair.
        same: bool (N,), whether a pair is one person.
        ridge: weight of the squared length of the (scaled) weights.
        iterations: of L-BFGS, at most.
    Raises:
        ValueError: if shapes differ, or pairs of one kind are missing.
    """
    if first.shape != second.shape or same.shape != first.shape[:1]:
        raise ValueError(f"{tuple(first.shape)} and {tuple(second.shape)} with {tuple(same.shape)} are not pairs")
    if not bool(same.any()) or bool(same.all()):
        raise ValueError("fitting needs pairs of one person and pairs of two people")
    differences = feature_differences(measure, first.detach(), second.detach())
    unit = differences.mean(dim=0).clamp_min(torch.finfo(differences.dtype).tiny)
    differences = differences / unit
    weights = torch.full_like(unit, 1 / len(unit), requires_grad=True)
    threshold = torch.zeros_like(unit[0], requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, threshold], max_iter=iterations, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = pair_loss(measure, threshold - differences @ weights, same) + ridge * weights.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    head = VerificationHead(measure, len(unit)).to(first)
    with torch.no_grad():
        head.weights.copy_(weights / unit)
        head.threshold.copy_(threshold)
    return head
