"""Choosing where networks run, and running them there."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

import embedder.device
from embedder.device import Compute, DeviceError, choose_compute
from embedder.int8 import int8_is_fast
from trainer.dlib_network import load_dlib
from trainer.onnx_graph import fuse_batch_norm, load_onnx


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch say that it sees two CUDA devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")


def images(count: int = 3, height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


# ---------------------------------------------------------------- choosing


def test_auto_without_cuda_is_the_cpu(no_cuda: None):
    compute = choose_compute()
    assert compute.device == torch.device("cpu")
    assert compute == choose_compute("cpu")


def test_auto_takes_cuda_where_there_is_one(two_cards: None):
    compute = choose_compute()
    assert compute.device == torch.device("cuda")
    assert compute.why == "cuda (a card), bfloat16"


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_cuda_that_is_not_there_is_an_error(device: str, no_cuda: None):
    """And not a run on the CPU that takes all night."""
    with pytest.raises(DeviceError, match=rf"--device {device}: torch .* sees 0 CUDA devices. Use --device cpu"):
        choose_compute(device)


def test_a_card_that_is_not_there_is_an_error(two_cards: None):
    assert choose_compute("cuda:1").device == torch.device("cuda:1")
    with pytest.raises(DeviceError, match=r"cuda:2: torch .* sees 2 CUDA devices"):
        choose_compute("cuda:2")


@pytest.mark.parametrize("device", ["", "gpu", "CPU", "cpu:1", "cuda:", "cuda:-1", "cuda:x", "meta", "mps", "auto:0"])
def test_unknown_names_are_refused(device: str, no_cuda: None):
    with pytest.raises(DeviceError, match="choose auto, cpu, cuda or cuda:N"):
        choose_compute(device)


@pytest.mark.parametrize("in_hardware", [True, False])
def test_bfloat16_is_taken_only_where_it_is_faster(in_hardware: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedder.device, "_cpu_has_bfloat16", lambda: in_hardware)
    assert choose_compute("cpu").dtype == (torch.bfloat16 if in_hardware else torch.float32)
    assert choose_compute("cpu", exact=True).dtype == torch.float32


def test_exact_is_float32_on_cuda_too(two_cards: None, monkeypatch: pytest.MonkeyPatch):
    assert choose_compute("cuda").dtype == torch.bfloat16
    assert choose_compute("cuda", exact=True).dtype == torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert choose_compute("cuda").dtype == torch.float32


def test_the_cpu_gets_a_lane_for_each_core():
    compute = choose_compute("cpu", exact=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert compute.lanes == cores
    assert compute.why == f"cpu, {cores} threads, float32"
    assert torch.get_num_threads() == 1


# ---------------------------------------------------------------- lanes


def lanes(exact_compute: Compute, count: int) -> Compute:
    return dataclasses.replace(exact_compute, lanes=count)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_results_keep_the_order_of_the_work(count: int, exact_compute: Compute):
    work = list(range(20))
    assert lanes(exact_compute, count).map(lambda piece: piece * piece, work) == [piece * piece for piece in work]
    assert lanes(exact_compute, count).map(str, [7]) == ["7"]
    assert lanes(exact_compute, count).map(str, []) == []


def test_lanes_run_side_by_side(exact_compute: Compute):
    """Each piece of work waits for the other."""
    meeting = threading.Barrier(2, timeout=30)
    assert sorted(lanes(exact_compute, 2).map(lambda _: meeting.wait(), [None, None])) == [0, 1]


def test_one_lane_needs_no_thread(exact_compute: Compute):
    found = lanes(exact_compute, 1).map(lambda _: threading.current_thread(), [1, 2])
    assert found == [threading.current_thread()] * 2


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_in_a_lane_comes_out(count: int, exact_compute: Compute):
    def fail(piece: int) -> int:
        if piece == 2:
            raise ValueError("two")
        return piece

    with pytest.raises(ValueError, match="two"):
        lanes(exact_compute, count).map(fail, [1, 2, 3])


# ---------------------------------------------------------------- running


class Witness(nn.Module):
    """Gives its input back, and keeps what it was."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.seen: list[tuple[torch.dtype, bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        layout = x.is_contiguous(memory_format=torch.channels_last)
        self.seen.append((x.dtype, layout, torch.is_inference_mode_enabled()))
        return x if self.outputs == 1 else (x, x.mean(dim=(2, 3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_images_arrive_as_the_networks_take_them(dtype: torch.dtype, exact_compute: Compute):
    """0-255 is exact in both types; channels first, but laid out as they came."""
    witness, pixels = Witness(1), images()
    found = dataclasses.replace(exact_compute, dtype=dtype).run(witness, pixels)
    assert witness.seen == [(dtype, True, True)]
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), pixels.transpose(0, 3, 1, 2))


def test_several_outputs_stay_several(exact_compute: Compute):
    found = exact_compute.run(Witness(2), images())
    assert [tuple(output.shape) for output in found] == [(3, 3, 6, 8), (3, 3)]
    assert all(output.dtype == torch.float32 for output in found)


def test_no_image(exact_compute: Compute):
    assert exact_compute.run(Witness(1), images(0)).shape == (0, 3, 6, 8)


def test_a_prepared_network_is_ready(fast_compute: Compute):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()).train()
    prepared = fast_compute.prepare(network)
    assert not any(module.training for module in prepared.modules())
    weight = prepared[0].weight
    assert weight.dtype == torch.bfloat16
    assert weight.is_contiguous(memory_format=torch.channels_last)


# ---------------------------------------------------------------- CUDA without a card


def pretend(network: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """Put tensors without numbers in the place of a network's own. They know their device and refuse to mix.

    They are all buffers: torch does not move parameters of this kind.
    """
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        path, _, last = name.rpartition(".")
        owner = network.get_submodule(path)
        delattr(owner, last)
        owner.register_buffer(last, mode.from_tensor(tensor.detach()))
    return network


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("centerface", 64, [(2, 1, 16, 16), (2, 2, 16, 16), (2, 2, 16, 16), (2, 10, 16, 16)]),
        ("sface", 112, [(2, 128)]),
        ("dlib", 150, [(2, 128)]),
    ],
)
def test_networks_run_on_cuda_alone(
    name: str, size: int, expected: list[tuple[int, ...]], weights: Callable[[str], Path]
):
    """Every layer computes there, in bfloat16, and only the answers come back, in float32.

    No card is needed: the tensors hold no numbers, and an operator that is given tensors of two devices fails.
    """
    network = load_dlib(weights(name)) if name == "dlib" else fuse_batch_norm(load_onnx(weights(name)))
    compute = Compute(torch.device("cuda:0"), torch.bfloat16, 16, 256, 1, False, "a test")
    seen: set[tuple[str, torch.dtype]] = set()

    def look(module: nn.Module, inputs: object, output: object) -> None:
        outputs = output if isinstance(output, tuple) else (output,)
        seen.update((part.device.type, part.dtype) for part in outputs if isinstance(part, Tensor))

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        prepared = compute.prepare(pretend(network, mode))
        for module in prepared.modules():
            module.register_forward_hook(look)
        found = compute.run(prepared, np.zeros((2, size, size, 3), np.uint8))
    found = [found] if isinstance(found, Tensor) else list(found)
    assert seen == {("cuda", torch.bfloat16)}
    assert [tuple(output.shape) for output in found] == expected
    assert {(output.device.type, output.dtype) for output in found} == {("cpu", torch.float32)}


def test_bytes_are_for_processors_on_which_they_are_fast():
    assert choose_compute("cpu").int8 == int8_is_fast()
    assert not choose_compute("cpu", exact=True).int8
    assert ("int8" in choose_compute("cpu").why) == int8_is_fast()
