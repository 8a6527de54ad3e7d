"""How a run may end, and what people are told of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainer.evaluate import HeldOut
from trainer.run_folder import BEST

Why = Literal["done", "interrupted", "collapsed", "broken"]

GO_ON = "The run is saved: the same command goes on from here."
NOTHING_BETTER = (
    f"No epoch was better than what training began with, which {BEST} holds: there is nothing to go over to."
)


@dataclass(frozen=True)
class Trained:
    """How a run ended.

    Attributes:
        why: "done"; "interrupted" goes on where it stopped; "collapsed" and "broken" are failures.
        text: for people: what was seen and what to do, if there is something to do.
        best: the weight file of the best epoch; None if there is none yet.
        best_epoch: counted from 1, 0 for what the run began with, -1 if there is none.
        held_out: the figures of that file; None if nobody is held out.
    """

    why: Why
    text: str
    best: Path | None
    best_epoch: int
    held_out: HeldOut | None
