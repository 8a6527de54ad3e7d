"""A step on a batch that does not fit into memory, with the gradients of the whole.

Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup" (arXiv
2101.06983): embed all crops without a graph, mine and take the loss on all embeddings, keep their
gradients, then run the network again in small parts and send to each part the gradients of its
embeddings. Memory is that of one part; the price is one forward pass more.

The result is that of the whole batch where a crop's embedding does not depend on the others. Batch norm
in training mode breaks that: it normalises each part by itself, so the step is that of a network with
batches of ``part`` crops, whose loss is taken on all. Both passes see the same statistics, so its
gradients are right; the running statistics are updated once. Freeze batch norm (``eval()``) to have the
whole batch's gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from trainer.losses.outcome import Outcome


def backward_in_parts(
    network: nn.Module,
    crops: Tensor,
    loss: Callable[[Tensor], Outcome],
    *,
    part: int,
    augment: Callable[[Tensor], Tensor] | None = None,
) -> Outcome:
    """Add a batch's gradients to the parameters' ``grad``, as ``loss(network(crops)).loss.backward()`` would.

    Random numbers (dropout, augmentation) that torch draws are the same ones in both passes.

    Args:
        network: embeds crops, (N, …) to (N, D).
        crops: (N, …), the batch of this process. Under autocast call this function within it.
        loss: of the embeddings float (N, D); where there are more processes it is to gather them first
            (``trainer.distributed``).
        part: how many crops the network is given at once, at most.
        augment: what is done to crops before the network sees them.
    Returns:
        What ``loss`` gave, its loss without a graph.
    Raises:
        ValueError: if there are no crops, or ``part`` is below 1.
    """
    if part < 1 or len(crops) == 0:
        raise ValueError(f"a step needs crops, at least 1 at a time: {len(crops)} crops, {part} at a time")
    number = -(-len(crops) // part)
    parts = torch.tensor_split(crops, number)  # of nearly the same size: a last part of one crop has no variance
    states = []
    with torch.no_grad(), _batch_norm_at_rest(network):
        embedded = []
        for some in parts:
            states.append(_RandomState(crops.device))
            embedded.append(network(some if augment is None else augment(some)))
    # Autocast keeps the weights that it converted; these have no graph and must not be used again.
    torch.clear_autocast_cache()
    embeddings = torch.cat(embedded).requires_grad_()
    outcome = loss(embeddings)
    outcome.loss.backward()  # type: ignore[no-untyped-call]
    assert embeddings.grad is not None
    after = _RandomState(crops.device)
    gradients = torch.tensor_split(embeddings.grad, number)
    for some, gradient, state in zip(parts, gradients, states, strict=True):
        state.restore()
        with _no_exchange(network, last=some is parts[-1]):
            torch.autograd.backward(network(some if augment is None else augment(some)), gradient)
    after.restore()
    return replace(outcome, loss=outcome.loss.detach())


class _RandomState:
    """The state of torch's random numbers, on the CPU and on the device of the crops."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, self._device)


@contextmanager
def _batch_norm_at_rest(network: nn.Module) -> Iterator[None]:
    """Let batch norm use the statistics of its batch without remembering them: the second pass will."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    before = [(norm.momentum, _copy(norm.num_batches_tracked)) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, before, strict=True):
            norm.momentum = momentum
            if count is not None and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.copy_(count)


def _copy(count: Tensor | None) -> Tensor | None:
    return None if count is None else count.clone()


def _no_exchange(network: nn.Module, *, last: bool) -> AbstractContextManager[None]:
    """Let processes exchange their gradients once, after the last part, not after each."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) and not last else nullcontext()
