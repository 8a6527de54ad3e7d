"""SFace's network as a module of its own, to be trained further, and its weights out of the ONNX file.

Zhong et al. 2021, "SFace" (arXiv 2205.12010), with MobileNet's layers (Howard et al. 2017): 27
convolutions in a chain, 13 of them depthwise, each with batch norm and PReLU; the last map is read
position by position. ``trainer.onnx_graph`` runs the same file as it stands; this one has names for its
layers, and a weight file of it needs no ONNX file beside it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.fast_layers import PReLU, StridedDepthwise
from trainer.onnx_graph import load_onnx

# (channels, stride) of each pair of a depthwise and a 1×1 convolution.
_PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.PReLU, nn.Linear)


class SFaceFileError(ValueError):
    """An ONNX file that does not hold SFace's network."""


class SFaceNetwork(nn.Module):
    """Float RGB 0-255 (N, 3, 112, 112) to embeddings (N, 128)."""

    def __init__(self) -> None:
        super().__init__()
        layers = [_layer(3, 32, kernel=3)]
        channels = 32
        for wider, stride in _PAIRS:
            layers += [_layer(channels, channels, kernel=3, stride=stride, groups=channels), _layer(channels, wider)]
            channels = wider
        self.layers = nn.Sequential(*layers)
        self.last_norm = nn.BatchNorm2d(channels, eps=2e-5)
        self.head = nn.Linear(channels * 7 * 7, 128)
        self.head_norm = nn.BatchNorm1d(128, eps=2e-5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last_norm(self.layers((x - 127.5) / 128))
        embeddings: Tensor = self.head_norm(self.head(torch.flatten(x, 1)))
        return embeddings


def _layer(channels_in: int, channels_out: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = (
        nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, groups=groups, bias=False)
        if stride == 1
        else StridedDepthwise(channels_in)
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out, eps=1e-3), PReLU(channels_out))


def load_sface(path: Path) -> SFaceNetwork:
    """Read ``face_recognition_sface_2021dec.onnx``, in eval mode.

    Raises:
        SFaceFileError: if the file holds another network.
        trainer.onnx_graph.OnnxError: if it is no ONNX file.
    """
    network = SFaceNetwork()
    ours = [module for module in network.modules() if _is_layer(module)]
    theirs = [module for module in load_onnx(path).modules() if _is_layer(module)]
    if len(ours) != len(theirs):
        raise SFaceFileError(f"{path} does not hold SFace's network: {len(theirs)} layers, not {len(ours)}")
    for number, (own, read) in enumerate(zip(ours, theirs, strict=True)):
        values, wanted = read.state_dict(), own.state_dict()
        if {name: value.shape for name, value in values.items()} != {n: v.shape for n, v in wanted.items()}:
            raise SFaceFileError(f"{path} does not hold SFace's network: layer {number} is {read}, not {own}")
        own.load_state_dict(values)
    return network.eval()


def _is_layer(module: nn.Module) -> bool:
    return isinstance(module, (*_LAYERS, nn.BatchNorm1d))
