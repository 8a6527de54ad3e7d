"""How many faces a second face networks embed, as the embedder runs them: batches of 16, bfloat16 where that is fast.

    taskset -c 0 python -m benchmarks.network_speed RUN/best.safetensors sface dlib [--rounds 9]

A name of the table or a model file each. The networks take turns, batch by batch, so that what else runs on the machine
slows all of them; printed is the median of each one's CPU time for a face, and how many times as fast as the first one
named it is. One view: the embedder's mirror image doubles the time of all. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from embedder.device import Compute, choose_compute
from embedder.face_network import load_face_network
from embedder.model_files import open_model_file
from embedder.pretrained import NETWORKS, locate

_BATCHES = 4  # in a turn


def runner(name: str, compute: Compute) -> Callable[[], None]:
    """Prepare a network, and give what embeds some batches of noise."""
    settings = NETWORKS[name] if name in NETWORKS else open_model_file(Path(name))
    weights = locate(settings.weights) if name in NETWORKS else Path(name)
    network = load_face_network(weights, compute, settings)
    shape = (compute.encode_batch, settings.input_size, settings.input_size, 3)
    crops = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def run() -> None:
        for _ in range(_BATCHES):
            network.run(crops)

    return run


def seconds_in_turn(runs: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Run all by turns, once before it counts; gives each one's median of CPU seconds."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = time.process_time()
            run()
            if number:
                taken[name].append(time.process_time() - started)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Time face networks as the embedder runs them.")
    parser.add_argument("networks", nargs="+", metavar="NETWORK", help="sface, dlib, or a model file")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    compute = choose_compute("cpu")
    seconds = seconds_in_turn({name: runner(name, compute) for name in options.networks}, options.rounds)
    faces, first = compute.encode_batch * _BATCHES, seconds[options.networks[0]]
    print(f"{'':40}{'faces/s':>10}{'times':>8}")
    for name, taken in seconds.items():
        print(f"{name:40}{faces / taken:10.0f}{first / taken:8.2f}")
    rates = {name: round(faces / taken, 1) for name, taken in seconds.items()}
    print(json.dumps({"faces a second": rates, "dtype": str(compute.dtype), "batch": compute.encode_batch}))


if __name__ == "__main__":
    main()
