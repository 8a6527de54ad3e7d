"""Who looks on while a network trains: collapse, values that are no numbers, faces under a wrong name.

All of it is bookkeeping on figures that were computed anyway; what to do about it is up to the caller.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainer.batch_statistics import BatchStatistics
from trainer.mining import Neighbours

State = Literal["healthy", "collapsing", "collapsed"]

# A network whose faces are this much alike on average tells nobody apart.
_NO_SPREAD = 0.02
# Less than this share of the best spread so far, and not rising, is on the way there.
_LITTLE_SPREAD = 0.25
# The second half of the steps has so many times the spread of the first: it is on its way out, as an
# untrained network is whose embeddings begin nearly the same.
_RISING = 1.1
# How near a loss must be to that of identical embeddings, as a share of it.
_AT_THE_MARGIN = 0.05

_REMEDY = (
    "Lower the learning rate by a factor of 3 or more, or warm it up for longer; take fewer crops in a batch, whose "
    "hardest triplets are less hard; use the soft margin, or the recipe facenet with its semi-hard strangers; or "
    "begin with the recipe arcface and switch to batch-hard after it."
)


@dataclass(frozen=True)
class Verdict:
    """What the figures say about collapse.

    Attributes:
        state: "collapsed" ends the run, "collapsing" is a warning.
        explanation: what was seen, with the figures; "" if all is well.
        remedy: what to try; "" if all is well.
    """

    state: State
    explanation: str = ""
    remedy: str = ""


def judge_collapse(history: Sequence[BatchStatistics], *, loss_at_collapse: float | None, window: int = 20) -> Verdict:
    """Judge whether the embeddings have become the same, or are becoming so.

    A triplet loss has a trap: where all embeddings are the same, each triplet's loss is the margin, and
    nothing drives the network away. It is recognised by the spread, and by a loss that stays at the margin.

    Args:
        history: figures of the steps so far, oldest first.
        loss_at_collapse: ``trainer.recipes.loss_at_collapse`` of the settings; None if there is no such loss.
        window: how many of the last steps are looked at; a shorter history is healthy.
    """
    recent = [step for step in history[-window:] if math.isfinite(step.loss) and math.isfinite(step.spread)]
    if len(history) < window or not recent:
        return Verdict("healthy")
    spread, loss = fmean(step.spread for step in recent), fmean(step.loss for step in recent)
    best = max(step.spread for step in history if math.isfinite(step.spread))
    hangs = loss_at_collapse is not None and abs(loss - loss_at_collapse) <= _AT_THE_MARGIN * loss_at_collapse
    figures = f"the mean similarity of two faces is {1 - spread:.3f} over the last {len(recent)} steps"
    if hangs:
        figures += f", and the loss stays at {loss:.3f}, which is its value when all embeddings are the same"
    first, second = recent[: len(recent) // 2], recent[len(recent) // 2 :]
    rising = bool(first) and fmean(s.spread for s in second) > _RISING * fmean(s.spread for s in first)
    if spread < _NO_SPREAD and not rising:
        return Verdict("collapsed", f"The network has collapsed: {figures}.", _REMEDY)
    if spread < _LITTLE_SPREAD * best and not rising:
        explanation = f"The network is collapsing: {figures}, and its spread fell from {best:.2f} to {spread:.2f}."
        return Verdict("collapsing", explanation, _REMEDY)
    return Verdict("healthy")


@dataclass(frozen=True)
class BrokenSteps:
    """Steps whose loss or gradient was no number. Such a step is skipped; many in a row end the run.

    Attributes:
        in_a_row: how many the last ones were.
        total: how many there were in the run.
        limit: how many in a row are too many.
    """

    in_a_row: int = 0
    total: int = 0
    limit: int = 5

    def after(self, *, finite: bool) -> BrokenSteps:
        """Count one more step; ``finite``: whether its loss and gradients are all numbers."""
        if finite:
            return BrokenSteps(0, self.total, self.limit)
        return BrokenSteps(self.in_a_row + 1, self.total + 1, self.limit)

    @property
    def must_stop(self) -> bool:
        """Whether it is time to give up."""
        return self.in_a_row >= self.limit

    @property
    def explanation(self) -> str:
        """What happened and what to do about it."""
        return (
            f"The loss or its gradient was no number in {self.in_a_row} steps in a row ({self.total} in all). "
            "Lower the learning rate, clip gradients, or train in float32; the last checkpoint is whole."
        )


@dataclass(frozen=True)
class Suspect:
    """A crop that looks like somebody else than its label says.

    Attributes:
        crop: its number.
        label: whose it is said to be.
        looks_like: whom it was most often nearer to.
        seen: in how many batches it could be judged.
        times: in how many of them it was nearer to that person than to any crop of its own; not more than
            it was, and fewer if it resembled others before.
    """

    crop: int
    label: int
    looks_like: int
    seen: int
    times: int


class LabelSuspicions:
    """Counts, over many batches, how often a crop is nearer to somebody else than to its own person.

    Once is nothing: a batch holds few crops of a person, and hard ones are what training is for. A crop
    that is on the wrong side again and again, and always towards the same person, was probably filed
    under a wrong name, or the two names are one person.

    Five numbers a crop, 20 MB for a million of them. Of the people whom a crop resembled, one is kept: the
    one that a majority vote has ahead (Boyer & Moore 1981), so whoever it was in more than half the cases.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((5, 0), np.int32)

    def record(self, crops: Tensor, labels: Tensor, neighbours: Neighbours) -> None:
        """Count one batch.

        Args:
            crops: int64 (N,), which crops stand in the batch; a repeated one counts once.
            labels: int64 (N,), the person of each.
            neighbours: ``trainer.mining.nearest_of_own_and_others`` of the batch's unit embeddings. A crop
                that is repeated is its own best partner there, and is then not judged.
        """
        numbers, people = crops.cpu().numpy(), labels.cpu().numpy()
        own, own_row, other, other_row = (column.cpu().numpy() for column in neighbours)
        judged = np.flatnonzero((own_row >= 0) & (other_row >= 0) & (numbers[own_row] != numbers))
        found, first = np.unique(numbers[judged], return_index=True)
        rows = judged[first]
        self._make_room(int(found[-1]) + 1 if len(found) else 0)
        label, seen, person, times, ahead = self._counts
        label[found] = people[rows]
        seen[found] += 1
        wrong = other[rows] > own[rows]
        crop, towards = found[wrong], people[other_row[rows[wrong]]]
        again = person[crop] == towards
        times[crop[again]] += 1
        ahead[crop] += np.where(again, 1, -1)
        beaten = ahead[crop] < 0  # as all are at first: nobody has been seen, and -1 is nobody
        person[crop[beaten]], times[crop[beaten]], ahead[crop[beaten]] = towards[beaten], 1, 1

    def suspects(self, *, least: int = 4, share: float = 0.75) -> list[Suspect]:
        """List the crops to look at, the clearest first.

        Args:
            least: times that a crop must have been nearer to one and the same other person.
            share: of the batches in which it was seen.
        """
        label, seen, person, times, _ = self._counts
        crops = np.flatnonzero((times >= least) & (times >= share * seen))
        columns = np.stack([crops, label[crops], person[crops], seen[crops], times[crops]], axis=1)
        found = [Suspect(*row) for row in columns.tolist()]
        return sorted(found, key=lambda s: (-s.times / s.seen, -s.times, s.crop))

    def tensors(self) -> dict[str, Tensor]:
        """Give all counts: int32 (5, C)."""
        return {"counts": torch.from_numpy(self._counts.copy())}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave."""
        self._counts = tensors["counts"].numpy().copy()

    def forget(self) -> None:
        """Begin anew: what an untrained network confused says nothing."""
        self._counts = np.zeros((5, 0), np.int32)

    def _make_room(self, crops: int) -> None:
        there = self._counts.shape[1]
        if crops > there:
            more = np.zeros((5, max(crops, 2 * there) - there), np.int32)
            more[[0, 2]] = -1  # nobody
            self._counts = np.concatenate([self._counts, more], axis=1)
