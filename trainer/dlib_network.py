"""dlib's face recognition network in torch, and its weights out of dlib's own file.

The architecture is that of ``dnn_face_recognition_ex.cpp`` (King 2017): 29 convolutions, residual
blocks without batch norm at inference time, global average pooling, 128 dimensions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainer.dlib_limits import LIMITS

# Mean of the pixels the network was trained on, as dlib's input layer has it.
_MEAN_RGB = (122.782, 117.001, 104.298)
_LAYER_NAME = re.compile(b"con_4|affine_|fc_2")
# (channels, blocks, the first one halves the map), from the input on.
_LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
# From this many channels on a map has this side, pixels, with crops of 150.
_READ_WHOLE = (256, 8)
SMALLEST_CROP = 87  # pixels: that map is then half as large


class DlibFileError(ValueError):
    """A file that does not hold dlib's face network."""


class DlibResNet(nn.Module):
    """dlib's ResNet-29 variant: uint8-range RGB (N, 3, 150, 150) to embeddings (N, 128).

    The embeddings are not of unit length; dlib compares them by L2 distance with threshold .6.

    Smaller crops, from 87 pixels on, make a faster network with the same weights, which then want training: before
    the last levels the map is brought to the size that it has with 150 pixels, because these levels read it whole.
    Untrained at 112 pixels, TAR at FAR 1e-3 is .64 so and .25 otherwise (.95 at 150).
    """

    mean: Tensor

    def __init__(self, limits: Sequence[float] = ()) -> None:
        """Make a network with random weights.

        Args:
            limits: what the maps that go into the second and every later convolution are cut off at, in their order;
                none by default.
        Raises:
            ValueError: if there are some, and not as many as such maps.
        """
        super().__init__()
        wanted = 2 * sum(count for _, count, _ in _LEVELS)
        if limits and len(limits) != wanted:
            raise ValueError(f"{len(limits)} limits, but {wanted} maps that have one")
        self.is_limited = bool(limits)
        most = iter(limits)
        self.register_buffer("mean", torch.tensor(_MEAN_RGB).view(1, 3, 1, 1))
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        self.stem_rectifier = _rectifier(next(most, None))
        blocks: list[nn.Module] = []
        previous = 32
        for channels, count, halves in _LEVELS:
            if channels == _READ_WHOLE[0] and channels != previous:
                blocks.append(Resized(_READ_WHOLE[1]))
            for number in range(count):
                limits_of_block = next(most, None), next(most, None)
                blocks.append(_Block(previous, channels, limits_of_block, halves=halves and number == 0))
                previous = channels
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(previous, 128, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / 256
        x = functional.max_pool2d(self.stem_rectifier(self.stem(x)), 3, stride=2)
        x = self.blocks(x)
        embeddings: Tensor = self.head(x.mean(dim=(2, 3)))
        return embeddings


def _rectifier(most: float | None) -> nn.Module:
    """``max(0, x)``, cut off at ``most``."""
    return nn.ReLU() if most is None else nn.Hardtanh(0.0, most)


class Resized(nn.Module):
    """A map brought to a side in pixels, bilinearly; one that has it stays as it is."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        size = (self.side, self.side)
        return x if x.shape[2:] == size else functional.interpolate(x, size=size, mode="bilinear")


class PaddedSum(nn.Module):
    """The sum of two maps as dlib adds them: as if both were padded with zeros to the larger one."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        height, width = max(y.shape[2], x.shape[2]), max(y.shape[3], x.shape[3])
        channels = max(y.shape[1], x.shape[1])
        return _zero_pad(x, channels, height, width) + _zero_pad(y, channels, height, width)


class _Block(nn.Module):
    """Two 3×3 convolutions and a shortcut; a halving block shortens the shortcut by average pooling."""

    def __init__(
        self, channels_in: int, channels_out: int, limits: tuple[float | None, float | None], *, halves: bool
    ) -> None:
        super().__init__()
        self.halves = halves
        self.first = nn.Conv2d(channels_in, channels_out, 3, stride=2 if halves else 1, padding=0 if halves else 1)
        self.first_rectifier = _rectifier(limits[0])
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.sum = PaddedSum()
        self.rectifier = _rectifier(limits[1])

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.first_rectifier(self.first(x)))
        result: Tensor = self.rectifier(self.sum(y, functional.avg_pool2d(x, 2)) if self.halves else x + y)
        return result


def _zero_pad(x: Tensor, channels: int, height: int, width: int) -> Tensor:
    missing = (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1])
    return functional.pad(x, missing) if any(missing) else x


def load_dlib(path: Path, limits: Sequence[float] = LIMITS) -> DlibResNet:
    """Read ``dlib_face_recognition_resnet_model_v1.dat``; affine layers are folded into the convolutions.

    Args:
        limits: see ``DlibResNet``; none makes the network that dlib runs.
    Raises:
        DlibFileError: if the file is cut short or holds another network.
    """
    network = DlibResNet(limits)
    layers = _layers(path.read_bytes(), path)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        for convolution in convolutions:
            filters_and_bias = _expect(layers, b"con_4", path, convolution.weight.numel() + convolution.out_channels)
            scale_and_shift = _expect(layers, b"affine_", path, 2 * convolution.out_channels)
            scale, shift = scale_and_shift.view(2, -1)
            assert convolution.bias is not None
            weight, bias = filters_and_bias[: -convolution.out_channels], filters_and_bias[-convolution.out_channels :]
            convolution.weight.copy_(weight.view_as(convolution.weight) * scale.view(-1, 1, 1, 1))
            convolution.bias.copy_(bias * scale + shift)
        head = _expect(layers, b"fc_2", path, network.head.weight.numel())
        network.head.weight.copy_(head.view(256, 128).T)  # dlib multiplies from the left
    return network.eval()


def _expect(layers: Iterator[tuple[bytes, Tensor]], name: bytes, path: Path, size: int) -> Tensor:
    found, values = next(layers, (b"the end of the file", torch.empty(0)))
    if found != name or values.numel() != size:
        raise DlibFileError(
            f"{path} does not hold dlib's face network: expected layer {name.decode()} with {size} numbers, "
            f"found {found.decode(errors='replace')} with {values.numel()}"
        )
    return values


def _layers(content: bytes, path: Path) -> Iterator[tuple[bytes, Tensor]]:
    """Yield (layer name, its parameters, flat) in the order of the file, which is from the input on."""
    position = 0
    while found := _LAYER_NAME.search(content, position):
        name, position = found.group(), found.end()
        if name == b"fc_2":  # number of outputs and of inputs stand before the tensor
            _, position = _compressed_int(content, position)
            _, position = _compressed_int(content, position)
        values, position = _tensor(content, position, path)
        yield name, values


def _tensor(content: bytes, position: int, path: Path) -> tuple[Tensor, int]:
    version, position = _compressed_int(content, position)
    size = 1
    for _ in range(4):
        length, position = _compressed_int(content, position)
        size *= length
    end = position + 4 * size
    if version != 2 or size < 0 or end > len(content):
        raise DlibFileError(f"{path} is cut short or is not dlib's face network (byte {position})")
    values = np.frombuffer(content, dtype="<f4", count=size, offset=position)
    return torch.from_numpy(values.astype(np.float32)), end


def _compressed_int(content: bytes, position: int) -> tuple[int, int]:
    """Decode dlib's integer: a byte with the sign (bit 7) and the length (low 4 bits), then the bytes."""
    if position >= len(content):
        return -1, position
    length = content[position] & 0x0F
    value = int.from_bytes(content[position + 1 : position + 1 + length], "little")
    return (-value if content[position] & 0x80 else value), position + 1 + length
