"""A slim network made from SFace's without a training step: channels are chosen, and what is left out is made up for.

A layer of SFace's network is a 1×1 convolution, whose output each goes through a depthwise one. Of its
channels those are kept from which, by least squares, the next 1×1 convolution's output can best be
told; they are found one after the other, as in orthogonal matching pursuit (Pati et al. 1993). Then the
1×1 convolution is fitted anew: to SFace's output on the kept channels, from the slim network's own map,
so that each layer makes up for the errors of those before it (He, Zhang & Sun 2017, "Channel pruning",
arXiv 1707.06168). The depthwise weights and the slopes are SFace's. The first two layers, which stand
for eight of SFace's, are fitted alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.sface_network import SFaceNetwork
from trainer.slim_network import SlimNetwork

_RIDGE = 1e-4  # of the mean square of an input
_POSITIONS = 64  # of a map, that are fitted to
# The slim network's first two layers are SFace's up to these; from then on layer n is SFace's layer n + 6.
FIRST_LAYERS = (3, 7)
_SHIFT = 6


@dataclass(frozen=True)
class Folded:
    """A layer of SFace's network, batch norm folded into its convolution.

    Attributes:
        convolution: in eval mode.
        slopes: float (C,), for values below 0.
    """

    convolution: nn.Conv2d
    slopes: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return torch.prelu(self.convolution(x), self.slopes.to(x.dtype))


def folded_layers(network: SFaceNetwork) -> list[Folded]:
    """Fold the batch norm of each layer into its convolution; the network stays as it is."""
    folded = []
    for layer in network.layers:
        convolution, norm, slope = layer.children()
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and isinstance(slope, nn.PReLU)
        folded.append(Folded(nn.utils.fuse_conv_bn_eval(convolution.eval(), norm.eval()), slope.weight.detach()))
    return folded


def teacher_layer(number: int) -> int:
    """Give the layer of SFace's network that the slim network's layer ``number`` stands for."""
    return FIRST_LAYERS[number] if number < len(FIRST_LAYERS) else number + _SHIFT


@torch.no_grad()
def slim_down(sface: SFaceNetwork, slim: SlimNetwork, crops: Iterable[Tensor]) -> None:
    """Give a slim network its first weights.

    Args:
        sface: whose embeddings it shall give.
        slim: is changed.
        crops: float RGB 0-255 (n, 3, 112, 112), some hundred in all; without any, the network stays as it is.
    """
    teacher, pixels = folded_layers(sface), [(some - 127.5) / 128 for some in crops]
    if not pixels:
        return
    theirs = ours = torch.cat(pixels)
    done = -1  # layer of the teacher whose map ``theirs`` is
    for number in range(len(slim.layers)):
        layer, convolution, goal = slim.layers[number], _convolution(slim, number), teacher_layer(number)
        if convolution.groups > 1:  # of the channels that were chosen for the layer before
            chosen = slim.origin(number - 1)
            convolution.weight.copy_(teacher[goal].convolution.weight[chosen])
            _set_bias(convolution, _bias(teacher[goal].convolution)[chosen])
            theirs = _in_parts(teacher[goal], theirs)
        else:
            wanted = _in_parts(_chain([*teacher[done + 1 : goal], teacher[goal].convolution]), theirs)
            theirs = torch.prelu(wanted, teacher[goal].slopes)
            chosen = _choose(sface, teacher, goal, theirs, convolution.out_channels)
            weights, bias = _fit(_patches(ours, convolution), _positions(wanted[:, chosen]))
            convolution.weight.copy_(weights.view_as(convolution.weight))
            _set_bias(convolution, bias)
        done = goal
        slim.get_buffer(f"origin_{number}").copy_(chosen)
        slope = layer[1]  # type: ignore[index]
        slope.weight.copy_(teacher[goal].slopes[chosen])
        ours = _in_parts(layer, ours)
    _fit_head(sface, slim, ours, theirs)


def _choose(sface: SFaceNetwork, teacher: list[Folded], goal: int, theirs: Tensor, count: int) -> Tensor:
    """Choose channels of the teacher's map after layer ``goal``, a 1×1 or an early one, for what comes next."""
    if goal + 1 == len(teacher):
        seen, weights = theirs, _head_by_position(sface)
    elif teacher[goal + 1].convolution.groups > 1:
        seen, weights = _in_parts(teacher[goal + 1], theirs), teacher[goal + 2].convolution.weight.flatten(1)
    else:
        seen, weights = theirs, teacher[goal + 1].convolution.weight.flatten(1)
    return choose_channels(_positions(seen), weights, count)


def choose_channels(inputs: Tensor, weights: Tensor, count: int) -> Tensor:
    """Choose the channels from which a linear layer's output can best be told, one after the other.

    Args:
        inputs: float (M, C), what the layer sees.
        weights: float (K, C), the layer's.
        count: how many to choose, at most C.
    Returns:
        int64 (count,), rising.
    """
    centred = (inputs - inputs.mean(dim=0)).double()
    own = centred.T @ centred / len(centred)
    # What a channel tells of the outputs W x: (Σ Wᵀ W Σ)_jj / Σ_jj, both without what the chosen ones tell.
    told = own @ (weights.double().T @ weights.double()) @ own
    least = 1e-6 * own.diagonal().mean()
    chosen = torch.zeros(len(own), dtype=torch.bool)
    for _ in range(count):
        gain = told.diagonal() / own.diagonal().clamp_min(least)
        best = int(gain.masked_fill(chosen, -1).argmax())
        chosen[best] = True
        share = own[best] / own[best, best].clamp_min(least)
        half = told[best] - told[best, best] / 2 * share
        told.addr_(half, share, alpha=-1).addr_(share, half, alpha=-1)
        own.addr_(share, own[best].clone(), alpha=-1)
    return chosen.nonzero().flatten()


def _fit(inputs: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression: (weights (K, C), bias (K,)) for inputs (M, C) and wanted (M, K)."""
    means = inputs.mean(dim=0), wanted.mean(dim=0)
    x, y = inputs - means[0], wanted - means[1]
    inner, outer = (x.T @ x).double() / len(x), (x.T @ y).double() / len(x)
    ridge = _RIDGE * inner.diagonal().mean() * torch.eye(len(inner), dtype=inner.dtype)
    weights = torch.linalg.solve(inner + ridge, outer).T.float()
    return weights, means[1] - weights @ means[0]


def _fit_head(sface: SFaceNetwork, slim: SlimNetwork, ours: Tensor, theirs: Tensor) -> None:
    """Let SFace's own head read its last map as it can be told from ours, position by position."""
    scale, shift = _affine(sface.last_norm)
    told, bias = _fit(_positions(ours), _positions(theirs * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)))
    by_position = sface.head.weight.view(sface.head.out_features, len(scale), -1)
    head_scale, head_shift = _affine(sface.head_norm)
    weights = torch.einsum("ocp,ck->okp", by_position, told).flatten(1)
    slim.head.weight.copy_(weights * head_scale.view(-1, 1))
    slim.head.bias.copy_((sface.head.bias + torch.einsum("ocp,c->o", by_position, bias)) * head_scale + head_shift)


def _affine(norm: nn.BatchNorm2d | nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """What batch norm does in eval mode: (scale, shift)."""
    assert norm.running_var is not None and norm.running_mean is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _head_by_position(sface: SFaceNetwork) -> Tensor:
    """What SFace's head does to the channels of its last map at any position: float (K, C)."""
    scale, _ = _affine(sface.last_norm)
    by_position = sface.head.weight.view(sface.head.out_features, len(scale), -1).permute(0, 2, 1)
    return by_position.flatten(0, 1) * scale


def _positions(maps: Tensor) -> Tensor:
    """Give some positions of each map, always the same: (N, C, H, W) to (M, C)."""
    flat = maps.permute(0, 2, 3, 1).flatten(1, 2)
    return flat[:, _places(flat.shape[1])].flatten(0, 1)


def _patches(maps: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Give what a convolution sees at these positions of its output: (M, C · kernel²)."""
    if convolution.kernel_size == (1, 1):
        return _positions(maps)
    kernel, padding, stride = convolution.kernel_size[0], convolution.padding, convolution.stride
    some = []
    for start in range(0, len(maps), 16):
        seen = functional.unfold(maps[start : start + 16], kernel, padding=padding, stride=stride)  # type: ignore[arg-type]
        some.append(seen[:, :, _places(seen.shape[2])].permute(0, 2, 1).flatten(0, 1))
    return torch.cat(some)


def _places(count: int) -> Tensor:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
    return order[:_POSITIONS]


def _chain(layers: Sequence[nn.Module | Folded]) -> Callable[[Tensor], Tensor]:
    """Join layers to one, so that the maps between them need not be kept."""
    return lambda maps: reduce(lambda x, layer: layer(x), layers, maps)


def _in_parts(layer: Callable[[Tensor], Tensor], maps: Tensor) -> Tensor:
    return torch.cat([layer(maps[start : start + 16]) for start in range(0, len(maps), 16)])


def _convolution(slim: SlimNetwork, number: int) -> nn.Conv2d:
    convolution = slim.layers[number][0]  # type: ignore[index]
    assert isinstance(convolution, nn.Conv2d)
    return convolution


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias


def _set_bias(convolution: nn.Conv2d, values: Tensor) -> None:
    _bias(convolution).copy_(values)
