"""`visavis evaluate model`: is another model better on the named people of an album?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from indexer.commands.embedding import load_spec
from indexer.commands.options import (
    album_option,
    check_model,
    count,
    device_option,
    json_option,
    print_json,
    print_table,
    say,
)
from indexer.commands.progress import progress

if TYPE_CHECKING:
    from embedder.model import ModelSpec
    from indexer.training.album_comparison import AlbumComparison

_SHARE = 0.25  # of the people, as `visavis crops` holds them out where nothing else is said


@click.command("model")
@click.argument("model", callback=check_model, metavar="MODEL|FILE")
@album_option
@click.option(
    "--held-out",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the people that the model was not trained on, by their names; 1 takes everybody. "
    "[default: as the weight file says; 1 for a model that visavis did not train]",
)
@device_option
@json_option
def of_model(model: str, album: Path, held_out: float | None, device: str, as_json: bool) -> None:
    """Is MODEL better on this archive? Compares it with the album's own on the album's named people.

    Their faces are embedded again with MODEL; the album stays as it is. Of a model that was trained on
    people of this album only those count who were held out. A difference counts where it is more
    than twice what it varies by with other people.

    \b
    Example:
      visavis evaluate model runs/family/best.safetensors
    """
    from embedder.model import choose_model
    from indexer.album import open_album

    spec = choose_model(model, open_album(album).detection)
    share = _share_held_out(spec) if held_out is None else held_out
    found = compare_with(album, spec, device=device, held_out=share)
    if as_json:
        print_json([comparison_as_dict(found, spec.name)])
    else:
        print_comparison(found)


def compare_with(root: Path, spec: ModelSpec, *, device: str, held_out: float) -> AlbumComparison:
    """Compare the model of the album at ``root`` with another one, on so large a share of its named people."""
    from embedder.decode_pool import DecodePool
    from embedder.pipeline import EmbedSettings
    from indexer.album import open_album
    from indexer.archive import read_archive
    from indexer.crops import held_out_by
    from indexer.training.album_comparison import compare_on_album, faces_to_compare

    archive = read_archive(open_album(root))
    rows = faces_to_compare(archive, None if held_out >= 1 else held_out_by(held_out))
    settings = EmbedSettings()
    model = load_spec(spec, device)
    photos = len(set(archive.faces.contents[rows].tolist()))
    with progress(photos, "photos") as update, DecodePool(settings.readers) as decoders:
        return compare_on_album(archive, rows, model, update, settings=settings, decode=decoders.decode)


def comparison_as_dict(found: AlbumComparison, name: str) -> dict[str, Any]:
    """Give a comparison as ``--json`` prints it."""
    compared = found.comparison
    figures = [asdict(figure) | {"verdict": figure.word} for figure in compared.figures]
    about = {"model": name, "people": compared.people, "faces": compared.faces, "lost_faces": found.lost}
    return about | {"verdict": compared.word, "figures": figures}


def print_comparison(found: AlbumComparison) -> None:
    """Print a comparison as a table, and the verdict."""
    compared = found.comparison
    rows: list[tuple[str, ...]] = [
        (f.name, f"{f.before:.4f}", f"{f.after:.4f}", f"{f.after - f.before:+.4f}", f"±{f.spread:.4f}", f.word)
        for f in compared.figures
    ]
    print_table(("FIGURE", "NOW ", "NEW ", "DIFFERENCE ", "SPREAD ", "VERDICT"), rows)
    lost = f", {count(found.lost, 'face')} left out as no file shows them any more" if found.lost else ""
    people = count(compared.people, "person", "people")
    say(f"On {count(compared.faces, 'face')} of {people}{lost}. {compared.sentence}")


def _share_held_out(spec: ModelSpec) -> float:
    """Read from a weight file how many people were held out when it was trained."""
    from trainer.weights import read_description

    weights = spec.network.weights
    if weights.path is None or weights.format != "visavis":
        return 1.0
    recipe: Mapping[str, Any] = read_description(weights.path).recipe
    share = recipe.get("held out")
    return float(share) if share else _SHARE if recipe else 1.0
