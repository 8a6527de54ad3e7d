"""CenterFace's network: what is joined and shifted gives what the file's layers give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from embedder.centerface import load_centerface, shifted, split_heads
from embedder.centerface_ranges import RANGES, SHIFTS
from embedder.detect import shrink
from embedder.device import Compute, choose_compute
from embedder.int8 import int8_is_fast
from trainer.onnx_graph import OnnxError, fuse_batch_norm, load_onnx


@pytest.fixture(scope="module")
def pixels(portraits: dict[str, np.ndarray]) -> list[Tensor]:
    """The portraits, uint8 (1, 3, H, W), sides that can be halved five times."""
    photos = [shrink(portrait, 480) for portrait in portraits.values()]
    cut = [photo[: photo.shape[0] // 32 * 32, : photo.shape[1] // 32 * 32] for photo in photos]
    return [torch.from_numpy(np.ascontiguousarray(photo[None])).permute(0, 3, 1, 2) for photo in cut]


def test_the_joined_layers_give_what_the_files_layers_give(
    weights: Callable[[str], Path], pixels: list[Tensor], exact_compute: Compute
) -> None:
    whole, ours = (
        fuse_batch_norm(load_onnx(weights("centerface"))),
        load_centerface(weights("centerface"), exact_compute),
    )
    for photo in pixels:
        with torch.inference_mode():
            expected, found = whole(photo.float()), ours(photo.float())
        for theirs, mine in zip(expected, found, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4)


def test_the_last_layer_is_in_float32_whatever_the_rest_is_in(
    weights: Callable[[str], Path], fast_compute: Compute
) -> None:
    network = load_centerface(weights("centerface"), fast_compute)
    assert {p.dtype for p in network.heads.parameters()} == {torch.float32}
    assert {p.dtype for p in network.trunk.parameters()} == {fast_compute.dtype}


def test_shifts_are_taken_off() -> None:
    heads = nn.Conv2d(3, 2, 1)
    x = torch.rand(1, 3, 4, 5)
    expected = heads(x) - torch.tensor([0.25, -1.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(shifted(heads, [0.25, -1.0])(x), expected)
    without = shifted(nn.Conv2d(3, 2, 1, bias=False), [0.25, -1.0]).bias
    torch.testing.assert_close(without, nn.Parameter(torch.tensor([-0.25, 1.0])))


@pytest.mark.skipif(not int8_is_fast(), reason="this processor has no fast int8")
def test_on_bytes_faces_are_as_large_as_in_numbers(
    weights: Callable[[str], Path], pixels: list[Tensor], exact_compute: Compute
) -> None:
    """Sizes were 1 to 3 % too large before they were shifted. Nothing is converted."""
    exact = load_centerface(weights("centerface"), exact_compute)
    ours = load_centerface(weights("centerface"), choose_compute("cpu"))
    kinds = [type(module).__name__ for module in ours.trunk.modules()]
    assert (kinds.count("Conv2d"), kinds.count("_ToBytes")) == (2, 0), "after the backbone two layers are in bfloat16"
    for photo in pixels:
        with torch.inference_mode():
            expected, found = exact(photo.float()), ours(photo)
        at = expected[0][0, 0] > 0.5
        assert at.any()
        assert float((found[1] - expected[1])[0, :, at].mean().abs()) < 0.02
        assert float((found[3] - expected[3])[0, :, at].mean().abs()) < 0.01


def test_a_network_that_ends_otherwise_is_refused() -> None:
    class Other(nn.Module):
        def __init__(self, *channels: int, kernel: int = 1) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Conv2d(3, n, kernel) for n in channels])

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return tuple(layer(x) for layer in self.layers)

    assert split_heads(fx.symbolic_trace(Other(1, 2, 2, 10).eval())).heads.out_channels == 15
    with pytest.raises(OnnxError, match="gives 3 maps, not heat, size, offset and landmarks"):
        split_heads(fx.symbolic_trace(Other(1, 2, 2).eval()))
    with pytest.raises(OnnxError, match="ends in layers_0, not in convolutions of single cells"):
        split_heads(fx.symbolic_trace(Other(1, 2, 2, 10, kernel=3).eval()))


def test_the_table_of_ranges_is_of_this_network(weights: Callable[[str], Path]) -> None:
    trunk = split_heads(load_onnx(weights("centerface"))).trunk
    assert isinstance(trunk, fx.GraphModule)
    assert RANGES.keys() <= {node.name for node in trunk.graph.nodes}
    assert len(SHIFTS) == 15
