"""The timing of networks: that they take turns, and that the first turn does not count."""

import pytest
import torch

from benchmarks import network_speed
from benchmarks.network_speed import runner, seconds_in_turn
from embedder.device import choose_compute
from trainer.networks import NetworkSettings, build_network
from trainer.weights import Description, save_weights


def test_networks_take_turns_and_the_median_counts(monkeypatch):
    clock, order = [0.0], []
    monkeypatch.setattr(network_speed.time, "process_time", lambda: clock[0])
    taken = {"a": iter([100.0, 1.0, 9.0, 2.0]), "b": iter([100.0, 4.0, 4.0, 5.0])}

    def run(name):
        order.append(name)
        clock[0] += next(taken[name])

    found = seconds_in_turn({name: lambda name=name: run(name) for name in taken}, 3)
    assert order == ["a", "b"] * 4
    assert found == pytest.approx({"a": 2.0, "b": 4.0})


def test_a_weight_file_is_run_as_the_embedder_does(tmp_path, monkeypatch):
    settings = NetworkSettings("small", 32, 8, width=4, depths=(1,))
    save_weights(tmp_path / "x.safetensors", build_network(settings), Description(settings, "x"))
    seen = []
    compute = choose_compute("cpu")
    monkeypatch.setattr(
        type(compute), "run", lambda self, network, crops, dtype: seen.append(crops.shape) or torch.zeros(8, 8)
    )
    runner(str(tmp_path / "x.safetensors"), compute)()
    assert seen == [(compute.encode_batch, 32, 32, 3)] * 4
