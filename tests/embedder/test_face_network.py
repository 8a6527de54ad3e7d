"""Face networks as they run: on bytes where they are made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from embedder.device import Compute, choose_compute
from embedder.face_network import load_face_network, taking_pixels
from embedder.int8 import int8_is_fast
from trainer.dlib_network import DlibResNet, load_dlib
from trainer.networks import NetworkSettings
from trainer.weights import Description, save_weights

fast_int8 = pytest.mark.skipif(not int8_is_fast(), reason="this processor has no fast int8, so it is never used here")


def layers(module: nn.Module) -> list[str]:
    return [type(part).__name__ for part in module.modules()]


@fast_int8
def test_dlibs_network_runs_on_bytes_and_gives_the_same_faces(
    weights: Callable[[str], Path], portrait_crops: Callable[[str], np.ndarray]
):
    compute = choose_compute("cpu")
    fast = load_face_network(weights("dlib"), compute)
    exact = load_face_network(weights("dlib"), choose_compute("cpu", exact=True))
    assert fast.dtype == torch.uint8 and fast.dimension == exact.dimension == 128
    assert layers(fast.module).count("_Int8Convolution") == 29
    crops = portrait_crops("dlib")
    found, expected = fast.run(crops), exact.run(crops)
    assert found.dtype == torch.float32
    assert float(torch.nn.functional.cosine_similarity(found, expected).min()) > 0.999
    assert torch.equal(fast.run(crops[:1]), found[:1]), "a face is the same whatever stands beside it"


@fast_int8
def test_what_has_no_limits_stays_in_numbers(weights: Callable[[str], Path], tmp_path: Path):
    compute = choose_compute("cpu")
    assert load_face_network(weights("sface"), compute).dtype == torch.bfloat16
    settings = NetworkSettings("dlib", 150)
    network = load_dlib(weights("dlib"), limits=())
    save_weights(tmp_path / "trained.safetensors", network, Description(settings, "x"))
    free = load_face_network(tmp_path / "trained.safetensors", compute)
    assert free.dtype == torch.bfloat16 and "_Int8Convolution" not in layers(free.module)


def test_exactly_means_no_bytes(weights: Callable[[str], Path], exact_compute: Compute):
    exact = load_face_network(weights("dlib"), exact_compute)
    assert exact.dtype == torch.float32 and isinstance(exact.module, DlibResNet)
    assert load_face_network(weights("dlib"), replace(exact_compute, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_pixels_are_scaled_by_the_first_convolution(
    weights: Callable[[str], Path], portrait_crops: Callable[[str], np.ndarray]
):
    network = load_dlib(weights("dlib"))
    pixels = torch.from_numpy(portrait_crops("dlib")).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        torch.testing.assert_close(taking_pixels(network)(pixels), network(pixels), rtol=0, atol=1e-5)
    assert float(network.stem.weight.detach().abs().max()) > 0.01, "the network itself is not changed"
