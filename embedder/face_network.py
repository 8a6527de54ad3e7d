"""A face network as it runs on a device: on bytes where it is made for them and the processor is fast with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, fx, nn

from embedder.device import Compute
from embedder.int8 import Ranges, limited_ranges, quantize
from embedder.model_files import load_model_file
from embedder.pretrained import FaceNetwork
from trainer.dlib_network import DlibResNet, Resized
from trainer.networks import trace


@dataclass(frozen=True)
class ReadyNetwork:
    """A network on its device.

    Attributes:
        compute: the device.
        module: the network, prepared.
        dtype: of the pixels that it takes.
        dimension: D, the length of an embedding.
    """

    compute: Compute
    module: nn.Module
    dtype: torch.dtype
    dimension: int

    def run(self, crops: np.ndarray) -> Tensor:
        """Embed uint8 RGB crops (N, size, size, 3): float32 (N, D), not of unit length."""
        output = self.compute.run(self.module, crops, self.dtype)
        return output if isinstance(output, Tensor) else output[0]


def load_face_network(weights: Path, compute: Compute, settings: FaceNetwork | None = None) -> ReadyNetwork:
    """Load a network; ``settings`` and errors as of ``embedder.model_files.load_model_file``."""
    network = load_model_file(weights, settings)
    # The rows of the last matrix.
    dimension = [module for module in network.modules() if isinstance(module, nn.Linear)][-1].out_features
    if compute.int8 and isinstance(network, DlibResNet) and network.is_limited:
        graph = taking_pixels(network)
        module = quantize(graph, _ranges(graph), read_back=True).eval()
        return ReadyNetwork(compute, module, torch.uint8, dimension)
    return ReadyNetwork(compute, compute.prepare(network), compute.dtype, dimension)


def _ranges(network: fx.GraphModule) -> Ranges:
    """Give the ranges of limited values, and of maps of theirs that are brought to another size."""
    ranges = dict(limited_ranges(network))
    for node in network.graph.nodes:
        resized = node.op == "call_module" and isinstance(network.get_submodule(node.target), Resized)
        if resized and node.args[0].name in ranges:
            ranges[node.name] = ranges[node.args[0].name]
    return ranges


def taking_pixels(network: DlibResNet) -> fx.GraphModule:
    """Copy dlib's network as a graph whose first convolution takes pixels: W (x − mean) / 256 + b, multiplied out."""
    graph = trace(network)
    stem = next(node for node in graph.graph.nodes if node.target == "stem")
    pixels = next(node for node in graph.graph.nodes if node.op == "placeholder")
    layer = graph.get_submodule("stem")
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    scaled = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride)  # type: ignore[arg-type]
    assert scaled.bias is not None
    with torch.no_grad():
        scaled.weight.copy_(layer.weight / 256)
        scaled.bias.copy_(layer.bias - (scaled.weight * network.mean).sum((1, 2, 3)))
    graph.set_submodule("stem", scaled)
    stem.args = (pixels,)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph.eval()
