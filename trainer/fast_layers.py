"""Two layers of MobileNet-like networks whose backward pass torch makes slow on a CPU.

What they compute, and the names of their weights, are those of ``nn.PReLU`` and ``nn.Conv2d``; only
training on a CPU takes another way. In bfloat16 on one core, a batch of 32 maps of 64 × 56 × 56, forward
and backward: PReLU .34 ms a map instead of 2.8; the gradient of a strided depthwise convolution's input
alone takes 1.8 ms, that of one with stride 1 on the same map .06.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class PReLU(nn.PReLU):
    """``max(0, x) + slope · min(0, x)``, one slope for each channel of (N, C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() and input.device.type == "cpu":
            return _Sloped.apply(input, self.weight)  # type: ignore[no-untyped-call, no-any-return]
        same = self.weight.dtype == input.dtype  # a conversion would stand in what is exported
        return torch.prelu(input, self.weight if same else self.weight.to(input.dtype))


class _Sloped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Tensor) -> Tensor:
        ctx.save_for_backward(x, slopes)
        return torch.prelu(x, slopes.to(x.dtype))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, slopes = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradient, x, 0)
        below = gradient - above
        of_slopes = (below * x).sum(dim=(0, 2, 3)).to(slopes.dtype) if ctx.needs_input_grad[1] else None
        return below.mul_(slopes.to(x.dtype).view(1, -1, 1, 1)).add_(above), of_slopes


class StridedDepthwise(nn.Conv2d):
    """A depthwise 3×3 convolution with stride 2; to train it, that with stride 1 is taken at every second pixel."""

    def __init__(self, channels: int, *, bias: bool = False) -> None:
        super().__init__(channels, channels, 3, stride=2, padding=1, groups=channels, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() and input.device.type == "cpu":
            dense = functional.conv2d(input, self.weight, self.bias, 1, self.padding, 1, self.groups)
            # Without a copy the next layer would walk over every second pixel, which is slow again.
            return dense[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
        return super().forward(input)
