"""visavis held to one core, as the benchmarks measure it."""

from __future__ import annotations

from dataclasses import replace

from embedder.device import Compute, choose_compute
from embedder.model import FaceModel, choose_model


def one_lane(*, exact: bool = False) -> Compute:
    """Give the CPU with one batch at a time; ``exact``: in float32."""
    return replace(choose_compute("cpu", exact=exact), lanes=1)


def one_lane_model(name: str) -> FaceModel:
    """Load a model on one core."""
    return FaceModel(choose_model(name), one_lane())
