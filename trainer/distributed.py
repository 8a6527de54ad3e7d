"""One batch over several processes: every process mines and takes the loss on the embeddings of all.

With ``DistributedDataParallel`` around the network, the parameters' gradients are those of one process
with the joined batch. Each process computes the whole loss, which is a small share of a step, and sends
back only the gradients of its own crops; ``DistributedDataParallel`` averages the processes' gradients,
so they are multiplied by the number of processes here. The weights of a classifying loss need nothing
of the kind: every process computes their whole gradient, so they must not be wrapped.

Batch norm in training mode sees the crops of its own process only.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_batch(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Join the batches of all processes, in the order of their ranks.

    Args:
        embeddings: float (N, D) of this process; N may differ among the processes, D may not.
        labels: int64 (N,).
    Returns:
        (embeddings, labels) of all. Gradients run back to this process's rows, multiplied by the number
        of processes. Without ``torch.distributed``, or with one process, the arguments themselves.
    Raises:
        ValueError: if there is not one label for each embedding.
    """
    if len(labels) != len(embeddings):
        raise ValueError(f"{len(embeddings)} embeddings need as many labels, not {len(labels)}")
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return embeddings, labels
    counts = _all_counts(len(embeddings), embeddings.device)
    joined: Tensor = _Gather.apply(embeddings, counts)  # type: ignore[no-untyped-call]
    return joined, _gathered(labels, counts)


class _Gather(torch.autograd.Function):
    """Rows of all processes; backwards, the gradients of one's own rows times the number of processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int]) -> Tensor:
        ctx.processes = len(counts)
        ctx.start, ctx.count = sum(counts[: dist.get_rank()]), len(rows)
        return _gathered(rows, counts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].narrow(0, ctx.start, ctx.count) * ctx.processes, None


def _all_counts(count: int, device: torch.device) -> list[int]:
    own = torch.tensor([count], device=device)
    counts = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own)
    return [int(number) for number in counts]


def _gathered(rows: Tensor, counts: list[int]) -> Tensor:
    """Exchange rows (N, …), filled up to the longest batch, as all processes must send as much."""
    filled = rows.new_zeros((max(counts), *rows.shape[1:]))
    filled[: len(rows)] = rows.detach()
    received = [torch.empty_like(filled) for _ in counts]
    dist.all_gather(received, filled)
    return torch.cat([batch[:count] for batch, count in zip(received, counts, strict=True)])
