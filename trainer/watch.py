"""Who looks on while a network trains: collapse, and values that are no numbers.

All of it is bookkeeping on figures that were computed anyway; what to do about it is up to the caller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from trainer.batch_statistics import BatchStatistics

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
