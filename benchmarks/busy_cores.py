"""Measure, by hand: whether `visavis index` keeps all cores busy, and how many photos a second that gives.

    python -m benchmarks.busy_cores [--photos 300] [--large 120] [--times 3] [--data FOLDER] [-- OPTIONS OF INDEX]

Indexes photos of about 1,024 pixels, then JPEGs of 12 megapixels made from them, each in a process of its own with all
cores. Each photo is there several times, with a byte more at its end: another photo to the album. The steady state lies
between the first line of progress and the last one: loading, and the end of the run, when there is nothing left for
some core, are not in it. Wants a machine without other work.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.inputs import DATA, Photos, large_photos, wider_photos
from benchmarks.process_tree import process_tree

_TICKS = os.sysconf("SC_CLK_TCK")
_DONE = re.compile(r"^([\d,]+) of [\d,]+ photos")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both sets, print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--large", type=int, default=120, help="photos of 12 megapixels")
    parser.add_argument("--times", type=int, default=3, help="that each photo is taken")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("options", nargs="*", help="of `visavis index`")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        photos = wider_photos(asked.data, asked.photos, Path(folder) / "small")
        chosen = Photos(photos.paths[: asked.large], photos.source, photos.real)
        for number, kind in enumerate((photos, large_photos(chosen, Path(folder) / "large"))):
            repeated = repeat(kind.paths, asked.times, Path(folder) / f"repeated-{number}")
            found = measure(repeated, Path(folder) / f"album-{number}", asked.options)
            print(json.dumps({"photos": kind.source, **found}), flush=True)


def repeat(paths: Sequence[Path], times: int, folder: Path) -> Path:
    """Write each file several times into a folder, no two alike: JPEGs end before what is added to them."""
    folder.mkdir(parents=True)
    for number, path in enumerate(paths):
        content = path.read_bytes()
        for time_of_it in range(times):
            (folder / f"{time_of_it}-{number:04d}{path.suffix}").write_bytes(content + bytes([time_of_it]))
    return folder


def measure(photos: Path, album: Path, options: Sequence[str]) -> dict[str, float]:
    """Index photos; gives photos a second and the share of the cores' time that was used, in the steady state."""
    command = [sys.executable, "-c", "from indexer.cli import cli; cli()", "index", "--album", str(album), *options]
    process = subprocess.Popen([*command, str(photos)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process.stderr as lines:
        done = (_DONE.match(line) for line in lines)
        seen = [
            (time.monotonic(), int(found[1].replace(",", "")), tree_seconds(process.pid)) for found in done if found
        ]
    if process.wait():
        raise SystemExit(f"visavis index ended with {process.returncode}")
    return steady_state(seen, len(os.sched_getaffinity(0)))


def steady_state(seen: Sequence[tuple[float, int, float]], cores: int) -> dict[str, float]:
    """Compare the first and the last of (time in s, photos done, CPU seconds used).

    Raises:
        ValueError: if there are not two of them at different times.
    """
    if len(seen) < 2 or seen[-1][0] <= seen[0][0]:
        raise ValueError("too few photos: there is no steady state between the first line of progress and the last")
    seconds, photos, used = (last - first for first, last in zip(seen[0], seen[-1], strict=True))
    return {
        "photos_in_steady_state": photos,
        "photos_per_second": round(photos / seconds, 2),
        "cores": cores,
        "busy": round(used / seconds / cores, 3),
    }


def tree_seconds(root: int) -> float:
    """Give the CPU seconds that a process and all that it started have used, those that ended included."""
    return sum(sum(map(int, fields[11:15])) for fields in process_tree(root).values()) / _TICKS


if __name__ == "__main__":
    main()
