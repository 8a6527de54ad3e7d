"""Measure, by hand: the memory of `visavis index` does not grow with the archive.

    python -m benchmarks.memory [--photos 2000 100000] [--folder DIR]

Generates that many photos of 64×64 pixels, every tenth with a face, no two alike; indexes each set into a new album in
a process of its own; and prints the peak of that process and of all it started, read from /proc five times a second.
Shared pages count once for each process (RSS), so the true figure is lower.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.process_tree import process_tree

_EVERY = 0.2  # seconds between two looks
_SIDE = 64
_PAGE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure each set in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[2_000, 100_000])
    parser.add_argument("--folder", type=Path, help="where photos and albums are made; a temporary one by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for count in asked.photos:
            photos = Path(folder) / f"photos-{count}"
            make_photos(photos, count)
            print(json.dumps(measure(photos, Path(folder) / f"album-{count}", count)), flush=True)


def make_photos(folder: Path, count: int) -> None:
    """Write photos, a thousand in each folder; photo n is the same in every set."""
    import cv2
    import skimage.data

    face = cv2.resize(skimage.data.astronaut()[10:230, 110:330, ::-1], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    for number in range(count):
        chance = np.random.default_rng(number)
        if number % 10:
            picture = np.full((_SIDE, _SIDE, 3), chance.integers(0, 256, 3), np.uint8)
        else:
            picture = np.clip(face.astype(int) + chance.integers(-6, 7, face.shape), 0, 255).astype(np.uint8)
        picture[:2, :8] = (number >> np.arange(16).reshape(2, 8, 1) & 1) * 255
        path = folder / f"{number // 1000:04d}" / f"{number:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)


def measure(photos: Path, album: Path, count: int) -> dict[str, object]:
    """Index a folder and watch what it takes: peaks in MB."""
    command = [sys.executable, "-c", "from indexer.cli import cli; cli()", "index", "--json"]
    command += ["--album", str(album), str(photos)]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
    whole, own, workers = 0.0, 0.0, 0.0
    course: list[int] = []
    while process.poll() is None:
        used = tree_memory(process.pid)
        whole = max(whole, sum(used))
        own, workers = max(own, used[0]), max([workers, *used[1:]])
        if time.monotonic() - started > 30 * (len(course) + 1):
            course.append(round(sum(used)))
        time.sleep(_EVERY)
    answer = process.stdout.read() if process.stdout is not None else ""
    if process.returncode:
        raise SystemExit(f"visavis index ended with {process.returncode}")
    found = json.loads(answer)
    peaks = {"peak_mb": round(whole), "main_peak_mb": round(own), "worker_peak_mb": round(workers)}
    about = {"photos": count, "faces": found["faces"], "seconds": round(time.monotonic() - started)}
    return {**about, **peaks, "every_30_s": course[:: max(1, len(course) // 20)]}


def tree_memory(root: int) -> list[float]:
    """Give the resident MB of a process, then those of all that it started."""
    return [_resident(process) for process in process_tree(root)] or [0.0]


def _resident(process: int) -> float:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE / 1e6
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


if __name__ == "__main__":
    main()
