"""Measure what CenterFace's values reach on photos, and what bytes change; write embedder/centerface_ranges.py.

python -m benchmarks.fit_detector_ranges PHOTO...

Not a benchmark: to be run when the detector's weights change, on a processor with fast int8. Needs some dozen photos
with faces.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, fx

from embedder.centerface import CenterFace, split_heads
from embedder.decode import decode
from embedder.detect import shrink
from embedder.detection import DetectSettings
from embedder.int8 import Ranges, convolved_values, measure_ranges, quantize
from embedder.pretrained import WEIGHT_FILES, locate
from trainer.onnx_graph import load_onnx

_SHARE = 0.9999  # of a value's numbers on one photo; the rest is cut off
_LAST = "conv_94"  # of the backbone; after it, converting to bytes takes longer than they save
_TARGET = Path(__file__).parents[1] / "embedder" / "centerface_ranges.py"
_HEAD = '''"""What CenterFace's values reach on photos, for bytes. By benchmarks/fit_detector_ranges.py."""

RANGES: dict[str, tuple[float, float]] = {
'''
_SHIFTS = '''
SHIFTS = (
%s)
"""By how much the 15 numbers of a cell are too high on bytes where a face is: heat before the sigmoid, log size (2),
offset (2), landmarks (10)."""
'''


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    paths: list[Path] = parser.parse_args(arguments).photos
    network = split_heads(load_onnx(locate(WEIGHT_FILES["centerface"])))
    assert isinstance(network.trunk, fx.GraphModule)
    side = DetectSettings().long_side
    photos = [_as_batch(shrink(decode(path.read_bytes()).pixels, side)) for path in paths]
    ranges = measure_ranges(network.trunk, photos, convolved_values(network.trunk, _LAST), _SHARE)
    shifts, faces = measure_shifts(network, ranges, photos, DetectSettings().min_confidence)
    _TARGET.write_text(as_module(ranges, shifts))
    print(f"{_TARGET.name}: {len(ranges)} ranges from {len(paths)} photos, shifts from {faces}")


def measure_shifts(
    network: CenterFace, ranges: Ranges, photos: Sequence[Tensor], min_confidence: float
) -> tuple[list[float], int]:
    """Measure by how much the numbers of a cell are higher on bytes: the mean over photos of that over cells of faces.

    Returns:
        (15 differences, number of photos with a face).
    Raises:
        ValueError: if no photo holds a face.
    """
    assert isinstance(network.trunk, fx.GraphModule)
    on_bytes = quantize(network.trunk, ranges)
    differences = []
    with torch.inference_mode():
        for photo in photos:
            expected = network.heads(network.trunk(photo))
            found = network.heads(on_bytes(photo.to(torch.uint8).to(memory_format=torch.channels_last)).float())
            cells = expected[0, 0].sigmoid() >= min_confidence
            if cells.any():
                differences.append((found - expected)[0, :, cells].mean(1))
    if not differences:
        raise ValueError("no face in these photos: shifts are measured at faces")
    return torch.stack(differences).mean(0).tolist(), len(differences)


def as_module(ranges: Ranges, shifts: Sequence[float]) -> str:
    """Write ranges and shifts as the source of a Python module."""
    lines = [f'    "{name}": ({least:.4g}, {greatest:.4g}),\n' for name, (least, greatest) in ranges.items()]
    numbers = [f"    {shift:.4f},\n" for shift in shifts]
    return _HEAD + "".join(lines) + "}\n" + _SHIFTS % "".join(numbers)


def _as_batch(photo: np.ndarray) -> Tensor:
    height, width = (side // 32 * 32 for side in photo.shape[:2])
    return torch.from_numpy(photo[:height, :width].transpose(2, 0, 1)[None].astype(np.float32))


if __name__ == "__main__":
    main()
