"""Convolutions on bytes, against the same network in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from embedder.centerface import load_centerface
from embedder.detect import shrink
from embedder.device import choose_compute
from embedder.int8 import (
    convolved_values,
    int8_is_fast,
    limited_ranges,
    max_pool_bytes,
    measure_ranges,
    quantize,
)

pytestmark = pytest.mark.skipif(not int8_is_fast(), reason="this processor has no fast int8, so it is never used here")
INT8 = choose_compute("cpu")


class Block(nn.Module):
    """What CenterFace is made of: widen, look around, narrow, add; and a value that goes two ways."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.widen = nn.Conv2d(8, 16, 1)
        self.around = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.narrow = nn.Conv2d(16, 8, 1)
        self.last = nn.Conv2d(8, 4, 1)
        self.relu_1, self.relu_2 = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(x)
        inner = self.narrow(self.relu_2(self.around(self.relu_1(self.widen(first)))))
        total = first + inner
        return total, self.last(total)


@pytest.fixture
def network() -> fx.GraphModule:
    return fx.symbolic_trace(Block().eval())


@pytest.fixture
def photo() -> Tensor:
    smooth = torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(5)) * 255
    return functional.interpolate(smooth, scale_factor=4).round()


def ranges_of(network: fx.GraphModule, photo: Tensor) -> dict[str, tuple[float, float]]:
    return dict(measure_ranges(network, [photo], convolved_values(network, "last"), share=1.0))


def as_pixels(photo: Tensor) -> Tensor:
    return photo.to(torch.uint8).to(memory_format=torch.channels_last)


def test_bytes_give_what_numbers_give(network: fx.GraphModule, photo: Tensor):
    """To within a few steps of 256, though every convolution works on bytes."""
    quantized = quantize(network, ranges_of(network, photo))
    with torch.inference_mode():
        expected, found = network(photo), quantized(as_pixels(photo))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.bfloat16
        assert float((ours.float() - theirs).abs().max()) < 0.03 * float(theirs.abs().max())


def test_every_convolution_is_on_bytes_and_no_relu_is_left(network: fx.GraphModule, photo: Tensor):
    quantized = quantize(network, ranges_of(network, photo))
    kinds = [type(module).__name__ for module in quantized.modules()]
    assert kinds.count("_Int8Convolution") == 5
    nodes = [node.name for node in quantized.graph.nodes]
    assert "relu_1" not in nodes and "relu_2" not in nodes
    # The photo, and what stands between two convolutions alone, is not converted; what is added to as well is.
    assert [name for name in nodes if name.startswith("bytes_of")] == ["bytes_of_first", "bytes_of_add"]


class Adding(nn.Module):
    """Two sums that only convolutions take; or, if ``late``, one does so after the other sum was made of it."""

    def __init__(self, late: bool) -> None:
        super().__init__()
        self.is_late = late
        torch.manual_seed(4)
        self.first, self.second, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.again, self.late = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1)
        self.relu, self.inner, self.deep = nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = self.first(x)
        total = first + self.second(self.inner(first))
        aside = None if self.is_late else self.late(total)
        twice = total + self.again(self.relu(self.deep(total)))
        return self.last(twice), self.late(total) if aside is None else aside


@pytest.mark.parametrize("late", [False, True])
def test_a_sum_is_made_in_bytes_unless_what_it_is_added_to_is_needed_later(photo: Tensor, late: bool):
    network = fx.symbolic_trace(Adding(late).eval())
    values = ["first", "inner", "add", "relu", "add_1"]
    quantized = quantize(network, dict(measure_ranges(network, [photo], values, share=1.0)))
    adds = [node.name for node in quantized.graph.nodes if node.op == "call_function"]
    assert adds == (["add", "add_1"] if late else [])
    with torch.inference_mode():
        expected, found = network(photo), quantized(as_pixels(photo))
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours.float() - theirs).abs().max()) < 0.05 * float(theirs.abs().max())


def test_without_a_range_it_stays_in_bfloat16(network: fx.GraphModule, photo: Tensor):
    """A convolution is on bytes just where the range of what goes into it is known."""
    ranges = ranges_of(network, photo)
    del ranges["relu_1"], ranges["add"]
    quantized = quantize(network, ranges)
    assert isinstance(quantized.get_submodule("around"), nn.Conv2d)
    assert isinstance(quantized.get_submodule("last"), nn.Conv2d)
    with torch.inference_mode():
        expected, found = network(photo), quantized(as_pixels(photo))
    assert float((found[1].float() - expected[1]).abs().max()) < 0.03 * float(expected[1].abs().max())


def test_the_network_itself_is_not_changed(network: fx.GraphModule, photo: Tensor):
    before = network(photo)[1]
    quantize(network, ranges_of(network, photo))
    assert torch.equal(network(photo)[1], before)


def test_what_is_beyond_the_range_is_cut_off(network: fx.GraphModule, photo: Tensor):
    """A range of half the values gives an outcome that is wrong, but of the same size: nothing wraps around."""
    halved = {name: (low / 2, high / 2) for name, (low, high) in ranges_of(network, photo).items()}
    with torch.inference_mode():
        found, expected = quantize(network, halved)(as_pixels(photo))[1].float(), network(photo)[1]
    assert float(found.abs().max()) <= 1.05 * float(expected.abs().max())
    assert float((found - expected).abs().max()) > 0.1 * float(expected.abs().max())


def test_ranges_are_the_least_and_the_greatest(network: fx.GraphModule, photo: Tensor):
    ranges = ranges_of(network, photo)
    first = network.get_submodule("first")(photo).detach()
    assert ranges["first"] == (float(first.min()), float(first.max()))
    cut = measure_ranges(network, [photo], ["first"], share=0.9)["first"]
    assert float((first > cut[1]).float().mean()) == pytest.approx(0.1, abs=0.01)


def test_ranges_of_another_network_are_refused(network: fx.GraphModule):
    with pytest.raises(ValueError, match="ranges of conv_4, which this network does not have"):
        quantize(network, {"conv_4": (0, 1)})


def test_centerface_finds_the_same_centres(weights: Callable[[str], Path], portraits: dict[str, np.ndarray]):
    """With the ranges of the table: the heat at a face's centre, its size and its landmarks."""
    exact, on_bytes = (load_centerface(weights("centerface"), c) for c in (choose_compute("cpu", exact=True), INT8))
    for portrait in portraits.values():
        photo = shrink(portrait, 480)
        height, width = (side // 32 * 32 for side in photo.shape[:2])
        pixels = torch.from_numpy(np.ascontiguousarray(photo[None, :height, :width])).permute(0, 3, 1, 2)
        with torch.inference_mode():
            expected, found = exact(pixels.float()), on_bytes(pixels)
        place = int(expected[0].argmax())
        row, column = divmod(place, expected[0].shape[3])
        assert expected[0].max() > 0.6
        near = found[0][0, 0, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        assert float(near.max()) == pytest.approx(float(expected[0].max()), abs=0.06)
        for ours, theirs, limit in zip(found[1:], expected[1:], (0.06, 0.3, 0.03), strict=True):
            assert float((ours - theirs)[0, :, row, column].abs().max()) < limit


class Limited(nn.Module):
    """What dlib's network is made of: a pool, a sum that is cut off, and a value that goes two ways."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.stem, self.first = nn.Conv2d(3, 16, 3, stride=2), nn.Conv2d(16, 16, 3, padding=1)
        self.second, self.last = nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
        self.cut_0, self.cut_1, self.cut_2 = nn.Hardtanh(0.0, 150.0), nn.Hardtanh(0.0, 60.0), nn.Hardtanh(0.0, 120.0)
        self.cut_3 = nn.Hardtanh(0.0, 20.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.max_pool2d(self.cut_0(self.stem(x)), 3, stride=2)
        x = self.cut_2(x + self.second(self.cut_1(self.first(x))))
        return self.cut_3(self.last(x)), functional.avg_pool2d(x, 2)


def test_limits_are_ranges_and_sums_are_cut_off_in_bytes(photo: Tensor):
    network = fx.symbolic_trace(Limited().eval())
    ranges = limited_ranges(network)
    assert set(ranges) == {"cut_0", "max_pool2d", "cut_1", "cut_2", "cut_3"} and ranges["max_pool2d"] == (0.0, 150.0)
    quantized = quantize(network, ranges, read_back=True)
    names = [node.name for node in quantized.graph.nodes]
    assert [name for name in names if "bytes_of" in name or "cut" in name] == []
    assert [name for name in names if "numbers_of" in name] == ["numbers_of_second"]
    assert quantized.graph.find_nodes(op="call_function", target=max_pool_bytes)
    with torch.inference_mode():
        expected, found = network(photo), quantized(as_pixels(photo))
    assert float(expected[0].max()) == 20.0, "something is cut off"
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.bfloat16
        assert float((ours.float() - theirs).abs().max()) < 0.05 * float(theirs.abs().max())


def test_without_reading_back_numbers_stay_where_something_wants_them(photo: Tensor):
    network = fx.symbolic_trace(Limited().eval())
    quantized = quantize(network, limited_ranges(network))
    names = [node.name for node in quantized.graph.nodes]
    assert "bytes_of_cut_2" in names and not [name for name in names if "numbers_of" in name]
    with torch.inference_mode():
        expected, found = network(photo), quantized(as_pixels(photo))
    assert float((found[0].float() - expected[0]).abs().max()) < 0.05 * float(expected[0].abs().max())


def test_bytes_are_pooled_as_numbers_are(photo: Tensor):
    for size in (47, 48):
        pixels = as_pixels(photo)[..., :size]
        expected = functional.max_pool2d(pixels.float(), 3, stride=2)
        assert torch.equal(max_pool_bytes(pixels, 3, stride=2).float(), expected)
