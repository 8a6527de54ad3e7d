"""`visavis index`: embed what is new in folders of photos."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.embedding import Looking, add_photos
from indexer.commands.options import (
    ANY_PATH,
    album_option,
    count,
    detection_options,
    device_option,
    json_option,
    model_option,
    print_json,
    say,
)
from indexer.commands.progress import duration

if TYPE_CHECKING:
    from embedder.report import EmbedReport
    from indexer.archive import Archive
    from indexer.commands.renewal import Renewal


@click.command()
@click.argument("photos", nargs=-1, type=ANY_PATH, metavar="[FOLDER_OR_PHOTO]...")
@album_option
@model_option
@detection_options
@click.option("--fresh", is_flag=True, help="Look through all photos of the album again, and embed them anew.")
@device_option
@click.option("--retry-unreadable", is_flag=True, help="Try files again that could not be read before.")
@click.option(
    "--max-megapixels",
    type=click.IntRange(1, 4000),
    default=200,
    show_default=True,
    help="Larger photos are not decoded, and listed as unreadable. A decoder may take 16 bytes for each pixel.",
)
@json_option
def index(
    photos: tuple[Path, ...], album: Path, model: str | None, detection: str | None, detector: str | None,
    fresh: bool, device: str, retry_unreadable: bool, max_megapixels: int, as_json: bool,
) -> None:  # fmt: skip
    """Find and embed the faces of new photos, and add them to the album.

    What the album has already is not read again: a moved or copied photo is known by its content.
    Interrupt it at any time: the same command goes on from there. Originals are never touched.
    What cannot be read is told, with the reason: `visavis status --unreadable` lists it all.

    An album that has another --model goes over to it: its faces are embedded again, beside the
    former ones, which stay until `visavis compact`. Names stay where they are. With --fresh faces are
    looked for again, too, as with another --detection or --detector; names go to the faces in the same
    places.

    \b
    Examples:
      visavis index ~/Pictures
      visavis index --album /data/press --device cuda /mnt/archive
      visavis index --model family.safetensors
      visavis index --detection thorough --fresh
    """
    from embedder.pipeline import EmbedSettings
    from embedder.report import EmbedReport
    from indexer.commands.renewal import renew_album

    _check_use(photos, album, model, fresh=fresh)
    started = time.monotonic()
    settings = EmbedSettings(retry_unreadable=retry_unreadable, max_pixels=max_megapixels * 1_000_000)
    looking = Looking(detector, detection)
    renewal = renew_album(album, model, device=device, settings=settings, fresh=fresh, looking=looking)
    if renewal is not None:
        _say_renewed(renewal, album)
    report, archive = (
        add_photos(photos, album, model=model, device=device, settings=settings, looking=looking)
        if photos
        else (EmbedReport(), _now(album))
    )
    seconds = time.monotonic() - started
    if as_json:
        again = {} if renewal is None else {"embedded_again": renewal.faces, "lost_photos": renewal.lost}
        print_json([_summary(report, archive, seconds) | again])
    done = f"{_sentence(report)}, in {duration(seconds)}" if photos else f"Done in {duration(seconds)}"
    say(f"{done}. {_album_now(archive)}")
    if report.deleted:
        say("Photos whose files are gone stay in the album: `visavis remove --missing` takes them out.")


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


def _summary(report: EmbedReport, archive: Archive, seconds: float) -> dict[str, object]:
    """Count for programs."""
    from embedder.changes import Change

    held = archive.catalogue.photos
    return {
        "photos": held.held(),
        "faces": len(archive.faces),
        "new_photos": report.embedded,
        "new": report.changes[Change.NEW],
        "changed": report.changes[Change.CHANGED],
        "moved": report.changes[Change.MOVED],
        "duplicates": report.changes[Change.DUPLICATE],
        "back": report.changes[Change.BACK],
        "deleted": report.deleted,
        "unchanged": report.unchanged + report.changes[Change.TOUCHED],
        "removed": report.removed,
        "new_faces": report.faces,
        "newly_unreadable": report.unreadable,
        "unreadable": held.count("unreadable"),
        "seconds": round(seconds, 1),
    }


def _sentence(report: EmbedReport) -> str:
    """Count for people; what there is none of is left out."""
    from embedder.changes import Change

    counts = {change: report.changes[change] for change in Change}
    others = (
        (counts[Change.CHANGED], "changed"),
        (counts[Change.MOVED], "moved"),
        (counts[Change.DUPLICATE], "duplicate" if counts[Change.DUPLICATE] == 1 else "duplicates"),
        (counts[Change.BACK], "back again"),
        (report.deleted, "deleted"),
        (report.unchanged + counts[Change.TOUCHED], "unchanged"),
        (report.unreadable, "unreadable"),
        (report.removed, "left out as removed"),
    )
    found = [count(counts[Change.NEW], "new photo"), *(f"{number:,} {word}" for number, word in others if number)]
    return f"{', '.join(found)}; {count(report.faces, 'new face')}"


def _album_now(archive: Archive) -> str:
    held, faces = archive.catalogue.photos.held(), len(archive.faces)
    return f"{archive.album.root} now holds {count(held, 'photo')} with {count(faces, 'face')}."


def _say_renewed(renewal: Renewal, album: Path) -> None:
    now = renewal.archive.album.model
    how = "was made anew" if now == renewal.former else f"went over from model {renewal.former} to {now}"
    faces, photos = count(renewal.faces, "face"), count(renewal.photos, "photo")
    say(f"{album} {how}: {faces} of {photos} embedded again, names stay. `visavis cluster` groups them.")
    if renewal.lost:
        say(f"  left out: {count(renewal.lost, 'photo')} whose files hold something else now, or cannot be read.")
