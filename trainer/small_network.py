"""A small residual network that is fast on a CPU.

Full 3×3 convolutions with channels in multiples of 32 and no depthwise ones: these fill a core's matrix
units, where depthwise layers wait for memory. The map is halved four times, twice before the first
residual block, and the last one is read position by position, because in an aligned crop a position
means a part of the face.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SmallNetwork(nn.Module):
    """Float RGB 0-255 (N, 3, size, size) to embeddings (N, dimension); four stages, each half the size before it."""

    def __init__(
        self, input_size: int, dimension: int, *, width: int = 32, depths: tuple[int, ...] = (1, 2, 2)
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        stages: list[nn.Module] = []
        channels, size = width, -(-input_size // 2)
        for depth in depths:
            stages.append(_Halving(channels, 2 * channels))
            channels, size = 2 * channels, -(-size // 2)
            stages += [_Residual(channels) for _ in range(depth)]
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels * size * size, dimension, bias=False)
        self.head_norm = nn.BatchNorm1d(dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, _Residual):
                nn.init.zeros_(module.second_norm.weight)  # a block begins as its shortcut (Goyal et al. 2017)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - 127.5) / 128
        x = self.stages(functional.relu(self.stem_norm(self.stem(x))))
        embeddings: Tensor = self.head_norm(self.head(torch.flatten(x, 1)))
        return embeddings


class _Halving(nn.Module):
    """One strided convolution to twice the channels."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.convolution(x)))


class _Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(x + self.second_norm(self.second(y)))
