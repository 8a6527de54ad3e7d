"""Measure the ranges that CenterFace's values have on photos, and write them as embedder/centerface_ranges.py.

python -m benchmarks.fit_detector_ranges PHOTO...

Not a benchmark: to be run when the detector's weights change. Needs some dozen photos with faces.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from embedder.decode import decode
from embedder.detect import shrink
from embedder.int8 import Ranges, convolved_values, measure_ranges
from embedder.pretrained import WEIGHT_FILES, locate
from trainer.onnx_graph import fuse_batch_norm, load_onnx

_LONG_SIDE = 512
_SHARE = 0.9999  # of a value's numbers on one photo; the rest is cut off
_LAST = "conv_94"  # of the backbone; what comes after makes boxes and takes little time
_TARGET = Path(__file__).parents[1] / "embedder" / "centerface_ranges.py"
_HEAD = '''"""What CenterFace's values reach on photos, for ``embedder.int8``. By benchmarks/fit_detector_ranges.py."""

RANGES: dict[str, tuple[float, float]] = {
'''


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", type=Path)
    paths: list[Path] = parser.parse_args(arguments).photos
    network = fuse_batch_norm(load_onnx(locate(WEIGHT_FILES["centerface"])))
    photos = [_as_batch(shrink(decode(path.read_bytes()).pixels, _LONG_SIDE)) for path in paths]
    ranges = measure_ranges(network, photos, convolved_values(network, _LAST), _SHARE)
    _TARGET.write_text(as_module(ranges))
    print(f"{_TARGET.name}: {len(ranges)} ranges from {len(paths)} photos")


def as_module(ranges: Ranges) -> str:
    """Write ranges as the source of a Python module."""
    lines = [f'    "{name}": ({least:.4g}, {greatest:.4g}),\n' for name, (least, greatest) in ranges.items()]
    return _HEAD + "".join(lines) + "}\n"


def _as_batch(photo: np.ndarray) -> torch.Tensor:
    height, width = (side // 32 * 32 for side in photo.shape[:2])
    return torch.from_numpy(photo[:height, :width].transpose(2, 0, 1)[None].astype(np.float32))


if __name__ == "__main__":
    main()
