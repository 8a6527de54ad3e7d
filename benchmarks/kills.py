"""Check, by hand: a run that is killed at any moment goes on to the same rows, and leaves nothing behind.

    python -m benchmarks.kills [--kills 100] [--photos 80] [--seed 0]

Indexes small generated photos once without a disturbance. Then, over and over, into a new album: all processes of a
run are killed (SIGKILL) at a random moment, once or twice, and the same command is run to its end. Its rows must be
those of the first run to the last bit, `visavis verify --repair` must find the album whole afterwards, and no
temporary file may be left. Exit code 1 if any of it fails.

Shards are closed after 8 photos, so that many moments lie within the writing of one. Runs are forks of a process that
has loaded the libraries: what is killed is the work, not the import of torch.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.memory import make_photos

_SHARD_PHOTOS, _CHUNK_PHOTOS = 8, 4


def main() -> int:
    """Kill, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--photos", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    _load()
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        make_photos(photos, asked.photos)
        started = time.monotonic()
        _require(run(["index", "--album", f"{folder}/whole", str(photos)]) == 0, "the first run failed")
        took, expected = time.monotonic() - started, rows(Path(folder) / "whole")
        found: Counter[str] = Counter()
        while found["kills"] < asked.kills:
            album = Path(folder) / f"album-{found['albums']}"
            for _ in range(min(chance.choice([1, 1, 2]), asked.kills - found["kills"])):
                code = run(["index", "--album", str(album), str(photos)], kill_after=chance.uniform(0, took))
                found["kills" if code == -signal.SIGKILL else "ended first"] += 1
                _count_state(album, found)
            found["albums"] += 1
            _finish(album, photos, expected)
            print(json.dumps(dict(found)), flush=True)
    return 0


def _finish(album: Path, photos: Path, expected: list[object]) -> None:
    _require(run(["index", "--album", str(album), str(photos)]) == 0, f"{album}: the run does not go on")
    _require(rows(album) == expected, f"{album}: rows differ from those of a run in one go")
    _require(run(["verify", "--repair", "--album", str(album)]) == 0, f"{album}: verify --repair finds it damaged")
    left = [str(path) for path in album.rglob("*") if ".tmp-" in path.name]
    _require(left == [], f"{album}: left behind: {left}")


def _count_state(album: Path, found: Counter[str]) -> None:
    """Count in which state a kill left the album, to see that the moments were various."""
    if not (album / "album.json").exists():
        found["before the album"] += 1
    else:
        shards = len(list((album / "shards").glob("0*")))
        found["no shard yet" if not shards else "some shards"] += 1
    found["leftovers"] += any(".tmp-" in path.name for path in album.rglob("*")) if album.exists() else 0


def _load() -> None:
    """Import what a run needs, and close shards early."""
    import torch

    import embedder.decode_pool
    import embedder.model
    import embedder.pipeline
    import indexer.cli

    del torch, embedder.decode_pool, embedder.model, indexer.cli
    embedder.pipeline.EmbedSettings = functools.partial(  # type: ignore[misc, assignment]
        embedder.pipeline.EmbedSettings, shard_photos=_SHARD_PHOTOS, chunk_photos=_CHUNK_PHOTOS
    )


def run(arguments: list[str], kill_after: float | None = None) -> int:
    """Run `visavis` in a fork with a process group of its own; give its exit code, or minus the signal."""
    child = os.fork()
    if not child:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        from indexer.cli import cli

        try:
            cli(arguments)
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def rows(album: Path) -> list[object]:
    """Every photo row and face row of an album, in an order of their own."""
    from embedder.shards import list_shards, read_faces, read_photos

    photos, faces = [], []
    for shard in list_shards(album / "shards"):
        photos += read_photos(shard)
        columns = vars(read_faces(shard)).values()
        faces += zip(*(c.tolist() if isinstance(c, np.ndarray) else c for c in columns), strict=True)
    return [*sorted(photos, key=lambda row: row.path), *sorted(faces)]


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise SystemExit(f"FAILED: {otherwise}")


if __name__ == "__main__":
    sys.exit(main())
