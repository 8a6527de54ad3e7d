"""Embeddings as they are stored, seen as one matrix without being copied into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

_BLOCK = 1 << 16  # rows that are copied at once


class NotVectors(ValueError):
    """Embeddings that are no unit vectors of numbers, so that nothing can be compared with them. Says which."""


class Part(Protocol):
    """Rows of a matrix that come from one place: an array, or a file whose rows are checked when they are read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, D)."""
        ...

    def __getitem__(self, rows: Any) -> np.ndarray: ...


class Vectors:
    """N embeddings of D numbers as they are stored, float16; indexing with an int, a slice or an array reads rows."""

    def __init__(self, parts: Sequence[Part], dimension: int, rows: np.ndarray | None = None) -> None:
        """See parts as one matrix.

        Args:
            parts: matrices of float16, ``dimension`` wide, one below the other.
            dimension: numbers in an embedding.
            rows: int64 (N,), which rows of all parts to see, in this order; all of them if None.
        """
        self._parts = [part for part in parts if part.shape[0]]
        self._starts = np.cumsum([0] + [part.shape[0] for part in self._parts])
        self._dimension = dimension
        self._rows = rows

    def __len__(self) -> int:
        return int(self._starts[-1]) if self._rows is None else len(self._rows)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return len(self), self._dimension

    def select(self, rows: np.ndarray) -> Vectors:
        """See only these rows (int64), in this order; nothing is read yet."""
        return Vectors(self._parts, self._dimension, rows if self._rows is None else self._rows[rows])

    def __getitem__(self, index: int | slice | np.ndarray | Sequence[int]) -> np.ndarray:
        """Read rows: float16 (D,) for one, (M, D) for more."""
        if isinstance(index, int | np.integer):
            return np.asarray(self._read(np.array([range(len(self))[int(index)]]))[0])
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1 and self._rows is None:
                return self._run(start, max(start, stop))
            return self._read(np.arange(start, stop, step))
        wanted = np.asarray(index)
        wanted = np.flatnonzero(wanted) if wanted.dtype == bool else wanted.astype(np.int64)
        return self._read(np.where(wanted < 0, wanted + len(self), wanted))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.empty(self.shape, np.float16 if dtype is None else dtype)
        for start in range(0, len(self), _BLOCK):
            whole[start : start + _BLOCK] = self[start : start + _BLOCK]
        return whole

    def _run(self, start: int, stop: int) -> np.ndarray:
        """Read rows that follow each other; without a copy if they lie in one part."""
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        found = []
        for part, at in zip(self._parts[first:], self._starts[first:-1].tolist(), strict=True):
            if at >= stop:
                break
            found.append(part[max(start - at, 0) : stop - at])
        if len(found) == 1:
            return found[0]
        return np.concatenate([np.empty((0, self._dimension), np.float16), *found])

    def _read(self, rows: np.ndarray) -> np.ndarray:
        rows = rows if self._rows is None else self._rows[rows]
        if len(self._parts) == 1:
            return self._parts[0][rows]
        found = np.empty((len(rows), self._dimension), np.float16)
        which = np.searchsorted(self._starts, rows, side="right") - 1
        for part in np.unique(which).tolist():
            places = np.flatnonzero(which == part)
            found[places] = self._parts[part][rows[places] - self._starts[part]]
        return found


class UnitRows:
    """The same embeddings as float32 rows of unit length, made so when they are read. What is not a number stays so."""

    def __init__(self, stored: Vectors) -> None:
        self._stored = stored

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, D)."""
        return self._stored.shape

    def __getitem__(self, index: int | slice | np.ndarray | Sequence[int]) -> np.ndarray:
        """Read rows: float32 (D,) for one, (M, D) for more."""
        rows = self._stored[index].astype(np.float32)
        lengths = np.sqrt(np.einsum("...d,...d->...", rows, rows))[..., None]
        with np.errstate(invalid="ignore"):  # a row with an infinite number becomes one that is no number
            return np.asarray(rows / np.maximum(lengths, np.float32(1e-12)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.empty(self.shape, np.float32 if dtype is None else dtype)
        for start in range(0, len(self), _BLOCK):
            whole[start : start + _BLOCK] = self[start : start + _BLOCK]
        return whole
