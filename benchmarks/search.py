"""Claim: who a face is most like is answered many times faster than by comparing with all, as peers do.

python -m benchmarks.search [--quick] [--json]

The faces are synthetic (``benchmarks.synthetic``), calibrated on SFace's embeddings of LFW; queries are
faces of the same people that are not in the index.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.contender import Job
from benchmarks.frame import Comparison, Contender
from benchmarks.script import Plan, Settings, run_script

CLAIM = (
    "visavis finds the most similar of all faces, exactly, many times faster than face_recognition's compare loop, one "
    "query at a time and in batches, and comes near to what the machine can do: a query cannot be answered faster than "
    "the faces are read from memory, nor a batch faster than matrices are multiplied. The approximate indexes show "
    "what exactness costs: their agreement is the share of queries whose best face is the same as by exact search; "
    "building them is not counted, but stated."
)
_SIZES, _QUICK_SIZES = (100_000, 1_000_000), (20_000, 100_000)
_QUERIES = 256

# For queries (Q, D): the row of the most similar face of each.
_Search = Callable[[np.ndarray], np.ndarray]


def face_recognition(folder: Path) -> Job:
    """Compare with a list of encodings, as the command line does for each face."""
    from face_recognition import face_distance

    known = list(np.load(folder / "faces.npy").astype(np.float64))
    return _job(folder, lambda one: np.array([face_distance(known, one[0]).argmin()]), queries=4, at_once=1)


def numpy_product(folder: Path) -> Job:
    """Compare with a matrix of float32 unit rows by one product."""
    known = np.load(folder / "faces.npy")
    return _job(folder, lambda one: np.array([(known @ one[0]).argmax()]), queries=32, at_once=1)


def visavis(folder: Path, at_once: str) -> Job:
    """Search as every command does; queries one by one or many at once."""
    from indexer.search.face_index import exact_index

    index = exact_index(np.load(folder / "faces.npy"))
    queries = 32 if at_once == "1" else _QUERIES
    return _job(folder, lambda some: index.search(some, 1)[1][:, 0], queries=queries, at_once=int(at_once))


def reading(folder: Path) -> Job:
    """Read every number of every face once, in pairs, by the fastest of numpy's sums and extremes."""
    faces = np.load(folder / "faces.npy")
    pairs = faces.view(np.float64)
    return Job(lambda: [pairs.max() for _ in range(8)], 8, lambda: pairs[:1000].max())


def multiplying(folder: Path) -> Job:
    """Multiply two large square matrices of float32, as much work as the products of so many queries."""
    rows, numbers = np.load(folder / "faces.npy", mmap_mode="r").shape
    square = np.random.default_rng(0).standard_normal((2048, 2048), dtype=np.float32)
    return Job(
        lambda: [square @ square for _ in range(4)], 4 * len(square) ** 3 / (rows * numbers), lambda: square @ square
    )


def faiss_inverted_file(folder: Path) -> Job:
    """Search the 16 nearest of 4 √N cells."""
    import faiss

    faces = np.load(folder / "faces.npy")
    started = time.process_time()
    cells = int(4 * len(faces) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(faces.shape[1]), faces.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
    index.train(faces[:: max(1, len(faces) // (64 * cells))])
    index.add(faces)
    index.nprobe = 16
    return _job(folder, lambda one: index.search(one, 1)[1][:, 0], started=started)


def hnswlib(folder: Path) -> Job:
    """Search hnswlib's graph."""
    import hnswlib

    faces = np.load(folder / "faces.npy")
    started = time.process_time()
    index = hnswlib.Index(space="ip", dim=faces.shape[1])
    index.init_index(max_elements=len(faces), ef_construction=100, M=16)
    index.add_items(faces, num_threads=1)
    index.set_ef(64)
    return _job(folder, lambda one: index.knn_query(one, k=1, num_threads=1)[0][:, 0], started=started)


def usearch(folder: Path) -> Job:
    """Search usearch's graph."""
    from usearch.index import Index

    faces = np.load(folder / "faces.npy")
    started = time.process_time()
    index = Index(ndim=faces.shape[1], metric="ip", connectivity=16, expansion_add=100, expansion_search=64)
    index.add(np.arange(len(faces)), faces, threads=1)
    return _job(folder, lambda one: np.array([index.search(one[0], 1, threads=1).keys[0]]), started=started)


def _job(
    folder: Path, search: _Search, *, queries: int = _QUERIES, at_once: int = 1, started: float | None = None
) -> Job:
    """Make a job that asks ``queries`` queries; ``started``: CPU time when building the index began."""
    build_seconds = {} if started is None else {"build CPU s": round(time.process_time() - started)}
    faces = np.load(folder / "queries.npy")[:queries]
    best = np.load(folder / "best.npy")[:queries]
    blocks = [faces[i : i + at_once] for i in range(0, queries, at_once)]

    def judge(found: list[np.ndarray]) -> dict[str, float]:
        return {"agreement": float(np.mean(np.concatenate(found) == best)), **build_seconds}

    return Job(lambda: [search(block) for block in blocks], queries, lambda: search(blocks[0]), judge)


OURS_ONE_QUERY = Contender("visavis, one query", "benchmarks.search:visavis", "visavis", ("faiss-cpu",), argument="1")
_EXACT = (
    Contender("face_recognition's loop", "benchmarks.search:face_recognition", packages=("face_recognition", "numpy")),
    Contender("numpy, product with a matrix", "benchmarks.search:numpy_product", packages=("numpy",)),
    OURS_ONE_QUERY,
    Contender("visavis, 256 at once", "benchmarks.search:visavis", "visavis", ("faiss-cpu",), argument="256"),
    Contender("limit for one query: reading", "benchmarks.search:reading", "visavis", ("numpy",)),
    Contender("limit for many: multiplying", "benchmarks.search:multiplying", "visavis", ("numpy",)),
)
INVERTED_FILE = Contender("FAISS IVFFlat, 16 cells", "benchmarks.search:faiss_inverted_file", packages=("faiss-cpu",))
APPROXIMATE = (
    INVERTED_FILE,
    Contender("hnswlib, ef 64", "benchmarks.search:hnswlib", packages=("hnswlib",)),
    Contender("usearch, expansion 64", "benchmarks.search:usearch", packages=("usearch",)),
)


def _prepare(settings: Settings, folder: Path) -> Plan:
    small, large = _QUICK_SIZES if settings.quick else _SIZES
    comparisons = []
    for size, contenders in ((small, _EXACT + APPROXIMATE), (large, _EXACT)):
        inputs = folder / str(size)
        inputs.mkdir()
        write_faces(inputs, size)
        comparisons.append((Comparison(f"{size:,} synthetic faces × 128", "query", contenders), inputs))
    return Plan(
        comparisons,
        [f"approximate search of {large:,} faces: `python -m benchmarks.search_large`"],
    )


def write_faces(folder: Path, size: int) -> None:
    """Write ``size`` faces, queries of the same people, and the exact answers."""
    from benchmarks.synthetic import face_blocks, read_calibration

    blocks = face_blocks(read_calibration(), size + _QUERIES, seed=1)
    rows = np.concatenate([block.embeddings for block in blocks])
    asked = np.random.default_rng(2).permutation(len(rows)) < _QUERIES
    faces, queries = rows[~asked], rows[asked]
    np.save(folder / "faces.npy", faces)
    np.save(folder / "queries.npy", queries)
    np.save(folder / "best.npy", _most_similar(faces, queries))


def _most_similar(faces: np.ndarray, queries: np.ndarray) -> np.ndarray:
    from indexer.search.face_index import exact_index

    return exact_index(faces).search(queries, 1)[1][:, 0]


if __name__ == "__main__":
    run_script("search", CLAIM, _prepare)
