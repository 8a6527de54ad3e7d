"""What every loss gives, and the precision that every loss works in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

# Over what a loss is averaged: over all that was compared, or over what has a loss above zero.
Average = Literal["all", "active"]


@dataclass(frozen=True)
class Outcome:
    """The loss of a batch and what it looked at. Nothing but ``loss`` carries a gradient.

    Attributes:
        loss: scalar; 0 where a batch holds nothing to compare, and even then it can be differentiated.
        active: scalar, the share of what was compared (triplets, pairs or faces) that has a loss above 0.
        same_similarities: float (P,), cosines of the same-person pairs that were compared; for a
            classifying loss, of each face with its own person's weights.
        different_similarities: float (Q,), cosines of the other-person pairs that were compared; for a
            classifying loss, of each face with the most similar weights of anybody else.
    """

    loss: Tensor
    active: Tensor
    same_similarities: Tensor
    different_similarities: Tensor


def check_average(average: str) -> None:
    """Raise ValueError if a loss cannot be averaged in this way."""
    if average not in get_args(Average):
        raise ValueError(f"average must be {' or '.join(get_args(Average))}, not {average}")


@contextmanager
def full_precision(embeddings: Tensor) -> Iterator[Tensor]:
    """Give the embeddings in float32 (float64 stays) and switch autocast off.

    bfloat16 has three digits: near-identical faces would become identical, and their ranking chance.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        yield embeddings if embeddings.dtype == torch.float64 else embeddings.float()


def select_rows(embeddings: Tensor, numbers: Tensor) -> Tensor:
    """Give the rows of float (N, D) with these numbers, int64 (…): (…, D).

    By way of ``embedding``, whose gradient adds rows up faster than that of indexing does, and in a fixed order.
    """
    rows: Tensor = functional.embedding(numbers, embeddings)
    return rows


def add_rows(values: Tensor, numbers: Tensor, count: int) -> Tensor:
    """Add up values float (…, D) by their row numbers, int64 (…): (count, D). The gradient of ``select_rows``."""
    total: Tensor = torch.ops.aten.embedding_dense_backward(values, numbers, count, -1, False)
    return total


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean distance of each row (N, D) of one to that of the other; the gradient at 0 is 0."""
    distance: Tensor = torch.linalg.vector_norm(first - second, dim=1)
    return distance


def cosines_at(distance: Tensor) -> Tensor:
    """Cosines of points of the unit sphere that are so far apart, without a gradient."""
    return 1 - distance.detach().square() / 2


def paired_cosines(embeddings: Tensor, pairs: Tensor) -> Tensor:
    """Cosines of the pairs (2, P) of rows, without a gradient."""
    with torch.no_grad():
        first, second = select_rows(functional.normalize(embeddings), pairs)
        cosines: Tensor = (first * second).sum(dim=1)
        return cosines


def averaged(losses: Tensor, over: Average, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Average single losses, float (T,), that are 0 where nothing is wrong.

    Returns:
        (mean, share of losses above 0), scalars; both 0 if there are none, or NaN if ``embeddings`` are not numbers.
    """
    if len(losses) == 0:
        nothing = embeddings.sum() * 0
        return nothing, nothing.detach()
    return losses.sum() / divisor(losses, over), (losses.detach() > 0).sum() / len(losses)


def divisor(losses: Tensor, over: Average) -> Tensor | int:
    """Give what single losses, float (T,), are divided by for their average: 1 at least."""
    return (losses.detach() > 0).sum().clamp_min(1) if over == "active" else max(1, len(losses))


def with_gradient(loss: Tensor, rows: Tensor, gradient: Tensor) -> Tensor:
    """Give a loss the gradient with respect to ``rows`` that was found with it, float like ``rows``."""
    given: Tensor = _WithGradient.apply(loss, rows, gradient)  # type: ignore[no-untyped-call]
    return given


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, rows: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return loss.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_loss: Tensor) -> tuple[None, Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return None, gradient * of_loss, None
