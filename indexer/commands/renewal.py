"""An album with another model: its faces embedded again beside the former ones, names where they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.embedding import Looking, album_model, load_model, refresh_derived, terminate_as_interrupt
from indexer.commands.options import count, say
from indexer.commands.progress import progress

if TYPE_CHECKING:
    from embedder.decode import Decode
    from embedder.model import ModelSpec
    from embedder.pipeline import EmbedSettings
    from embedder.tables import AlbumTables
    from indexer.album import Album
    from indexer.archive import Archive


@dataclass(frozen=True)
class Renewal:
    """What became of an album.

    Attributes:
        former: name of the model before.
        archive: the album as it is now.
        photos, faces: that were embedded again; 0 if a generation of this model was still whole.
        lost: photos that were left out, as their files hold something else now, or cannot be read any more.
    """

    former: str
    archive: Archive
    photos: int
    faces: int
    lost: int


@dataclass(frozen=True)
class _Job:
    """Making the generation ``made`` from what ``tables`` say of the generation ``album``."""

    tables: AlbumTables
    album: Album
    made: Album
    device: str
    settings: EmbedSettings
    decode: Decode


def renew_album(
    root: Path,
    model: str | None,
    *,
    device: str,
    settings: EmbedSettings,
    fresh: bool = False,
    looking: Looking | None = None,
) -> Renewal | None:
    """Let the album at ``root`` go over to a model, if it has another one.

    Args:
        root: the album; it need not be there yet.
        model: name or file; None for the album's own.
        device, settings: how to compute.
        fresh: look through the photos again, also with the same model; else the known faces are embedded again.
        looking: how faces are looked for from now on, if not as before; that needs ``fresh``.
    Returns:
        None if there is nothing to do: no album yet, or it has this model already.
    """
    from embedder.model import choose_model
    from indexer.album import open_album, require_detection
    from indexer.locks import writing

    if not (root / "album.json").exists():
        return None
    with writing(root), terminate_as_interrupt():
        album = open_album(root)
        asked = (looking or Looking()).applied_to(album.detection)
        if not fresh:
            require_detection(album, asked)
        _carry_names(album)
        spec = album_model(album, looking) if model is None else choose_model(model, asked)
        if spec.fingerprint() == album.fingerprint and not fresh:
            return None
        try:
            return _renew(album, spec, device=device, settings=settings, fresh=fresh)
        except KeyboardInterrupt:
            say(f"Stopped. {root} is as it was; the same command goes on from there.")
            raise


def _renew(album: Album, spec: ModelSpec, *, device: str, settings: EmbedSettings, fresh: bool) -> Renewal:
    from embedder.decode_pool import DecodePool, limits_for
    from embedder.shards import remove_unfinished
    from embedder.tables import read_tables
    from indexer.generations import begin_generation, drop_generations, end_making, make_current

    tables = read_tables(album.shards)
    _require_files(tables, fresh=fresh)
    made = begin_generation(album, spec, fresh=fresh)
    remove_unfinished(made.shards)
    with DecodePool(settings.readers, limits_for(settings.max_pixels)) as decoders:
        job = _Job(tables, album, made, device, settings, decoders.decode)
        photos, faces, lost = _look_again(job) if fresh else _embed_again(job)
    make_current(made)
    if fresh:
        drop_generations(made)  # their shards are cut up otherwise: there is no way back to them
        _carry_names(made)
    end_making(made)
    return Renewal(album.model, refresh_derived(made), photos, faces, lost)


def _embed_again(job: _Job) -> tuple[int, int, int]:
    """Embed the known faces with the new model: (photos, faces, lost photos)."""
    from embedder.paths import file_path
    from embedder.reembed import ReembedReport, paths_by_content, reembed_shards, shards_to_do

    if not shards_to_do(job.album.shards, job.made.shards):  # spares loading the model
        return 0, 0, 0
    paths = {name: [file_path(text) for text in texts] for name, texts in paths_by_content(job.tables).items()}
    model = load_model(job.made, job.device, photos=len(paths))
    with progress(len(paths), "photos") as update:

        def tell(report: ReembedReport) -> None:
            update(report.photos, report.faces)

        report = reembed_shards(
            job.album.shards, job.made.shards, model, paths, tell, settings=job.settings, decode=job.decode
        )
    return report.photos, report.faces, report.lost


def _look_again(job: _Job) -> tuple[int, int, int]:
    """Find and embed the faces of all photos anew: (photos, faces, lost photos)."""
    from embedder.catalogue import Catalogue, read_catalogue
    from embedder.paths import file_path
    from embedder.pipeline import embed_photos
    from embedder.report import EmbedReport
    from embedder.rows import no_faces
    from embedder.scan import scan
    from embedder.shards import list_shards, write_shard

    before = Catalogue(job.tables).photos
    if not list_shards(job.made.shards):  # what was taken out stays out
        out = [row for row in before.values() if row.status in ("removed", "gone")]
        dimension = album_model(job.made).network.dimension
        write_shard(job.made.shards, out, no_faces(dimension), job.made.fingerprint)
    files = list(scan([file_path(row.path) for row in before.values() if row.status in ("ok", "unreadable")]))
    model = load_model(job.made, job.device, photos=len(files))
    with progress(len(files), "photos") as update:

        def tell(report: EmbedReport) -> None:
            update(report.unchanged + report.finished, report.faces)

        catalogue = read_catalogue(job.made.shards)
        report = embed_photos(files, model, job.made.shards, catalogue, job.settings, tell, decode=job.decode)
    return report.embedded, report.faces, 0


def _require_files(tables: AlbumTables, *, fresh: bool) -> None:
    """Refuse if photos are not where they were: their faces could not be embedded, and would be missed."""
    from embedder.catalogue import Catalogue
    from embedder.reembed import paths_by_content
    from indexer.removal import missing_photos

    catalogue = Catalogue(tables)
    gone = {change.row.path for change in missing_photos(catalogue, [])}
    lost = [texts[0] for texts in paths_by_content(tables).values() if gone.issuperset(texts)] if gone else []
    rows = [catalogue.photos[text] for text in lost]
    needed = [row for row in rows if row.n_faces or fresh]
    if needed:
        faces = sum(row.n_faces for row in needed)
        raise click.ClickException(
            f"{count(len(needed), 'photo')} with {count(faces, 'face')} of the album cannot be embedded again: no "
            f"file is at {needed[0].path}{' and other places' if len(needed) > 1 else ''}. Mount the drive, or take "
            "out photos that are gone with `visavis remove --missing`. Nothing was changed"
        )


def _carry_names(album: Album) -> None:
    """Let what was said hold for faces that were found anew, if that was not done yet."""
    from indexer.archive import read_archive_even_empty
    from indexer.generations import end_making, names_wait
    from indexer.waiting_facts import carry_over

    if not names_wait(album):
        return
    carried = carry_over(read_archive_even_empty(album))
    if carried.action:
        say(f"{carried.action.text}.")
    if carried.lost:
        say(f"{count(carried.lost, 'face')} with something said have no place in this album any more.")
    end_making(album)
