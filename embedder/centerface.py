"""CenterFace's network as the detector runs it: its layers as they stand in the file, but for the last four.

These take the same 24 numbers at each cell and give 15: one convolution does for all. It is done in float32, whatever
the rest is done in: the logarithm of a face's size needs steps finer than bfloat16's, which are 1.6 % of the size.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from embedder.centerface_ranges import RANGES, SHIFTS
from embedder.device import Compute
from embedder.int8 import quantize
from trainer.onnx_graph import OnnxError, fuse_batch_norm, load_onnx

_MAPS = (1, 2, 2, 10)  # numbers of a cell: heat, log size, offset, landmarks


class CenterFace(nn.Module):
    """From pixels (N, 3, H, W) to heat (N, 1, h, w), log size (N, 2, …), offset (N, 2, …), landmarks (N, 10, …).

    Attributes:
        trunk: gives the 24 numbers of each cell.
        heads: 15 numbers from them, float32.
    """

    def __init__(self, trunk: nn.Module, heads: nn.Conv2d) -> None:
        super().__init__()
        self.trunk, self.heads = trunk, heads

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        numbers = self.heads(self.trunk(x).float())
        heat, size, offset, landmarks = numbers.split(_MAPS, dim=1)
        return heat.sigmoid(), size, offset, landmarks


def load_centerface(weights: Path, compute: Compute) -> CenterFace:
    """Read centerface.onnx and prepare it for a device: on bytes if ``compute.int8``.

    Raises:
        trainer.onnx_graph.OnnxError: if the file is not ONNX, or its network does not end as CenterFace's does.
    """
    network = split_heads(load_onnx(weights))
    if compute.int8:
        assert isinstance(network.trunk, fx.GraphModule)
        return CenterFace(quantize(network.trunk, RANGES), shifted(network.heads, SHIFTS)).eval()
    return CenterFace(compute.prepare(network.trunk), network.heads.to(compute.device)).eval()


def split_heads(network: fx.GraphModule) -> CenterFace:
    """Part CenterFace's graph before its last four convolutions, and join these; batch norms are folded.

    Raises:
        trainer.onnx_graph.OnnxError: if it does not end in four convolutions of one value, a cell at a time.
    """
    trunk = fuse_batch_norm(network)
    output = next(node for node in trunk.graph.nodes if node.op == "output")
    last = [_convolution(trunk, node) for node in output.args[0]]
    sources = {node.args[0] for node, _ in last}
    layers = [layer for _, layer in last]
    if len(sources) != 1 or tuple(layer.out_channels for layer in layers) != _MAPS:
        raise OnnxError(f"the network gives {len(last)} maps, not heat, size, offset and landmarks as CenterFace does")
    heads = nn.Conv2d(layers[0].in_channels, sum(_MAPS), 1)
    heads.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]))
    heads.bias = nn.Parameter(torch.cat([_bias(layer) for layer in layers]))
    output.args = (sources.pop(),)
    trunk.graph.eliminate_dead_code()
    trunk.delete_all_unused_submodules()
    trunk.recompile()
    return CenterFace(trunk, heads.to(memory_format=torch.channels_last)).eval()  # type: ignore[call-overload]


def shifted(heads: nn.Conv2d, shifts: Sequence[float]) -> nn.Conv2d:
    """Copy the last layer, less what its 15 numbers are too high by."""
    result = copy.deepcopy(heads)
    result.bias = nn.Parameter(_bias(heads) - torch.tensor(shifts))
    return result


def _convolution(network: fx.GraphModule, node: fx.Node) -> tuple[fx.Node, nn.Conv2d]:
    """Find the convolution that gives a map, or the heat before its sigmoid."""
    layer = network.get_submodule(str(node.target)) if node.op == "call_module" else None
    if isinstance(layer, nn.Sigmoid) and isinstance(node.args[0], fx.Node):
        return _convolution(network, node.args[0])
    if not isinstance(layer, nn.Conv2d) or layer.kernel_size != (1, 1) or layer.stride != (1, 1) or layer.groups != 1:
        raise OnnxError(f"the network ends in {node.name}, not in convolutions of single cells as CenterFace does")
    return node, layer


def _bias(layer: nn.Conv2d) -> Tensor:
    return torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.detach()
