"""What a run leaves behind for people and for other tools: settings, log, hardest triplets, suspects.

RUN/settings.json               all that decides the run
RUN/log.jsonl                   one JSON object a line: "kind" is start, step, epoch, event or end
RUN/triplets/epoch-003.jsonl    the hardest triplets that were seen in the third epoch
RUN/suspects.json               crops that are probably filed under a wrong name
RUN/checkpoint.safetensors      see ``trainer.checkpoint``
RUN/best.safetensors, last.safetensors      see ``trainer.weights``
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SETTINGS, LOG, TRIPLETS, SUSPECTS = "settings.json", "log.jsonl", "triplets", "suspects.json"
CHECKPOINT, BEST, LAST, TEACHER = "checkpoint.safetensors", "best.safetensors", "last.safetensors", "teacher"

# What is drawn of them (``indexer.training.run_report``), and how TensorBoard's files begin.
_PICTURES, _CURVES = ("suspects.jpg", "report.html"), "events.out.tfevents."

# What was being written when a run was killed. safetensors first writes to ".tmp" and six characters.
_UNFINISHED = (
    ".tmp" + 6 * "[0-9A-Za-z]",
    *(f".{name}" for name in (SETTINGS, LOG, SUSPECTS, CHECKPOINT)),
    *(f".{name}.*" for name in (BEST, LAST)),
)


class RunError(Exception):
    """A run's folder that cannot be used. The message names it and the remedy."""


class RunFolder:
    """Writes a run's folder. A second process has one with ``silent``, which writes nothing."""

    def __init__(self, root: Path, *, silent: bool = False) -> None:
        self.root = root
        self._silent = silent

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Make the folder, rid it of what a killed run was writing, and write the settings."""
        if not self._silent:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)  # faces and names of people
            _remove_unfinished(self.root)
            (self.root / TRIPLETS).mkdir(exist_ok=True, mode=0o700)
            self._replace(SETTINGS, json.dumps(settings, indent=1, ensure_ascii=False))

    def cut_log(self, step: int) -> None:
        """Take out of the log what was written after a step, which will be done again; all of it after step -1."""
        if self._silent or not (self.root / LOG).exists():
            return
        kept = [line for line in _lines(self.root / LOG) if line.get("step", 0) <= step]
        self._replace(LOG, "".join(_as_json(line) + "\n" for line in kept))

    def log(self, kind: str, **content: Any) -> None:
        """Append one line to the log; what is no number becomes null."""
        if not self._silent:
            with (self.root / LOG).open("a", encoding="utf-8") as file:
                file.write(_as_json({"kind": kind, **content}) + "\n")

    def write_triplets(self, epoch: int, triplets: Sequence[Mapping[str, Any]]) -> None:
        """Write the hardest triplets of an epoch, counted from 1."""
        if not self._silent:
            self._replace(triplets_file(epoch), "".join(_as_json(triplet) + "\n" for triplet in triplets))

    def write_suspects(self, suspects: Sequence[Mapping[str, Any]]) -> None:
        """Write the crops that are probably filed under a wrong name."""
        if not self._silent:
            self._replace(SUSPECTS, json.dumps(list(suspects), indent=1, ensure_ascii=False))

    def _replace(self, name: str, content: str) -> None:
        temporary = self.root / f".{Path(name).name}"
        with temporary.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.root / name)


def forget_run(root: Path) -> None:
    """Take away all that a run has left but what its teacher said; nothing else in the folder is touched."""
    for name in (CHECKPOINT, LOG, BEST, LAST, SUSPECTS, *_PICTURES):
        (root / name).unlink(missing_ok=True)
    for path in (*(root / TRIPLETS).glob("epoch-*"), *root.glob(f"{_CURVES}*")):
        path.unlink()
    _remove_unfinished(root)


def _remove_unfinished(root: Path) -> None:
    for path in (path for pattern in _UNFINISHED for path in root.glob(pattern)):
        if path.is_file():
            path.unlink()


def triplets_file(epoch: int) -> str:
    """Name the file of an epoch's hardest triplets, below the run's folder."""
    return f"{TRIPLETS}/epoch-{epoch:03d}.jsonl"


def read_settings(root: Path) -> dict[str, Any]:
    """Read a run's settings.

    Raises:
        RunError: if the folder is no run's, or the file is damaged.
    """
    path = root / SETTINGS
    if not path.is_file():
        raise RunError(f"{root} is no folder of a run: it has no {SETTINGS}. `visavis train` makes one")
    return dict(_parsed(path.read_text(encoding="utf-8"), path))


def read_log(root: Path) -> list[dict[str, Any]]:
    """Read a run's log; a last line that is not whole yet is left out. RunError if there is none."""
    if not (root / LOG).is_file():
        raise RunError(f"{root} holds no {LOG}: it is no folder of a run, or the run has not begun")
    return _lines(root / LOG)


def read_triplets(root: Path, epoch: int) -> list[dict[str, Any]]:
    """Read the hardest triplets of an epoch, counted from 1; empty if there are none."""
    path = root / triplets_file(epoch)
    return _lines(path) if path.is_file() else []


def read_suspects(root: Path) -> list[dict[str, Any]]:
    """Read the crops that are probably filed under a wrong name; empty if none were found yet."""
    path = root / SUSPECTS
    return list(_parsed(path.read_text(encoding="utf-8"), path)) if path.is_file() else []


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error})") from error


def _lines(path: Path) -> list[dict[str, Any]]:
    whole = path.read_text(encoding="utf-8").rsplit("\n", 1)[0]
    return [_parsed(line, path) for line in whole.split("\n") if line]


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(_numbers(content), ensure_ascii=False, allow_nan=False)


def _numbers(value: Any) -> Any:
    """Put None where a number is none, as JSON has no NaN; floats are rounded to what a reader can use."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _numbers(item) for key, item in value.items()}
    return [_numbers(item) for item in value] if isinstance(value, list | tuple) else value
