"""Claim: a shard, with its checksums, is written and read nearly as fast as a bare array.

python -m benchmarks.shards [--quick] [--json]

MB are those of the embeddings alone (float16 × 128). The files of all contenders lie in the page cache;
waiting for the disk is not CPU time.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contender import Job
from benchmarks.frame import Comparison, Contender
from benchmarks.script import Plan, Settings, run_script

CLAIM = (
    "A shard holds what belongs to a face beside its embedding (id, photo, box, landmarks, confidence, quality), page "
    "checksums and a SHA-256, and is written and read much faster than the obvious Parquet column (a FixedSizeList). "
    "numpy's bare array of embeddings, which checks nothing, shows the floor. MB are those of the embeddings alone."
)
_DIMENSION = 128
_FACES, _QUICK_FACES = 200_000, 50_000


def write_npy(folder: Path) -> Job:
    """Write the embeddings alone."""
    embeddings = np.load(folder / "embeddings.npy")
    return _job(folder, lambda: np.save(folder / "written.npy", embeddings))


def read_npy(folder: Path) -> Job:
    """Read the embeddings alone."""
    return _job(folder, lambda: np.load(folder / "embeddings.npy"))


def write_list_column(folder: Path) -> Job:
    """Write ids, boxes and embeddings as pyarrow's users do at first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    embeddings = np.load(folder / "embeddings.npy")

    def write() -> None:
        column = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), _DIMENSION)
        pq.write_table(pa.table({"face_id": np.arange(len(embeddings)), "embedding": column}), folder / "list.parquet")

    return _job(folder, write)


def read_list_column(folder: Path) -> Job:
    """Read them back into one matrix."""
    import pyarrow.parquet as pq

    write_list_column(folder).run()

    def read() -> np.ndarray:
        column = pq.read_table(folder / "list.parquet").column("embedding").combine_chunks()
        return np.asarray(column.flatten().to_numpy().reshape(-1, _DIMENSION))

    return _job(folder, read)


def write_shard(folder: Path) -> Job:
    """Write a shard as ``visavis index`` does."""
    from embedder import shards

    faces = _faces(np.load(folder / "embeddings.npy"))

    def write() -> None:
        shutil.rmtree(shards.write_shard(folder / "written", [], faces, "benchmark"))

    return _job(folder, write)


def read_shard(folder: Path) -> Job:
    """Read a shard into one matrix and its columns, as every command does."""
    from embedder import shards

    shard = shards.write_shard(folder / "kept", [], _faces(np.load(folder / "embeddings.npy")), "benchmark")
    return _job(folder, lambda: np.asarray(shards.read_face_columns(shard)[1].embeddings))


def _faces(embeddings: np.ndarray) -> Any:
    """Make rows around embeddings: two faces in each photo."""
    from embedder.rows import FaceRows

    count = len(embeddings)
    return FaceRows(
        face_ids=np.arange(1, count + 1),
        photo_ids=[f"{row // 2:032x}" for row in range(count)],
        boxes_xywh=np.tile(np.array([10, 20, 112, 112], np.int32), (count, 1)),
        landmarks=np.ones((count, 5, 2), np.float32),
        confidences=np.ones(count, np.float32),
        qualities=np.ones(count, np.float32),
        embeddings=embeddings,
    )


def _job(folder: Path, run: Callable[[], Any]) -> Job:
    return Job(run, (folder / "embeddings.npy").stat().st_size / 1e6)


_FORMATS = (
    ("numpy .npy", "npy", ("numpy",)),
    ("pyarrow, FixedSizeList of float16", "list_column", ("pyarrow",)),
    ("visavis", "shard", ("pyarrow",)),
)


def _prepare(settings: Settings, folder: Path) -> Plan:
    count = _QUICK_FACES if settings.quick else _FACES
    rows = np.random.default_rng(1).standard_normal((count, _DIMENSION), dtype=np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.save(folder / "embeddings.npy", unit.astype(np.float16))
    comparisons = []
    for action in ("write", "read"):
        contenders = tuple(
            Contender(name, f"benchmarks.shards:{action}_{job}", "visavis" if job == "shard" else "peers", packages)
            for name, job, packages in _FORMATS
        )
        comparisons.append((Comparison(f"{action.title()} {count:,} faces", "MB", contenders), folder))
    return Plan(comparisons)


if __name__ == "__main__":
    run_script("shards", CLAIM, _prepare)
