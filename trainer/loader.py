"""Batches of crops, read from disk, decoded and augmented by threads ahead of the network.

OpenCV does the work outside Python's lock, so threads do it side by side, and what they share is not
copied. A crop's augmentation is drawn from the seed, the epoch, the batch and its place in the batch of
all processes: a batch is the same whenever, and by however many processes, it is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.augment import Augmentation, augment
from trainer.crops import CropsError, CropsFolder, read_crop
from trainer.sampler import Position

_AHEAD = 3  # batches that are made before they are wanted
# Tells these random numbers from those of the sampler, which have the same seed.
_AUGMENTATION = 3
# A run goes on only with the same names of crops.
_KEEP = "A run that was begun goes on only if the file stays where it is, or is put back whole"


class Sampler(Protocol):
    """Deals crops: ``trainer.sampler`` has them."""

    @property
    def rows(self) -> NDArray[np.int64]: ...

    @property
    def batches_per_epoch(self) -> int: ...

    def batch(self, at: Position) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Batch:
    """Crops for one step.

    Attributes:
        at: which batch it is.
        rows: int64 (N,), the crops of all processes, those that stand in among them.
        crops: uint8 (n, 3, size, size), in channels_last order, those of this process.
        unreadable: for people: what was wrong with crops of this process, and which others stand in for them.
    """

    at: Position
    rows: NDArray[np.int64]
    crops: Tensor
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class Loader:
    """Makes batches.

    Attributes:
        folder: where the crops lie.
        sampler: which ones stand in a batch of all processes.
        how: what is done to them.
        seed: of what is drawn.
        part, parts: which process this is, of how many.
        readers: threads.
        join: makes the rows of all processes out of this one's; by itself a process knows of its own stand-ins only.
    """

    folder: CropsFolder
    sampler: Sampler
    how: Augmentation
    seed: int
    part: int = 0
    parts: int = 1
    readers: int = 2
    join: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None

    def batches(self, start: Position) -> Iterator[Batch]:
        """Yield the batches from ``start`` to the end of its epoch.

        Raises:
            CropsError: if a crop cannot be read and no other one can.
        """
        numbers = iter(range(start.batch, self.sampler.batches_per_epoch))
        with ThreadPoolExecutor(max(1, self.readers), thread_name_prefix="crops") as pool:
            ahead: deque[tuple[Position, NDArray[np.int64], list[Future[_Read]]]] = deque()
            try:
                while True:
                    while len(ahead) < _AHEAD and (number := next(numbers, None)) is not None:
                        ahead.append(self._ask(pool, Position(start.epoch, number)))
                    if not ahead:
                        return
                    at, rows, futures = ahead.popleft()
                    yield self._join(at, rows, [future.result() for future in futures])
            finally:
                pool.shutdown(cancel_futures=True)

    def _ask(self, pool: ThreadPoolExecutor, at: Position) -> tuple[Position, NDArray[np.int64], list[Future[_Read]]]:
        rows = self.sampler.batch(at)
        share = len(rows) // self.parts
        mine = range(share * self.part, share * (self.part + 1))
        return at, rows, [pool.submit(self._read, at, rows, place) for place in mine]

    def _read(self, at: Position, rows: NDArray[np.int64], place: int) -> _Read:
        settings = self.folder.settings
        random = np.random.default_rng((self.seed, _AUGMENTATION, at.epoch, at.batch, place))
        row, crop, complaint = self._readable(int(rows[place]), settings.side)
        return _Read(row, augment(crop, settings.size, random, self.how), complaint)

    def _readable(self, row: int, side: int) -> tuple[int, NDArray[np.uint8], str | None]:
        """Read a crop, or the first stand-in that can be read: (which one it is, its pixels, what is to be said)."""
        try:
            return row, read_crop(self.folder.path(row), side), None
        except CropsError as error:
            complaint = str(error)
        for other in self._stand_ins(row):
            try:
                crop = read_crop(self.folder.path(other), side)
            except CropsError:
                continue
            instead = f"{self.folder.paths[other]} stands in for it"
            if self.folder.labels[other] != self.folder.labels[row]:
                instead = f"No crop of this person can be read, so that {instead}, under its own name"
            return other, crop, f"{complaint}. {instead}. {_KEEP}"
        raise CropsError(f"{complaint}. No other crop can be read either")

    def _stand_ins(self, row: int) -> Iterator[int]:
        """Name the crops that can stand in for one, the best first: its person's, then those of the next people."""
        own = self.folder.labels == self.folder.labels[row]
        yield from (int(other) for other in np.flatnonzero(own) if other != row)
        dealt = self.sampler.rows
        after = int(np.flatnonzero(dealt == row)[0]) + int(own.sum())  # another one for each crop of the person
        yield from (int(other) for other in np.roll(dealt, -after) if not own[other])

    def _join(self, at: Position, rows: NDArray[np.int64], read: list[_Read]) -> Batch:
        crops = torch.from_numpy(np.stack([one.crop for one in read])).permute(0, 3, 1, 2)
        complaints = tuple(dict.fromkeys(one.complaint for one in read if one.complaint))
        mine = np.array([one.row for one in read], np.int64)
        joined = rows.copy()
        joined[len(mine) * self.part : len(mine) * (self.part + 1)] = mine
        return Batch(at, joined if self.join is None else self.join(mine), crops, complaints)


@dataclass(frozen=True)
class _Read:
    row: int
    crop: NDArray[np.uint8]
    complaint: str | None


def readable_crops(folder: CropsFolder, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[str]]:
    """Try to read crops: (the rows of those that can be read, what is wrong with the others)."""
    readable, complaints = [], []
    for row in rows.tolist():
        try:
            read_crop(folder.path(row), folder.settings.side)
        except CropsError as error:
            complaints.append(str(error))
        else:
            readable.append(row)
    return np.array(readable, np.int64), complaints


def clean_batches(
    folder: CropsFolder, rows: NDArray[np.int64], size: int, prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> Iterator[Tensor]:
    """Yield crops as they lie there, ``size`` at a time: uint8 (n, 3, side, side), channels_last.

    Args:
        prepare: what is done to each, uint8 RGB with its margin; as a rule the margin is taken off.
    Raises:
        CropsError: if one cannot be read.
    """
    side = folder.settings.side
    with ThreadPoolExecutor(1, thread_name_prefix="crops") as pool:

        def read(start: int) -> Tensor:
            crops = [prepare(read_crop(folder.path(int(row)), side)) for row in rows[start : start + size]]
            return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)

        ahead = deque(pool.submit(read, start) for start in range(0, min(len(rows), _AHEAD * size), size))
        starts = iter(range(_AHEAD * size, len(rows), size))
        while ahead:
            done = ahead.popleft().result()
            if (start := next(starts, None)) is not None:
                ahead.append(pool.submit(read, start))
            yield done
