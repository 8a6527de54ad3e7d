"""The index of faces: exact, or a base in cells with what is new since then and without what is gone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexer.search.cells import Base, compare_candidates
from indexer.search.exact import Embeddings, FullRows, Rows, StoredRows, choose_gpus, rows_on_gpus, unit_rows
from indexer.search.faiss_calls import Floats, Ints

EXACT_FACES = 200_000
"""Up to so many faces exact search needs no base. Measured at this number, one core: see docs/design.md."""
_BLOCK = 4096  # queries in one call: bounds the memory of the answers
_MOST_CANDIDATES = 1024  # who wants more neighbours than this is answered by exact search


@dataclass(frozen=True)
class PlacedBase:
    """A base seen from an archive.

    Attributes:
        base: faces in cells.
        rows: int64 (B,), the archive's row of each; -1 for a face that is gone.
        tail: int64 (T,), the archive's rows that the base does not have.
    """

    base: Base
    rows: Ints
    tail: Ints

    @property
    def gone(self) -> int:
        """How many faces of the base the archive no longer has."""
        return int((self.rows < 0).sum())


def place_base(base: Base, face_ids: Ints) -> PlacedBase:
    """Find the faces of a base in an archive of other faces, (N,) face_ids, each once."""
    if np.array_equal(base.face_ids, face_ids):
        return PlacedBase(base, np.arange(len(face_ids)), np.empty(0, np.int64))
    rows = np.full(len(base.face_ids), -1, np.int64)
    if len(face_ids):
        order = np.argsort(face_ids, kind="stable")
        places = np.minimum(np.searchsorted(face_ids, base.face_ids, sorter=order), len(order) - 1)
        found = order[places]
        here = face_ids[found] == base.face_ids
        rows[here] = found[here]
    new = np.ones(len(face_ids), bool)
    new[rows[rows >= 0]] = False
    return PlacedBase(base, rows, np.flatnonzero(new))


class FaceIndex:
    """N faces; the rows of answers are numbered as the faces were given.

    Attributes:
        description: how it searches, for people to read.
    """

    def __init__(
        self, embeddings: Embeddings, rows: Rows | None, description: str, placed: PlacedBase | None = None
    ) -> None:
        """Search embeddings (N, D).

        Args:
            rows: those that are compared one and all: every face, or the tail of ``placed``. None: read when needed.
            description: how it searches.
            placed: the faces that are searched in cells.
        """
        self.description = description
        self._embeddings = embeddings
        self._rows = rows
        self._placed = placed
        self._alive = None if placed is None or not placed.gone else placed.rows >= 0

    def __len__(self) -> int:
        return len(self._embeddings)

    def search(self, embeddings: np.ndarray, k: int) -> tuple[Floats, Ints]:
        """Find the k most similar faces of each query.

        Args:
            embeddings: float32 (Q, D), unit rows.
            k: at least 1.
        Returns:
            (similarities float32 (Q, k), rows int64 (Q, k)), best first; row −1 and similarity −1
            where the index has fewer than k faces.
        Raises:
            ValueError: if an embedding is not a number, which no search could answer.
        """
        if not np.isfinite(embeddings).all():
            raise ValueError("a query embedding holds values that are not numbers")
        similarities = np.full((len(embeddings), k), -1, np.float32)
        rows = np.full((len(embeddings), k), -1, np.int64)
        if not len(self):
            return similarities, rows
        for start in range(0, len(embeddings), _BLOCK):
            block = slice(start, start + _BLOCK)
            found, numbers = self._search_block(np.ascontiguousarray(embeddings[block], np.float32), k)
            there = numbers >= 0
            similarities[block][there], rows[block][there] = found[there], numbers[there]
        return similarities, rows

    def _search_block(self, queries: Floats, k: int) -> tuple[Floats, Ints]:
        placed = self._placed
        if placed is None:
            return self._all_rows().nearest(queries, k)
        if k > _MOST_CANDIDATES:
            return StoredRows(self._embeddings).nearest(queries, k)
        found = self._search_cells(placed, queries, k)
        if not len(placed.tail):
            return found
        values, places = self._all_rows().nearest(queries, min(k, len(placed.tail)))
        return _merge([found, (values, np.where(places >= 0, placed.tail[places], -1))], k)

    def _search_cells(self, placed: PlacedBase, queries: Floats, k: int) -> tuple[Floats, Ints]:
        tuning = placed.base.tuning
        look = tuning.first_look
        if look is None:
            return self._compare_cells(placed, queries, k, (tuning.probes, tuning.candidates))
        similarities, rows = self._compare_cells(placed, queries, k, (look.probes, look.candidates))
        unsure = np.flatnonzero(similarities[:, -1] <= look.sure)
        if len(unsure):
            more = self._compare_cells(placed, queries[unsure], k, (tuning.probes, tuning.candidates))
            similarities[unsure], rows[unsure] = more
        return similarities, rows

    def _compare_cells(self, placed: PlacedBase, queries: Floats, k: int, how: tuple[int, int]) -> tuple[Floats, Ints]:
        """Search some cells; ``how``: how many, and how many candidates are then compared exactly."""
        codes, (probes, candidates) = placed.base.codes, how
        places = codes.candidates(queries, min(max(candidates, 2 * k), len(codes)), probes, self._alive)
        return compare_candidates(self._embeddings, queries, np.where(places >= 0, placed.rows[places], -1), k)

    def _all_rows(self) -> Rows:
        """The rows that are compared one and all, read when they are first needed."""
        if self._rows is None:
            self._rows = FullRows(self._embeddings)
        return self._rows


def exact_index(embeddings: Embeddings, *, device: str = "cpu", float16: bool = False) -> FaceIndex:
    """Compare with every row of ``embeddings``, (N, D), float32 or float16 unit rows. Nothing is written.

    Args:
        device: "cpu", "cuda" (all GPUs that FAISS sees), "cuda:N", or "auto": GPUs where there are any.
        float16: half the memory. On the CPU a block at a time is made float32 in every search.
    Raises:
        ValueError: if a row is not a number; it would poison every search.
        embedder.device.DeviceError: if a GPU is asked for that is not there.
    """
    gpus = choose_gpus(device)
    if gpus:
        rows = rows_on_gpus(embeddings, gpus, float16=float16)
        return FaceIndex(embeddings, rows, f"exact, on {len(gpus)} GPU{'s' * (len(gpus) > 1)}")
    if float16:
        stored = StoredRows(np.asarray(embeddings).astype(np.float16))
        return FaceIndex(embeddings, stored, "exact, from float16")
    return FaceIndex(embeddings, FullRows(embeddings), "exact")


def index_with_base(embeddings: Embeddings, placed: PlacedBase) -> FaceIndex:
    """Search faces in the cells of a base, and those that are new since one and all.

    Raises:
        ValueError: if a new row is not a number.
    """
    tail = FullRows(unit_rows(embeddings[placed.tail])) if len(placed.tail) else None
    return FaceIndex(embeddings, tail, describe(placed), placed)


def describe(placed: PlacedBase) -> str:
    """Say how a base is searched, how well that does, and how far it is behind."""
    tuning, cells = placed.base.tuning, placed.base.codes.cells
    new, gone = len(placed.tail), placed.gone
    behind = [f"{new:,} new {'face' if new == 1 else 'faces'} compared exactly"] if new else []
    behind += [f"{gone:,} gone {'face' if gone == 1 else 'faces'} passed over"] if gone else []
    look = tuning.first_look
    searched = f"{tuning.probes:,}" if look is None else f"{look.probes:,} or, if need be, {tuning.probes:,}"
    return (
        f"approximate, {cells:,} cells of which {searched} are searched, first neighbour's identity as in "
        f"exact search for {100 * tuning.agreement:.2f} % of {tuning.sample:,} faces, "
        + (", ".join(behind) or "up to date")
    )


def _merge(answers: list[tuple[Floats, Ints]], k: int) -> tuple[Floats, Ints]:
    """Join answers to the same queries, and keep the k best of each."""
    similarities = np.concatenate([values for values, _ in answers], axis=1)
    rows = np.concatenate([numbers for _, numbers in answers], axis=1)
    order = np.argsort(np.where(rows >= 0, -similarities, np.inf), axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(rows, order, axis=1)
