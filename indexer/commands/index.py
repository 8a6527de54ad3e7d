"""`visavis index`: embed what is new in folders of photos."""

from __future__ import annotations

import time
from pathlib import Path

import click

from indexer.commands.embedding import add_photos
from indexer.commands.options import (
    ANY_PATH,
    album_option,
    count,
    device_option,
    json_option,
    model_option,
    print_json,
    say,
)
from indexer.commands.progress import duration


@click.command()
@click.argument("photos", nargs=-1, required=True, type=ANY_PATH, metavar="FOLDER_OR_PHOTO...")
@album_option
@model_option
@device_option
@click.option("--retry-unreadable", is_flag=True, help="Try files again that could not be read before.")
@json_option
def index(
    photos: tuple[Path, ...], album: Path, model: str | None, device: str, retry_unreadable: bool, as_json: bool
) -> None:
    """Find and embed the faces of new photos, and add them to the album.

    What the album has already is not read again. Interrupt it at any time: the same command goes
    on from there. Originals are never touched.

    \b
    Examples:
      visavis index ~/Pictures
      visavis index --album /data/press --device cuda /mnt/archive
    """
    from embedder.pipeline import EmbedSettings

    started = time.monotonic()
    report, archive = add_photos(
        photos, album, model=model, device=device, settings=EmbedSettings(retry_unreadable=retry_unreadable)
    )
    held = archive.catalogue.photos
    seconds = time.monotonic() - started
    if as_json:
        summary = {
            "photos": held.held(),
            "faces": len(archive.faces),
            "new_photos": report.embedded,
            "unreadable": held.count("unreadable"),
            "seconds": round(seconds, 1),
        }
        print_json([summary])
    left_out = f"{report.removed:,} left out as removed, " if report.removed else ""
    say(
        f"{count(report.embedded, 'new photo')} with {count(report.faces, 'face')}, "
        f"{report.unchanged:,} unchanged, {report.known_content:,} moved or copied, {report.unreadable:,} unreadable, "
        f"{left_out}in {duration(seconds)}. "
        f"{album} now holds {count(held.held(), 'photo')} with {count(len(archive.faces), 'face')}."
    )
