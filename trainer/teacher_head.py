"""Begin where the teacher is: a network's last layer, fitted to the teacher's embeddings before the first step.

A network that was trained before has features of its own, and another space of embeddings than its
teacher. The linear map from the one to the other has a closed form (ridge regression, Hoerl & Kennard
1970), so no step is spent on finding it.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Of the mean square of a feature: so much that the matrix can be solved, and no more.
_RIDGE = 3e-4
_MOST_READ = 4096
# Of the mean square of a crop's features, for a head that reads more. Of a slim network that was not trained, TAR at
# FAR 1e-4 on people held out, by 3,600 crops: .278 as it was, .467 with .03, .494 with .1, .515 with .3, .511 with 1.
_WIDE_RIDGE = 0.3


@torch.no_grad()
def fit_head(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, bfloat16: bool = False) -> bool:
    """Set the weights of a network's ``head`` so that its embeddings come nearest to the wanted ones.

    Only a linear head that is the network's last layer, without one that normalises after it, is fitted, and
    only if it reads at most 4,096 numbers: the matrix to solve has the square of it.

    Args:
        network: it is put into eval mode.
        batches: (crops float (n, 3, size, size), wanted float (n, D), unit rows), on the network's device.
        bfloat16: whether the layers before the head compute in it.
    Returns:
        Whether the head was fitted; if not, no weight was changed.
    Raises:
        ValueError: if the teacher's embeddings have another dimension than the network's.
    """
    head = getattr(network, "head", None)
    if not isinstance(head, nn.Linear) or hasattr(network, "head_norm") or head.in_features > _MOST_READ:
        return False
    network.eval()
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double()))
    inputs, count = head.in_features + (head.bias is not None), 0
    inner = torch.zeros(inputs, inputs, dtype=torch.float64)
    outer = torch.zeros(inputs, head.out_features, dtype=torch.float64)
    try:
        for crops, wanted in batches:
            with torch.autocast(crops.device.type, torch.bfloat16, enabled=bfloat16):
                network(crops)
            if wanted.shape[1] != head.out_features:
                raise ValueError(f"the teacher gives {wanted.shape[1]} numbers, the network {head.out_features}")
            features = seen.pop().cpu()
            if head.bias is not None:
                features = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
            inner += features.T @ features
            outer += features.T @ wanted.double().cpu()
            count += len(features)
    finally:
        hook.remove()
    if not count:
        return False
    inner /= count
    ridge = _RIDGE * inner.diagonal().mean()
    fitted = torch.linalg.solve(inner + ridge * torch.eye(inputs, dtype=inner.dtype), outer / count)
    head.weight.copy_(fitted[: head.in_features].T)
    if head.bias is not None:
        head.bias.copy_(fitted[-1])
    return True


@torch.no_grad()
def correct_head(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, bfloat16: bool = False) -> None:
    """Move the weights of a network's ``head`` so that its embeddings come nearer to the wanted ones.

    For a head that reads more numbers than there are crops, and is near already: what its embeddings still lack
    is fitted by ridge regression in its dual form, so that no more is changed than these crops ask for.

    Args:
        network: its head is the last layer, linear with a bias; it is put into eval mode.
        batches: as of ``fit_head``; the features of all are kept in memory.
        bfloat16: whether the layers before the head compute in it.
    """
    head = network.get_submodule("head")
    assert isinstance(head, nn.Linear) and head.bias is not None
    network.eval()
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].float()))
    goals = []
    try:
        for crops, wanted in batches:
            with torch.autocast(crops.device.type, torch.bfloat16, enabled=bfloat16):
                network(crops)
            goals.append(wanted.float())
    finally:
        hook.remove()
    if not goals:
        return
    features, goal = torch.cat(seen), torch.cat(goals)
    given = nn.functional.linear(features, head.weight, head.bias)
    # The teacher's embeddings have length 1, ours any: their lengths are brought to ours.
    lacking = (given * goal).sum() / goal.square().sum() * goal - given
    means = features.mean(dim=0), lacking.mean(dim=0)
    features -= means[0]
    inner = (features @ features.T).double()
    ridge = _WIDE_RIDGE * inner.diagonal().mean() * torch.eye(len(inner), dtype=inner.dtype, device=inner.device)
    change = torch.linalg.solve(inner + ridge, (lacking - means[1]).double()).float().T @ features
    head.weight.add_(change)
    head.bias.add_(means[1] - change @ means[0])
