"""Limits are what a share of a map's numbers lies below, and stand in a module that can be read back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.fit_dlib_limits import as_module, measure_limits


def test_a_limit_is_the_mean_quantile_of_what_goes_into_a_convolution():
    network = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(), nn.Conv2d(1, 1, 1), nn.ReLU())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))  # the red channel
    crops = np.zeros((32, 10, 10, 3), np.uint8)
    crops[:16, ..., 0] = np.arange(100).reshape(10, 10)
    crops[16:, ..., 0] = 2 * np.arange(100).reshape(10, 10)
    assert measure_limits(network, crops, 0.9) == [pytest.approx((90 + 180) / 2)]


def test_the_module_says_what_was_measured():
    names: dict[str, object] = {}
    exec(as_module([1.5, 22.25]), names)
    assert names["LIMITS"] == (1.5, 22.25)
