"""Write the page and the contact sheets of a training run into its folder; see ``trainer.run_folder`` for the rest.

RUN/report.html             one page that needs no other file
RUN/triplets/epoch-003.jpg  the hardest triplets of an epoch
RUN/suspects.jpg            crops that are probably filed under a wrong name
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from indexer.album import write_whole
from indexer.training.run_page import Run, run_page
from indexer.training.run_pictures import CropPictures, suspect_sheet, triplet_sheet

_EPOCH = re.compile(r"epoch-(\d+)\.jsonl")
_Read = TypeVar("_Read")


class RunError(Exception):
    """A folder that holds no training run, or a damaged one."""


def write_report(folder: Path, crops: Path | None = None) -> Path:
    """Write the page of a run, and its contact sheets; a run that goes on may be looked at, too.

    Args:
        folder: of the run.
        crops: where the crops lie now; None for where they lay. Pictures that are gone are left grey.
    Returns:
        the page's path.
    Raises:
        RunError: if it is no run, or a file of it is damaged.
    """
    run = read_run(folder)
    pictures = CropPictures(crops or Path(str(run.settings.get("crops", folder))))
    for epoch, triplets in run.triplets.items():
        sheet = folder / "triplets" / f"epoch-{epoch:03d}.jpg"
        if triplets and (epoch == max(run.triplets) or not sheet.exists()):
            title = f"{run.name}, epoch {epoch}: face, least similar partner, most similar stranger"
            write_whole(sheet, triplet_sheet(triplets, pictures, title))
    if run.suspects:
        write_whole(folder / "suspects.jpg", suspect_sheet(run.suspects, pictures))
    page = folder / "report.html"
    write_whole(page, run_page(run, pictures).encode())
    return page


def read_run(folder: Path) -> Run:
    """Read what a run's folder says; raises what ``write_report`` does."""
    settings, log = folder / "settings.json", folder / "log.jsonl"
    if not settings.is_file() or not log.is_file():
        raise RunError(f"{folder} holds no training run: `visavis train … --out {folder}` makes one")
    found = {int(name[1]): path for path in folder.glob("triplets/*.jsonl") if (name := _EPOCH.fullmatch(path.name))}
    suspects = folder / "suspects.json"
    return Run(
        name=folder.resolve().name,
        settings=_checked(settings, lambda text: dict(json.loads(text))),
        log=_checked(log, _lines),
        triplets={epoch: _checked(path, _lines) for epoch, path in sorted(found.items())},
        suspects=_checked(suspects, lambda text: list(json.loads(text))) if suspects.is_file() else [],
    )


def _lines(text: str) -> list[dict[str, Any]]:
    """Read JSON lines; the last one may be cut off, since a run that goes on is writing it."""
    whole = text if text.endswith("\n") or not text else text[: text.rfind("\n") + 1]
    return [dict(json.loads(line)) for line in whole.splitlines()]


def _checked(path: Path, read: Callable[[str], _Read]) -> _Read:
    try:
        return read(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
