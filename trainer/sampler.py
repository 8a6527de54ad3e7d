"""Which crops stand in a batch: so many people, and so many crops of each.

Nothing is drawn that cannot be drawn again: a batch is a function of the seed, the epoch and its
position, so a run resumes where it stopped by knowing these three numbers, and every process of many
finds its part of the same batch without asking the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Tells the streams of random numbers apart that one seed gives.
_PEOPLE, _CROPS, _ALL = 1, 2, 4


@dataclass(frozen=True)
class Position:
    """Where a run stands: the next batch to be taken."""

    epoch: int = 0
    batch: int = 0


class PeopleSampler:
    """Batches of P people with K crops each (Hermans et al. 2017, section 2).

    In an epoch each person comes once; the last batch is filled up with people of the epoch's first
    ones. A person with more than K crops shows K others in the next epoch, until hardly any is left
    (fewer than K); then the crops are shuffled and dealt again. In one batch a crop stands once, unless
    its person has fewer than K: then it is repeated, as Hermans' own code does, each crop as often as
    the others or once more. So every batch has the same size, and a repeated crop costs little: it is
    never the hardest positive, unless augmentation makes it one.
    """

    def __init__(
        self, labels: NDArray[np.int64], *, people: int, crops: int, seed: int = 0, part: int = 0, parts: int = 1
    ) -> None:
        """Deal crops.

        Args:
            labels: int64 (N,), the person of each crop; -1 leaves a crop out.
            people: P, in a batch of all processes together.
            crops: K of each person.
            seed: of the order.
            part, parts: which process this is, of how many. Joined in the order of their parts, their
                batches are the one that a single process would have.
        Raises:
            ValueError: if there are fewer than P people, or P cannot be divided among the processes.
        """
        self._labels = np.asarray(labels)
        if self._labels.ndim != 1 or not np.issubdtype(self._labels.dtype, np.integer):
            raise ValueError("labels must be one whole number for each crop")
        # The crops by person, and where each person's begin and end: one array for a million people, too.
        self._rows = np.argsort(self._labels, kind="stable")
        persons, starts = np.unique(self._labels[self._rows], return_index=True)
        self._ends = np.append(starts[1:], len(self._rows))[persons >= 0]
        self._starts = starts[persons >= 0]
        if people < 2 or crops < 1:
            raise ValueError(f"a batch needs at least 2 people and 1 crop of each, not {people} and {crops}")
        if len(self._starts) < people:
            raise ValueError(
                f"there are {len(self._starts)} people, but a batch wants {people}: "
                "take fewer people in a batch, or add people"
            )
        if not 0 <= part < parts or people % parts:
            raise ValueError(f"part {part} of {parts} processes: {people} people cannot be divided among them evenly")
        self._people, self._crops, self._seed = people, crops, seed
        self._mine = slice(people // parts * part, people // parts * (part + 1))

    @property
    def rows(self) -> NDArray[np.int64]:
        """All crops that are dealt, by person: int64."""
        return self._rows[len(self._rows) - int((self._ends - self._starts).sum()) :]

    @property
    def batches_per_epoch(self) -> int:
        """So many that every person comes once."""
        return -(-len(self._starts) // self._people)

    def batch(self, at: Position) -> NDArray[np.int64]:
        """Give the crops of one batch, or this process's part of it: row numbers, int64 (P · K / parts,).

        The crops of a person stand together.

        Raises:
            ValueError: if the epoch has no batch of that number.
        """
        if not 0 <= at.batch < self.batches_per_epoch:
            raise ValueError(f"an epoch has {self.batches_per_epoch} batches; there is no number {at.batch}")
        order = np.random.default_rng((self._seed, _PEOPLE, at.epoch)).permutation(len(self._starts))
        chosen = np.take(order, range(at.batch * self._people, (at.batch + 1) * self._people), mode="wrap")
        return np.concatenate([self._crops_in_epoch(int(person), at.epoch) for person in chosen[self._mine]])

    def batches(self, start: Position) -> Iterator[tuple[Position, NDArray[np.int64]]]:
        """Yield the batches from ``start`` to the end of its epoch, each with its position."""
        for number in range(start.batch, self.batches_per_epoch):
            at = Position(start.epoch, number)
            yield at, self.batch(at)

    def after(self, at: Position) -> Position:
        """Give the position of the batch that follows, which may be the next epoch's first."""
        last = at.batch + 1 >= self.batches_per_epoch
        return Position(at.epoch + 1, 0) if last else Position(at.epoch, at.batch + 1)

    def _crops_in_epoch(self, person: int, epoch: int) -> NDArray[np.int64]:
        rows = self._rows[self._starts[person] : self._ends[person]]
        hands = max(1, len(rows) // self._crops)  # epochs until the crops are shuffled anew
        round_number, hand = divmod(epoch, hands)
        shuffled = np.random.default_rng((self._seed, _CROPS, person, round_number)).permutation(rows)
        chosen = np.take(shuffled, range(hand * self._crops, (hand + 1) * self._crops), mode="wrap")
        return chosen.astype(np.int64)


class CropSampler:
    """Batches of any crops, for training without labels: in an epoch each crop comes once.

    The last batch is filled up with the epoch's first crops.
    """

    def __init__(self, rows: NDArray[np.int64], *, size: int, seed: int = 0) -> None:
        """Deal crops.

        Args:
            rows: int64 (N,), the crops there are.
            size: of a batch.
            seed: of the order.
        Raises:
            ValueError: if there are fewer crops than stand in a batch.
        """
        if not 1 <= size <= len(rows):
            raise ValueError(
                f"there are {len(rows)} crops, but a batch wants {size}: take fewer in a batch, or add photos"
            )
        self._rows, self._size, self._seed = np.asarray(rows, np.int64), size, seed
        self._epoch, self._order = -1, self._rows

    @property
    def rows(self) -> NDArray[np.int64]:
        """All crops that are dealt: int64."""
        return self._rows

    @property
    def batches_per_epoch(self) -> int:
        """So many that every crop comes once."""
        return -(-len(self._rows) // self._size)

    def batch(self, at: Position) -> NDArray[np.int64]:
        """Give the crops of one batch: int64 (size,). ValueError if the epoch has no batch of that number."""
        if not 0 <= at.batch < self.batches_per_epoch:
            raise ValueError(f"an epoch has {self.batches_per_epoch} batches; there is no number {at.batch}")
        if at.epoch != self._epoch:
            order = np.random.default_rng((self._seed, _ALL, at.epoch)).permutation(self._rows)
            self._epoch, self._order = at.epoch, order
        return np.take(self._order, range(at.batch * self._size, (at.batch + 1) * self._size), mode="wrap")
