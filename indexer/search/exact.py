"""Compare every face: on the CPU from float32 rows or from rows that stay where they are, or on GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from embedder.vectors import NotVectors
from indexer.search import faiss_calls
from indexer.search.faiss_calls import Floats, Ints

BLOCK = 65_536
"""Rows that are made float32 at a time: 34 MB with 128 numbers."""


class Embeddings(Protocol):
    """(N, D) unit rows, float32 or float16: an array, or rows in a file that are read when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> np.ndarray: ...


class Rows(Protocol):
    """N rows that can be searched."""

    def nearest(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        """Give (similarities (Q, k), places (Q, k)), best first, place -1 where there are fewer than k rows."""
        ...


def unit_rows(stored: np.ndarray) -> Floats:
    """Give rows (N, D) as float32 unit rows. float16 ones are made unit rows again; float32 ones are trusted."""
    rows = np.ascontiguousarray(stored, np.float32)
    if stored.dtype != np.float16:
        return rows
    with np.errstate(invalid="ignore"):  # infinite numbers become none, and are refused
        lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
        return np.asarray(rows / np.maximum(lengths, np.float32(1e-12)))


def checked_blocks(embeddings: Embeddings) -> Iterator[tuple[int, Floats]]:
    """Yield (first row, unit rows) of embeddings (N, D), a block at a time.

    Raises:
        ValueError: if a row is not a number; it would poison every search.
    """
    for start in range(0, len(embeddings), BLOCK):
        rows = unit_rows(embeddings[start : start + BLOCK])
        _refuse_what_is_no_number(rows, np.arange(start, start + len(rows)))
        yield start, rows


def sample_rows(embeddings: Embeddings, wanted: int, seed: int) -> Floats:
    """Draw ``wanted`` unit rows of embeddings (N, D), or all N: in rising order, none twice.

    Raises:
        ValueError: if one of them is not a number.
    """
    count = len(embeddings)
    drawn = np.sort(np.random.default_rng(seed).choice(count, min(count, wanted), replace=False))
    rows = unit_rows(embeddings[drawn])
    _refuse_what_is_no_number(rows, drawn)
    return rows


def _refuse_what_is_no_number(rows: Floats, numbers: Ints) -> None:
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise NotVectors(
            f"embedding {numbers[bad[0]]} and {len(bad) - 1} more are not numbers: `visavis verify` finds the shard"
        )


class FullRows:
    """Rows in float32: the fastest on the CPU. 512 bytes for a face of 128 numbers."""

    def __init__(self, embeddings: Embeddings) -> None:
        """Take embeddings (N, D); an array of float32 is not copied.

        Raises:
            ValueError: if a row is not a number.
        """
        given = embeddings if isinstance(embeddings, np.ndarray) else None
        kept = given if given is not None and given.dtype == np.float32 and given.flags.c_contiguous else None
        self._rows = np.empty(embeddings.shape, np.float32) if kept is None else kept
        for start, rows in checked_blocks(embeddings):
            if kept is None:
                self._rows[start : start + len(rows)] = rows

    def nearest(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        return faiss_calls.nearest(self._rows, queries, k)


class StoredRows:
    """Rows that stay as they are, in float16 or in a file: no memory but for a block, and slower.

    Every search makes each block float32 again, so that many queries at once cost little more than one.
    """

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings

    def nearest(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        best = faiss_calls.BestRows(len(queries), k)
        everybody = np.arange(len(queries))
        for start, rows in checked_blocks(self._embeddings):
            similarities, places = faiss_calls.nearest(rows, queries, min(k, len(rows)))
            best.offer(everybody, similarities, places + start)
        return best.finish()


def rows_on_gpus(embeddings: Embeddings, gpus: list[int], *, float16: bool) -> Rows:
    """Spread embeddings (N, D) over GPUs.

    Raises:
        ValueError: if a row is not a number.
    """
    blocks = (rows for _, rows in checked_blocks(embeddings))
    return faiss_calls.GpuRows(blocks, embeddings.shape[1], gpus, float16=float16)


def choose_gpus(device: str) -> list[int]:
    """Give the GPUs that ``device`` means: "cpu" none, "auto" all there are, "cuda" all, "cuda:N" one.

    Raises:
        embedder.device.DeviceError: if a GPU is asked for that FAISS does not see, or the name is not one of these.
    """
    count = 0 if device == "cpu" else faiss_calls.gpu_count()
    if device in ("cpu", "auto"):
        return list(range(count))
    kind, _, number = device.partition(":")
    if kind == "cuda" and (number.isdecimal() or not number) and int(number or 0) < count:
        return [int(number)] if number else list(range(count))
    from embedder.device import DeviceError

    raise DeviceError(
        f"--device {device}: FAISS sees {count} GPUs. Use --device cpu, or install faiss-gpu in place of faiss-cpu"
        if kind == "cuda"
        else f"--device {device}: choose auto, cpu, cuda or cuda:N"
    )
