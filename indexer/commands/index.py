"""`visavis index`: embed what is new in folders of photos."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from embedder.pipeline import EmbedReport
    from indexer.archive import Archive
    from indexer.commands.renewal import Renewal


@click.command()
@click.argument("photos", nargs=-1, type=ANY_PATH, metavar="[FOLDER_OR_PHOTO]...")
@album_option
@model_option
@click.option("--fresh", is_flag=True, help="Look through all photos of the album again, and embed them anew.")
@device_option
@click.option("--retry-unreadable", is_flag=True, help="Try files again that could not be read before.")
@json_option
def index(
    photos: tuple[Path, ...], album: Path, model: str | None, fresh: bool, device: str, retry_unreadable: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Find and embed the faces of new photos, and add them to the album.

    What the album has already is not read again. Interrupt it at any time: the same command goes
    on from there. Originals are never touched.

    An album that has another --model goes over to it: its faces are embedded again, beside the
    former ones, which stay until `visavis compact`. Names stay where they are. With --fresh faces are
    looked for again, too, as after a change of the detector; names go to the faces in the same places.

    \b
    Examples:
      visavis index ~/Pictures
      visavis index --album /data/press --device cuda /mnt/archive
      visavis index --model family.safetensors
    """
    from embedder.pipeline import EmbedSettings
    from indexer.commands.renewal import renew_album

    _check_use(photos, album, model, fresh=fresh)
    started = time.monotonic()
    settings = EmbedSettings(retry_unreadable=retry_unreadable)
    renewal = renew_album(album, model, device=device, settings=settings, fresh=fresh)
    if renewal is not None:
        _say_renewed(renewal, album)
    report, archive = (
        add_photos(photos, album, model=model, device=device, settings=settings) if photos else (None, _now(album))
    )
    held = archive.catalogue.photos
    seconds = time.monotonic() - started
    if as_json:
        summary = {
            "photos": held.held(),
            "faces": len(archive.faces),
            "new_photos": 0 if report is None else report.embedded,
            "unreadable": held.count("unreadable"),
            "seconds": round(seconds, 1),
        }
        again = {} if renewal is None else {"embedded_again": renewal.faces, "lost_photos": renewal.lost}
        print_json([summary | again])
    done = f"Done in {duration(seconds)}. " if report is None else _told(report, seconds)
    say(f"{done}{album} now holds {count(held.held(), 'photo')} with {count(len(archive.faces), 'face')}.")


def _check_use(photos: tuple[Path, ...], album: Path, model: str | None, *, fresh: bool) -> None:
    if not photos and model is None and not fresh:
        raise click.UsageError("name folders or photos, or another --model for the album")
    if not photos and not (album / "album.json").exists():
        raise click.UsageError(f"there is no album {album} yet: name folders or photos to make it from")
    for photo in photos:
        if not os.path.lexists(photo):
            raise click.ClickException(f"{photo} is not there")


def _now(album: Path) -> Archive:
    from indexer.album import open_album
    from indexer.archive import read_archive_even_empty

    return read_archive_even_empty(open_album(album))


def _told(report: EmbedReport, seconds: float) -> str:
    left_out = f"{report.removed:,} left out as removed, " if report.removed else ""
    return (
        f"{count(report.embedded, 'new photo')} with {count(report.faces, 'face')}, "
        f"{report.unchanged:,} unchanged, {report.known_content:,} moved or copied, {report.unreadable:,} unreadable, "
        f"{left_out}in {duration(seconds)}. "
    )


def _say_renewed(renewal: Renewal, album: Path) -> None:
    now = renewal.archive.album.model
    say(
        f"{album} went over from model {renewal.former} to {now}: {count(renewal.faces, 'face')} of "
        f"{count(renewal.photos, 'photo')} embedded again, names stay. `visavis cluster` groups with the new model."
    )
    if renewal.lost:
        say(f"  left out: {count(renewal.lost, 'photo')} whose files hold something else now, or cannot be read.")
