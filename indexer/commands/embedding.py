"""Embedding photos into an album, as several commands do it: locked, with progress, index kept up to date."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from embedder.pretrained import DEFAULT_NETWORK
from indexer.commands.options import count, say
from indexer.commands.progress import progress

if TYPE_CHECKING:
    import numpy as np

    from embedder.catalogue import Catalogue
    from embedder.detection import Detection
    from embedder.file_list import FileList
    from embedder.model import FaceModel, ModelSpec
    from embedder.pipeline import EmbedSettings
    from embedder.report import EmbedReport
    from indexer.album import Album
    from indexer.archive import Archive

_REASONS_SHOWN = 5
_LONG_JOB = 1_000  # new photos that are worth some seconds of measuring first


@dataclass(frozen=True)
class Looking:
    """What the user asks for of how faces are looked for; None: as the album has it, or as usual.

    Attributes:
        detector: name of a detector.
        level: one of ``embedder.detection.DETECTION_LEVELS``.
    """

    detector: str | None = None
    level: str | None = None

    def applied_to(self, detection: Detection) -> Detection:
        """Give ``detection`` with what is asked for."""
        return replace(detection, detector=self.detector or detection.detector, level=self.level or detection.level)


def add_photos(
    roots: Sequence[Path],
    root: Path,
    *,
    model: str | None,
    device: str,
    settings: EmbedSettings,
    looking: Looking | None = None,
) -> tuple[EmbedReport, Archive]:
    """Embed what is new below ``roots`` into the album at ``root``, and bring its index up to date.

    What was said of the new photos before they came is carried over to their faces.

    Args:
        looking: how faces are looked for; refused if the album has it otherwise.
    Returns:
        what was done, and the album as it stands now; it may be without any face.
    """
    from embedder.file_list import FileList
    from embedder.scan import scan
    from indexer.locks import writing

    files = FileList(scan(roots))
    if not len(files):
        raise click.ClickException(f"no photo in {', '.join(str(r) for r in roots)}: nothing to do")
    with writing(root), terminate_as_interrupt():
        album = _album_for(root, model, looking or Looking())
        report = _embed(files, roots, album, device, settings)
        return report, refresh_derived(album)


def _album_for(root: Path, model: str | None, looking: Looking) -> Album:
    from embedder.detection import Detection
    from embedder.model import choose_model
    from indexer.album import open_album, open_or_create, require_detection

    album = open_album(root) if (root / "album.json").exists() else None
    detection = looking.applied_to(Detection() if album is None else album.detection)
    if album is not None:
        require_detection(album, detection)
    known = album is not None and model is None
    spec = album_model(album) if album and known else choose_model(model or DEFAULT_NETWORK, detection)
    network = None if spec.network.weights.path is None else spec.network
    return open_or_create(root, spec.name, spec.fingerprint(), network, detection)


def album_model(album: Album, looking: Looking | None = None) -> ModelSpec:
    """Give the model of an album: from the table, or from the copy of a file that the album keeps.

    Args:
        looking: what shall be otherwise.
    """
    from embedder.model import choose_model, model_with

    detection = (looking or Looking()).applied_to(album.detection)
    return choose_model(album.model, detection) if album.network is None else model_with(album.network, detection)


def _embed(files: FileList, roots: Sequence[Path], album: Album, device: str, settings: EmbedSettings) -> EmbedReport:
    from embedder.catalogue import read_catalogue
    from embedder.changes import unseen
    from embedder.report import EmbedReport
    from embedder.shards import remove_unfinished
    from indexer.removal import end_rows

    remove_unfinished(album.shards)
    catalogue = read_catalogue(album.shards)
    new, seen = _sift(files, catalogue, settings)
    # Without a new photo the model is not even loaded.
    report = _embed_new(new, album, catalogue, device, settings) if len(new) else EmbedReport()
    report.seen, report.unchanged = len(files), len(files) - len(new)
    left = unseen(catalogue, roots, seen, report.moved_from)
    report.deleted = left.deleted
    end_rows(album, left.stale)
    _say_unreadable(report)
    return report


def _sift(files: FileList, catalogue: Catalogue, settings: EmbedSettings) -> tuple[FileList, np.ndarray]:
    """Find the files that the album does not know as they are: (those, bool which paths of the catalogue are there)."""
    import numpy as np

    from embedder.file_list import FileList
    from embedder.paths import path_text
    from embedder.pipeline import is_known

    new, seen = FileList(), np.zeros(len(catalogue.photos), bool)
    for file in files:
        place = catalogue.photos.place(path_text(file.path))
        if place is not None:
            seen[place] = True
        if not is_known(file, catalogue, settings):
            new.add(file)
    return new, seen


def _embed_new(new: FileList, album: Album, catalogue: Catalogue, device: str, settings: EmbedSettings) -> EmbedReport:
    from embedder.decode_pool import DecodePool, limits_for
    from embedder.pipeline import embed_photos

    model = load_model(album, device, photos=len(new))
    limits = limits_for(settings.max_pixels)
    with progress(len(new), "photos") as update, DecodePool(settings.readers, limits) as decoders:

        def tell(report: EmbedReport) -> None:
            update(report.finished, report.faces)

        try:
            return embed_photos(new, model, album.shards, catalogue, settings, tell, decode=decoders.decode)
        except KeyboardInterrupt:
            say("Stopped. What was finished is kept: the same command goes on from there.")
            raise


def refresh_derived(album: Album) -> Archive:
    """Bring what is derived from an album up to date, but for the groups; give the album as it stands.

    Before, what was said of faces that have come meanwhile is carried over to them. Says what was done. The caller
    holds the album's lock.
    """
    from indexer.archive import read_archive_even_empty
    from indexer.kept_recogniser import MIN_FACES, open_recogniser
    from indexer.search.album_index import refresh_album_index
    from indexer.snapshot import refresh_snapshot

    refresh_snapshot(album)
    archive = _with_waiting_facts(read_archive_even_empty(album))
    for note in refresh_album_index(archive):
        say(note)
    if (archive.persons >= 0).sum() >= MIN_FACES:
        open_recogniser(archive, keep=True)
    return archive


def _with_waiting_facts(archive: Archive) -> Archive:
    """Carry over what waited for photos, say so, and give the album with it."""
    from indexer.archive import read_people
    from indexer.waiting_facts import carry_over

    carried = carry_over(archive)
    if carried.action is None:
        return archive
    say(f"What was said of {count(carried.moved, 'face')} before holds for the faces in the same places now.")
    return replace(archive, people=read_people(archive.album))


def load_model(album: Album, device: str, *, photos: int = 1) -> FaceModel:
    """Load the album's model on a device, and say which device it is.

    Args:
        photos: how many it is loaded for: for many it is measured first what is fastest here, if nobody knows yet.
    """
    from embedder.calibration import memory_file
    from indexer.album import require_model

    spec = album_model(album)
    require_model(album, spec.name, spec.fingerprint())
    model = load_spec(spec, device)
    if photos > 1:
        measured = model.calibrate(memory_file(), measure=photos >= _LONG_JOB)
        if measured is not None:
            say(f"Measured, once for this machine: {measured}.")
    return model


def load_spec(spec: ModelSpec, device: str) -> FaceModel:
    """Load a model on a device, and say which device it is."""
    from embedder.device import choose_compute
    from embedder.model import FaceModel

    compute = choose_compute(device)
    say(f"Model {spec.name} on {compute.why}.")
    return FaceModel(spec, compute)


def _say_unreadable(report: EmbedReport) -> None:
    for path, reason in report.reasons[:_REASONS_SHOWN]:
        say(f"  unreadable: {path}: {reason}")
    if len(report.reasons) > _REASONS_SHOWN:
        say(f"  and {len(report.reasons) - _REASONS_SHOWN} more: `visavis status --unreadable` lists them")


@contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Let a request to terminate (as a service manager sends it) end as cleanly as Ctrl-C."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
