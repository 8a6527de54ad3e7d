"""Training on the people named in an album: crops before it, and a comparison after it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.commands.compare import compare_with, comparison_as_dict
from indexer.commands.crops import cut_crops, jobs_of_album, tell_crops
from indexer.commands.embedding import album_model
from indexer.commands.options import say

if TYPE_CHECKING:
    from indexer.training.album_comparison import AlbumComparison
    from trainer.endings import Trained

_HELD_OUT = 0.25  # of the people, where --held-out says nothing
_MARGIN = 0.125  # of a crop's side, around it
_FILE = "comparison.json"


def crops_of_album(album: Path, out: Path, options: dict[str, Any], *, device: str) -> Path:
    """Cut out the named faces of an album as its own model wants them, and let training begin with that model.

    Args:
        album, out: the album, and the folder of the run; the crops lie in it.
        options: of `visavis train`; ``init`` and ``held_out`` are filled in.
        device: to compute on.
    Returns:
        the folder of the crops.
    """
    from embedder.pretrained import locate
    from indexer.album import open_album
    from indexer.crops import central
    from trainer.crops import CropsSettings

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise click.UsageError("several processes share a folder of crops: make it with `visavis crops --album` first")
    if options["init"] not in (None, "none"):
        raise click.UsageError("--album begins with the album's own model: leave out --init, or make crops first")
    network = album_model(open_album(album)).network
    if network.weights.path is not None and network.weights.format != "visavis":
        raise click.UsageError(
            f"{album} has a network from an ONNX file, which cannot be trained: use `visavis crops --album {album}` "
            "and `visavis train CROPS`"
        )
    options["init"] = str(locate(network.weights))
    options["held_out"] = share = options["held_out"] if options["held_out"] is not None else _HELD_OUT
    margin = round(network.input_size * _MARGIN)
    settings = CropsSettings(network.input_size, margin, network.template, network.weights.name, share, str(album))
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    crops = out / "crops"
    tell_crops(
        cut_crops(jobs_of_album(album, False), crops, settings, device=device, choose=central), crops, settings, False
    )
    tell_whether_compared(album, share)
    return crops


def tell_whether_compared(root: Path, share: float) -> None:
    """Say so if too few people are held out for the comparison in the end."""
    from indexer.album import open_album
    from indexer.archive import read_archive
    from indexer.crops import held_out_by
    from indexer.training.album_comparison import people_to_compare
    from indexer.training.comparison import LEAST_PEOPLE

    people = people_to_compare(read_archive(open_album(root)), held_out_by(share))
    if people < LEAST_PEOPLE:
        say(
            f"The models will not be compared in the end: {people} of the people who are held out have two photos or "
            f"more, and {LEAST_PEOPLE} are needed. Hold out more with --held-out, or name more people."
        )


def compare_run(album: Path, out: Path, found: Trained, *, device: str) -> AlbumComparison | None:
    """Compare what a run made with the album's own model, on the people who were held out; kept in the run's folder.

    Returns:
        None if there is nothing better to compare, or there are too few people to compare on: that is said.
    """
    from embedder.model import choose_model
    from indexer.album import write_whole
    from indexer.training.album_comparison import ComparisonError
    from trainer.weights import read_description

    if found.best is None or found.best_epoch == 0 or found.why == "interrupted":
        return None
    share = float(read_description(found.best).recipe["held out"])
    spec = choose_model(str(found.best))
    try:
        compared = compare_with(album, spec, device=device, held_out=share)
    except ComparisonError as error:
        say(f"Not compared: {error}.")
        return None
    content = json.dumps(comparison_as_dict(compared, spec.name), indent=1) + "\n"
    write_whole(out / _FILE, content.encode())
    return compared
