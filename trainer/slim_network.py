"""SFace's network with half of its channels and a plainer beginning: a quarter of its time for each face.

Its layers have no batch norm: their weights come out of SFace's (``trainer.slimming``) and are trained
further. Of SFace's 10.3 ms for a face (one core, bfloat16, batches of 16) 4.2 go into its first seven layers, whose
maps of 112 × 112 and 56 × 56 depthwise convolutions and slopes read and write for little arithmetic. Two
ordinary convolutions stand for them and the next one; the slim network takes 2.3 ms.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.fast_layers import PReLU, StridedDepthwise

# The first two layers: (channels, kernel), each with stride 2. Then pairs of a 1×1 convolution and a
# depthwise one: (channels, stride of the latter); then a last 1×1 convolution. The map ends at 7 × 7.
_FIRST = ((32, 7), (64, 3))
_PAIRS = ((128, 1), (128, 2), *[(256, 1)] * 5, (256, 2), (512, 1))
_LAST = 512
_SIDE = 7


class SlimNetwork(nn.Module):
    """Float RGB 0-255 (N, 3, 112, 112) to embeddings (N, dimension), not of unit length.

    ``origin_N`` says, for each channel of layer N's map, which channel of SFace's it was made from; -1 for none.
    """

    def __init__(self, dimension: int = 128) -> None:
        super().__init__()
        layers, channels = [], 3
        for wider, kernel in _FIRST:
            layers.append(_layer(nn.Conv2d(channels, wider, kernel, stride=2, padding=kernel // 2)))
            channels = wider
        for wider, stride in _PAIRS:
            layers += [_layer(nn.Conv2d(channels, wider, 1)), _layer(_depthwise(wider, stride))]
            channels = wider
        layers.append(_layer(nn.Conv2d(channels, _LAST, 1)))
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(_LAST * _SIDE * _SIDE, dimension)
        for number, layer in enumerate(layers):
            convolution = layer[0]
            assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
            self.register_buffer(f"origin_{number}", torch.full((convolution.out_channels,), -1))

    def forward(self, x: Tensor) -> Tensor:
        embeddings: Tensor = self.head(torch.flatten(self.layers((x - 127.5) / 128), 1))
        return embeddings

    def origin(self, number: int) -> Tensor:
        """Give the channels of SFace's map that those of layer ``number`` were made from: int64 (C,)."""
        return self.get_buffer(f"origin_{number}")


def _depthwise(channels: int, stride: int) -> nn.Conv2d:
    if stride == 2:
        return StridedDepthwise(channels, bias=True)
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


def _layer(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, PReLU(convolution.out_channels))
