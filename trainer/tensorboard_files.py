"""Figures of a run as TensorBoard files, where the package ``tensorboard`` is installed."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def tensorboard_is_there() -> bool:
    """Whether such files can be written."""
    return importlib.util.find_spec("tensorboard") is not None


class TensorBoardFiles:
    """Writes scalars; without the package it writes nothing."""

    def __init__(self, folder: Path, *, step: int, wanted: bool = True) -> None:
        """Begin a file in ``folder``; what earlier files say beyond ``step`` is superseded."""
        self._writer: Any = None
        if wanted and tensorboard_is_there():
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=step)

    def add(self, group: str, figures: Mapping[str, Any], step: int) -> None:
        """Write all numbers of ``figures``, one curve each, below "group/"; inner mappings have curves of their own."""
        if self._writer is None:
            return
        for name, value in figures.items():
            if isinstance(value, Mapping):
                self.add(f"{group}/{name}", value, step)
            elif isinstance(value, int | float) and math.isfinite(value):
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
