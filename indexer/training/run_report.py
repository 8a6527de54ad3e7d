"""Write the page and the contact sheets of a training run into its folder; see ``trainer.run_folder`` for the rest.

RUN/report.html             one page that needs no other file
RUN/triplets/epoch-003.jpg  the hardest triplets of an epoch
RUN/suspects.jpg            crops that are probably filed under a wrong name
"""

from __future__ import annotations

import re
from pathlib import Path

from indexer.album import write_whole
from indexer.training.run_page import Run, run_page
from indexer.training.run_pictures import CropPictures, suspect_sheet, triplet_sheet
from trainer.run_folder import read_log, read_settings, read_suspects, read_triplets

_EPOCH = re.compile(r"epoch-(\d+)\.jsonl")


def write_report(folder: Path, crops: Path | None = None) -> Path:
    """Write the page of a run, and its contact sheets; a run that goes on may be looked at, too.

    Args:
        folder: of the run.
        crops: where the crops lie now; None for where they lay. Pictures that are gone are left grey.
    Returns:
        the page's path.
    Raises:
        trainer.run_folder.RunError: if it is no run, or a file of it is damaged.
    """
    run = read_run(folder)
    pictures = CropPictures(crops or Path(str(run.settings.get("crops_folder", folder))))
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
    about = read_settings(folder)
    epochs = sorted(int(found[1]) for path in folder.glob("triplets/*.jsonl") if (found := _EPOCH.fullmatch(path.name)))
    return Run(
        name=folder.resolve().name,
        settings=about,
        log=read_log(folder),
        triplets={epoch: read_triplets(folder, epoch) for epoch in epochs},
        suspects=read_suspects(folder),
    )
