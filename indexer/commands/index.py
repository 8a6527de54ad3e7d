"""`visavis index`: embed what is new in folders of photos."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from embedder.pretrained import DEFAULT_NETWORK, NETWORKS
from indexer.commands.embedding import add_photos
from indexer.commands.options import ANY_PATH, album_option, count, device_option, json_option, print_json, say
from indexer.commands.progress import duration

if TYPE_CHECKING:
    from embedder.report import EmbedReport
    from indexer.archive import Archive


@click.command()
@click.argument("photos", nargs=-1, required=True, type=ANY_PATH, metavar="FOLDER_OR_PHOTO...")
@album_option
@click.option(
    "--model",
    type=click.Choice(sorted(NETWORKS)),
    help=f"Network that embeds the faces. [default: the album's; {DEFAULT_NETWORK} for a new album]",
)
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
    photos: tuple[Path, ...], album: Path, model: str | None, device: str, retry_unreadable: bool, max_megapixels: int,
    as_json: bool,
) -> None:  # fmt: skip
    """Find and embed the faces of new photos, and add them to the album.

    What the album has already is not read again: a moved or copied photo is known by its content.
    Interrupt it at any time: the same command goes on from there. Originals are never touched.
    What cannot be read is told, with the reason: `visavis status --unreadable` lists it all.

    \b
    Examples:
      visavis index ~/Pictures
      visavis index --album /data/press --device cuda /mnt/archive
    """
    from embedder.pipeline import EmbedSettings

    started = time.monotonic()
    settings = EmbedSettings(retry_unreadable=retry_unreadable, max_pixels=max_megapixels * 1_000_000)
    report, archive = add_photos(photos, album, model=model, device=device, settings=settings)
    seconds = time.monotonic() - started
    if as_json:
        print_json([_summary(report, archive, seconds)])
    say(f"{_sentence(report)}, in {duration(seconds)}. {_album_now(archive)}")
    if report.deleted:
        say("Photos whose files are gone stay in the album: `visavis remove --missing` takes them out.")


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
