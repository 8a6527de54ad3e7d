"""The residual network that ArcFace is trained with.

"Improved" residual units (Deng et al. 2019, arXiv 1801.07698, section 3.1, after Duta et al. 2020, arXiv
2004.04989): batch norm, convolution, batch norm, PReLU, strided convolution, batch norm, beside a
shortcut. The first layer keeps the crop's size, and the last map is read position by position: batch
norm, dropout, one dense layer, batch norm. Depths (3, 4, 14, 3) are known as IResNet-50.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_WIDTHS = (64, 128, 256, 512)


class IResNet(nn.Module):
    """Float RGB 0-255 (N, 3, size, size) to embeddings (N, dimension)."""

    def __init__(
        self, input_size: int, dimension: int, *, depths: tuple[int, ...] = (3, 4, 14, 3), dropout: float = 0.0
    ) -> None:
        super().__init__()
        if len(depths) != len(_WIDTHS):
            raise ValueError(f"an IResNet has {len(_WIDTHS)} stages, not {len(depths)}")
        self.stem = nn.Sequential(nn.Conv2d(3, _WIDTHS[0], 3, padding=1, bias=False), _norm(_WIDTHS[0]))
        self.stem_slope = nn.PReLU(_WIDTHS[0])
        blocks: list[nn.Module] = []
        channels, size = _WIDTHS[0], input_size
        for width, depth in zip(_WIDTHS, depths, strict=True):
            blocks += [_Unit(channels if i == 0 else width, width, stride=2 if i == 0 else 1) for i in range(depth)]
            channels, size = width, -(-size // 2)
        self.blocks = nn.Sequential(*blocks)
        self.last_norm = _norm(channels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels * size * size, dimension)
        self.head_norm = nn.BatchNorm1d(dimension)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - 127.5) / 127.5
        x = self.last_norm(self.blocks(self.stem_slope(self.stem(x))))
        embeddings: Tensor = self.head_norm(self.head(torch.flatten(self.dropout(x), 1)))
        return embeddings


class _Unit(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _norm(channels_in),
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            _norm(channels_out),
            nn.PReLU(channels_out),
            nn.Conv2d(channels_out, channels_out, 3, stride=stride, padding=1, bias=False),
            _norm(channels_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, _norm(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x) + self.shortcut(x)
        return y


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-5)
