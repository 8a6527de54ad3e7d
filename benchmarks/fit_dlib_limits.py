"""Measure what the maps of dlib's network reach on faces; write trainer/dlib_limits.py.

visavis crops PEOPLE --network dlib --out CROPS
python -m benchmarks.fit_dlib_limits CROPS

Not a benchmark: to be run if the way changes in which faces are cut out. People who are held out are not looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from embedder.pretrained import NETWORKS, locate
from trainer.crops import CropsFolder, inner, read_crop, read_crops_folder
from trainer.dlib_network import load_dlib

_SHARE = 0.9999  # of a map's numbers, in a batch, that lie below its limit
_BATCH = 16
_MOST_CROPS = 500
_TARGET = Path(__file__).parents[1] / "trainer" / "dlib_limits.py"
_HEAD = '''"""What the maps of dlib's network are cut off at. By benchmarks/fit_dlib_limits.py.

One number in ten thousand lies above: odd faces, whose embeddings are then less odd (docs/accuracy.md).
"""

LIMITS = (
'''


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("crops", type=Path, help="made by `visavis crops --network dlib`")
    folder = read_crops_folder(parser.parse_args(arguments).crops)
    crops = read_some(folder)
    limits = measure_limits(load_dlib(locate(NETWORKS["dlib"].weights), limits=()), crops, _SHARE)
    _TARGET.write_text(as_module(limits))
    print(f"{_TARGET.name}: {len(limits)} limits from {len(crops)} crops")


def read_some(folder: CropsFolder) -> np.ndarray:
    """Read crops of people who are not held out, evenly spread: uint8 RGB (N, size, size, 3)."""
    rows = np.flatnonzero(~folder.held_out())
    rows = rows[:: -(-len(rows) // _MOST_CROPS)]
    return np.stack(
        [inner(read_crop(folder.path(row), folder.settings.side), folder.settings) for row in rows.tolist()]
    )


def measure_limits(network: nn.Module, crops: np.ndarray, share: float) -> list[float]:
    """Measure what goes into each convolution but the first: the mean over batches of the given quantile."""
    seen: dict[str, list[float]] = {}

    def watch(name: str) -> Any:
        def look(layer: nn.Module, inputs: tuple[Tensor]) -> None:
            values = inputs[0].flatten()
            above = max(1, int(len(values) * (1 - share)))
            seen.setdefault(name, []).append(float(values.topk(above).values[-1]))

        return look

    convolutions = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)]
    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in convolutions[1:]]
    with torch.inference_mode():
        for start in range(0, len(crops), _BATCH):
            batch = np.ascontiguousarray(crops[start : start + _BATCH])
            network(torch.from_numpy(batch).permute(0, 3, 1, 2).float())
    for handle in handles:
        handle.remove()
    return [float(np.mean(seen[name])) for name, _ in convolutions[1:]]


def as_module(limits: Sequence[float]) -> str:
    """Write limits as the source of a Python module."""
    return _HEAD + "".join(f"    {limit:.4g},\n" for limit in limits) + ")\n"


if __name__ == "__main__":
    main()
