"""All that visavis asks of FAISS: arrays in, arrays out. No other module imports it.

Rows and queries are unit rows, so that an inner product is a cosine. A place is the number of a row in
what was given; -1 where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import faiss
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# From so many numbers in the queries on, which is 5 queries of 128, FAISS multiplies matrices. Its own limit is 128,000
# (1.15.1): up to 1,000 queries each reads all rows anew, 11 GFLOP/s where matrices reach 79 (one core). Fewer than 5
# are slower by matrices: one query five times.
faiss.cvar.distance_compute_blas_threshold = 640
# 256 × 1,024 similarities are 1 MB: they are looked through while they are still in the cache (79 GFLOP/s; with FAISS's
# own 4,096 queries 71).
faiss.cvar.distance_compute_blas_query_bs = 256
faiss.cvar.distance_compute_blas_database_bs = 1024

_ROUNDS = 6  # of k-means; more change the share of neighbours found by less than .005
_CODE_SAMPLE = 65_536


def nearest(rows: Floats, queries: Floats, k: int) -> tuple[Floats, Ints]:
    """Compare every query with every row.

    Args:
        rows: (N, D), C order.
        queries: (Q, D).
    Returns:
        (similarities (Q, k), places (Q, k)), best first.
    """
    similarities, places = faiss.knn(queries, rows, k, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(similarities), np.asarray(places)


def train_centroids(sample: Floats, cells: int, *, seed: int) -> Floats:
    """Find ``cells`` directions, (cells, D) unit rows, around which the sample (S, D) gathers: spherical k-means.

    S is at least ``cells``.
    """
    training = faiss.Clustering(sample.shape[1], cells)
    training.niter, training.seed, training.spherical = _ROUNDS, seed, True
    training.min_points_per_centroid = 1
    training.max_points_per_centroid = len(sample)  # no second sample of the sample
    training.train(np.ascontiguousarray(sample, np.float32), faiss.IndexFlatIP(sample.shape[1]))
    return np.array(faiss.vector_to_array(training.centroids).reshape(cells, -1))


class Codes:
    """Rows as codes of four bits for each two numbers, in lists by their nearest centroid.

    A code tells similarity roughly: its answers are candidates, to be compared exactly.
    """

    def __init__(self, index: faiss.IndexIVFPQFastScan) -> None:
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def cells(self) -> int:
        """Number of lists."""
        return int(self._index.nlist)

    @property
    def dimension(self) -> int:
        """Numbers in a row."""
        return int(self._index.d)

    def add(self, rows: Floats) -> None:
        """Add rows (M, D); their places follow those that are there."""
        self._index.add(np.ascontiguousarray(rows, np.float32))

    def candidates(self, queries: Floats, k: int, probes: int, alive: NDArray[np.bool_] | None) -> Ints:
        """Give about the k best places of each query, int64 (Q, k).

        Args:
            probes: how many of the nearest lists are searched.
            alive: bool, one for each row: others are passed over. None: all are.
        """
        how = faiss.SearchParametersIVF(nprobe=min(probes, self.cells))  # type: ignore[call-arg]
        if alive is not None:
            bits = np.packbits(alive, bitorder="little")
            how.sel = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
        return np.asarray(self._index.search(np.ascontiguousarray(queries, np.float32), k, params=how)[1])

    def to_bytes(self) -> bytes:
        """Give the content of a file."""
        return bytes(faiss.serialize_index(self._index))


def make_codes(centroids: Floats, sample: Floats) -> Codes:
    """Make codes without a row yet, fitted to a sample (S, D), S at least 16."""
    cells, dimension = centroids.shape
    coarse = faiss.IndexFlatIP(dimension)
    coarse.add(centroids)
    parts = dimension // 2 if dimension % 2 == 0 else dimension
    index = faiss.IndexIVFPQFastScan(coarse, dimension, cells, parts, 4, faiss.METRIC_INNER_PRODUCT)
    index.pq.cp.min_points_per_centroid = 1
    # Codes of what is left after taking off the centroid find no more, and are searched half as fast.
    index.by_residual = False
    index.train(np.ascontiguousarray(sample[:_CODE_SAMPLE], np.float32))
    return Codes(index)


def codes_from_bytes(content: bytes) -> Codes:
    """Read what ``Codes.to_bytes`` gave. FAISS trusts these bytes: whoever calls this has checked them."""
    index = faiss.deserialize_index(np.frombuffer(content, np.uint8))  # what downcast_index gave would not own it
    assert isinstance(index, faiss.IndexIVFPQFastScan)  # the checksum says that we wrote it
    return Codes(index)


class BestRows:
    """The k best of all that is offered to each of Q queries, piece by piece."""

    def __init__(self, queries: int, k: int) -> None:
        self._heaps = faiss.ResultHeap(queries, k, keep_max=True)

    def offer(self, queries: Ints, similarities: Floats, places: Ints) -> None:
        """Offer the places (M,) to some queries (S,), which have these similarities (S, M) with them."""
        self._heaps.add_result_subset(queries, similarities, places)

    def finish(self) -> tuple[Floats, Ints]:
        """Give (similarities (Q, k), places (Q, k)), best first."""
        self._heaps.finalize()
        return np.asarray(self._heaps.D), np.asarray(self._heaps.I)


def gpu_count() -> int:
    """How many GPUs FAISS sees. 0 with the package faiss-cpu."""
    return int(faiss.get_num_gpus())


class GpuRows:
    """Rows spread over GPUs, compared exactly. Not run on a GPU so far: tests put something else in its place."""

    def __init__(self, blocks: Iterable[Floats], dimension: int, gpus: Sequence[int], *, float16: bool) -> None:
        """Take rows block by block, as a whole index in memory, and move that: FAISS adds nothing to a spread one."""
        index = faiss.IndexFlatIP(dimension)
        for rows in blocks:
            index.add(rows)
        options = faiss.GpuMultipleClonerOptions()
        options.shard, options.useFloat16 = True, float16
        self._index = faiss.index_cpu_to_gpus_list(index, co=options, gpus=list(gpus))

    def nearest(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """Compare every query with every row: as ``nearest``."""
        similarities, places = self._index.search(np.ascontiguousarray(queries, np.float32), k)
        return np.asarray(similarities), np.asarray(places)
