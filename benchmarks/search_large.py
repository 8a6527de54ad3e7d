"""Claim: beyond exact search the same people are found, many times faster. Takes long; started by hand.

python -m benchmarks.search_large [--quick] [--json]

The faces are synthetic (``benchmarks.synthetic``), calibrated on SFace's embeddings of LFW, and lie in a float16
file that is mapped, as those of an album do. Queries are faces of the same people that are not in the index.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.contender import Job, cpu_seconds, peak_rss_bytes
from benchmarks.frame import Comparison, Contender
from benchmarks.script import Plan, Settings, run_script
from benchmarks.search import INVERTED_FILE

CLAIM = (
    "Beyond 200,000 faces visavis searches some of the cells into which it sorts them, and finds the same people many "
    "times faster than by exact search. Identity: share of queries whose first neighbour is the same face as by exact "
    "search, or another of the same person, or in both answers less similar than nine in ten strangers' best, so that "
    "nobody would be recognised. Agreement: share for which it is the same face. Building is not counted, but stated; "
    "peak memory includes the pages of the mapped file, own memory does not."
)
_SIZES, _QUICK_SIZES = (1_000_000, 10_000_000), (50_000,)
_EXACT_IN_MEMORY = 2_000_000  # more faces than these are compared exactly as they are stored, in float16
_QUERIES, _ADDED = 2_048, 1_000


def exact(folder: Path, at_once: str) -> Job:
    """Compare with every face, in float32."""
    from indexer.search.face_index import exact_index

    index = exact_index(np.load(folder / "stored.npy", mmap_mode="r"))
    return _job(folder, lambda some: index.search(some, 1), int(at_once), queries=16 if at_once == "1" else 512)


def exact_stored(folder: Path, at_once: str) -> Job:
    """Compare with every face as it is stored."""
    from indexer.search.exact import StoredRows

    rows = StoredRows(np.load(folder / "stored.npy", mmap_mode="r"))
    return _job(folder, lambda some: rows.nearest(some, 1), int(at_once), queries=256)


def cells(folder: Path, at_once: str) -> Job:
    """Search as every command does in a large album."""
    from indexer.search.base_files import read_base
    from indexer.search.face_index import index_with_base, place_base

    stored = np.load(folder / "stored.npy", mmap_mode="r")
    started = time.process_time()
    base = read_base(folder / "index", "synthetic")
    assert base is not None
    index = index_with_base(stored, place_base(base, np.arange(len(stored))))
    opened = time.process_time() - started
    started = time.process_time()
    more = np.arange(len(stored) + _ADDED)  # as many new faces as an evening's photos
    index_with_base(_Longer(stored), place_base(base, more))
    about = {"opened, CPU s": opened, "1,000 added, CPU s": time.process_time() - started}
    about |= json.loads((folder / "build.json").read_text())
    return _job(folder, lambda some: index.search(some, 1), int(at_once), queries=512, about=about)


class _Longer:
    """Embeddings followed by the first of them again, as new faces."""

    def __init__(self, stored: np.ndarray) -> None:
        self._stored = stored
        self.shape = (len(stored) + _ADDED, stored.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self._stored[rows % len(self._stored)])


def _job(
    folder: Path,
    search: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    at_once: int,
    *,
    queries: int,
    about: dict[str, float] | None = None,
) -> Job:
    """Make a job that asks ``queries`` queries, ``at_once`` at a time; all are asked to judge the answers."""
    from indexer.search.tuning import identity_agreement

    asked, answers = np.load(folder / "queries.npy"), np.load(folder / "answers.npz")
    blocks = [asked[i : i + at_once] for i in range(0, queries, at_once)]

    def judge(found: object) -> dict[str, float]:
        checked = len(asked) if about else queries
        similarities, rows = search(asked[:checked])
        first = answers["similarities"][:checked], answers["rows"][:checked]
        identity = identity_agreement(
            first, (similarities[:, 0], rows[:, 0]), answers["people"], float(answers["floor"])
        )
        agreement = float(np.mean(first[1] == rows[:, 0]))
        return {"identity": identity, "agreement": agreement, "own memory, MB": _own_megabytes(), **(about or {})}

    return Job(lambda: [search(block) for block in blocks], queries, lambda: search(blocks[0]), judge)


def _own_megabytes() -> int:
    """Resident memory that is not a page of a file; such pages are given back when memory is short. Linux only."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return round(int(lines["RssAnon"].split()[0]) / 1000)


def _prepare(settings: Settings, folder: Path) -> Plan:
    comparisons = []
    for size in _QUICK_SIZES if settings.quick else _SIZES:
        inputs = folder / str(size)
        inputs.mkdir()
        one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        program = (
            f"from pathlib import Path; from benchmarks.search_large import make; make(Path({str(inputs)!r}), {size})"
        )
        subprocess.run([sys.executable, "-c", program], env={**os.environ, **one_thread}, check=True)
        comparisons.append((Comparison(f"{size:,} synthetic faces × 128", "query", _contenders(size)), inputs))
    left_out = ["hnswlib, stopped after eight CPU minutes of building a graph of a million faces, and usearch"]
    return Plan(comparisons, left_out)


def _contenders(size: int) -> tuple[Contender, ...]:
    def ours(name: str, job: str, at_once: int) -> Contender:
        return Contender(name, f"benchmarks.search_large:{job}", "visavis", ("faiss-cpu",), argument=str(at_once))

    in_cells = ours("visavis, one query", "cells", 1), ours("visavis, 256 at once", "cells", 256)
    if size > _EXACT_IN_MEMORY:
        return (ours("exact search from float16, 256 at once", "exact_stored", 256), *in_cells)
    exactly = ours("exact search, one query", "exact", 1), ours("exact search, 256 at once", "exact", 256)
    return (*exactly, *in_cells, INVERTED_FILE)


def make(folder: Path, size: int) -> None:
    """Write ``size`` faces, queries of the same people with their exact answers, and the index; one thread."""
    from indexer.search.base_files import write_base
    from indexer.search.cells import build_base

    people, asked_people = _write_faces(folder, size)
    stored = np.load(folder / "stored.npy", mmap_mode="r")
    floor = _write_answers(folder, stored, people, asked_people)
    started = cpu_seconds()
    base = build_base(stored, np.arange(size), people, floor=floor)
    write_base(folder / "index", base, "synthetic")
    about = {
        "build CPU s": round(cpu_seconds() - started),
        "build peak MB": round(peak_rss_bytes() / 1e6),
        "index MB": round(sum(path.stat().st_size for path in (folder / "index").iterdir()) / 1e6),
        "cells": base.codes.cells,
        "searched": base.tuning.probes,
    }
    (folder / "build.json").write_text(json.dumps(about))


def _write_faces(folder: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Write the faces block by block, and the queries; give the people of the faces and of the queries."""
    from benchmarks.synthetic import face_blocks, read_calibration

    asked = np.zeros(size + _QUERIES, bool)
    asked[np.random.default_rng(2).choice(size + _QUERIES, _QUERIES, replace=False)] = True
    stored = np.lib.format.open_memmap(folder / "stored.npy", "w+", np.float16, (size, 128))
    people, queries, asked_people, start, place = np.empty(size, np.int64), [], [], 0, 0
    for block in face_blocks(read_calibration(), size + _QUERIES, seed=1):
        here = asked[start : start + len(block.people)]
        queries.append(block.embeddings[here])
        asked_people.append(block.people[here])
        kept = slice(place, place + int((~here).sum()))
        stored[kept], people[kept] = block.embeddings[~here], block.people[~here]
        start, place = start + len(here), kept.stop
    stored.flush()
    np.save(folder / "queries.npy", np.concatenate(queries))
    if size <= _EXACT_IN_MEMORY:  # for those who know nothing of stored rows
        np.save(folder / "faces.npy", np.asarray(stored, np.float32))
    return people, np.concatenate(asked_people)


def _write_answers(folder: Path, stored: np.ndarray, people: np.ndarray, asked_people: np.ndarray) -> float:
    """Write the exact answers; give the similarity that one in ten faces reaches with another person."""
    from indexer.search.exact import StoredRows

    queries = np.load(folder / "queries.npy")
    similarities, rows = StoredRows(stored).nearest(queries, 64)
    strangers = np.where(people[rows] != asked_people[:, None], similarities, -1).max(axis=1)
    floor = float(np.quantile(strangers, 0.9))
    first = {"similarities": similarities[:, 0], "rows": rows[:, 0]}
    np.savez(folder / "answers.npz", **first, people=people, floor=floor)
    np.save(folder / "best.npy", rows[:, 0])
    return floor


if __name__ == "__main__":
    run_script("search_large", CLAIM, _prepare)
