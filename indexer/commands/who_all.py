"""`visavis who --all` and `--out`: name very many faces, in blocks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.options import count, print_json, print_table, say
from indexer.commands.progress import duration, progress

if TYPE_CHECKING:
    import numpy as np

    from indexer.bulk import Block, Tally
    from indexer.commands.who_photos import PhotoNamer
    from indexer.naming.identify import IdentifySettings
    from indexer.naming.recognition import Recogniser

_BLOCK_FILES = 128


def name_album(
    recogniser: Recogniser, settings: IdentifySettings, groups: np.ndarray, *, out: Path | None, as_json: bool
) -> None:
    """Name every face of the album but the ignored, by photo and from left to right; no photo is opened.

    Args:
        groups: int64 (N,), of each face of the archive.
        out: file to write; None to print each line with ``as_json``, else a summary alone.
    """
    from dataclasses import replace

    from indexer.bulk import BLOCK_FACES, Block, block_ends, digest_of, photo_order
    from indexer.named_faces import AlbumFaces, name_album_faces

    started = time.monotonic()
    settings = replace(settings, nearest=1)  # the evidence of a whole archive would be longer than the answers
    archive = recogniser.archive
    archive.paths.read_all()
    rows, starts = photo_order(archive)
    blocks = block_ends(starts, len(rows), BLOCK_FACES)
    faces = AlbumFaces.of(recogniser, rows, groups)

    def name(number: int) -> Block:
        return Block(name_album_faces(faces.part(*blocks[number]), settings))

    sizes = [stop - start for start, stop in blocks]
    if out is None:
        tally = _print_blocks(name, sizes, as_json=as_json)
    else:
        digest = digest_of(archive, groups, (archive.paths[row] for row in rows[starts].tolist()), settings)
        tally = _write(out, digest, name, sizes, "faces")
    _summarise(tally, time.monotonic() - started, as_json=as_json, printed=out is None, out=out)


def name_files(
    recogniser: Recogniser, settings: IdentifySettings, groups: np.ndarray, namer: PhotoNamer,
    files: Sequence[Path], *, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Name the faces of photo files and write the answers to ``out``."""
    from indexer.bulk import Block, digest_of

    started = time.monotonic()
    starts = range(0, len(files), _BLOCK_FILES)

    def name(number: int) -> Block:
        photos = list(namer.name(files[starts[number] : starts[number] + _BLOCK_FILES]))
        for photo in photos:
            if photo.problem is not None:
                say(f"{photo.path}: {photo.problem}")
        lines = [line for photo in photos for line in photo.lines]
        return Block(lines, sum(photo.problem is not None for photo in photos))

    digest = digest_of(recogniser.archive, groups, (_stamp(path) for path in files), settings)
    sizes = [min(_BLOCK_FILES, len(files) - start) for start in starts]
    tally = _write(out, digest, name, sizes, "photos")
    _summarise(tally, time.monotonic() - started, as_json=as_json, printed=False, out=out)
    if tally.unreadable:
        raise click.ClickException(f"{count(tally.unreadable, 'photo')} could not be read")


def _stamp(path: Path) -> str:
    """Tell a file and its state apart from others."""
    try:
        status = path.stat()
    except OSError as error:
        return f"{path} {error.strerror}"
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def _print_blocks(name: Callable[[int], Block], sizes: Sequence[int], *, as_json: bool) -> Tally:
    from indexer.bulk import Tally

    tally = Tally()
    # A bar would run through the lines on the same terminal.
    with progress(0 if as_json and sys.stdout.isatty() else sum(sizes), "faces") as update:
        for number in range(len(sizes)):
            block = name(number)
            tally.add_block(block)
            if as_json:
                print_json(block.lines)
            update(tally.faces, sum(tally.named.values()))
    return tally


def _write(out: Path, digest: str, name: Callable[[int], Block], sizes: Sequence[int], what: str) -> Tally:
    from indexer.bulk import PartsFolder, name_into, parts_path
    from indexer.locks import writing

    with writing(parts_path(out)):
        parts = PartsFolder(out, digest)
        if parts.discard_others():
            say("The album, the photos or the options have changed since the last run: starting over.")
        there = [number for number in range(len(sizes)) if parts.has(number)]
        if there:
            say(f"Going on: {sum(sizes[number] for number in there):,} of {sum(sizes):,} {what} are finished.")
        done, named = 0, 0
        with progress(sum(sizes) - sum(sizes[number] for number in there), what) as update:

            def on_progress(number: int, block: Block) -> None:
                nonlocal done, named
                done += sizes[number]
                named += len(block.lines)
                update(done, named)

            try:
                return name_into(parts, len(sizes), name, on_progress)
            except KeyboardInterrupt:
                say("Stopped. What was finished is kept: the same command goes on from there.")
                raise


def _summarise(tally: Tally, seconds: float, *, as_json: bool, printed: bool, out: Path | None) -> None:
    """Tell who was found: people and how many photos show them."""
    people = sorted(tally.photos, key=lambda person: (-tally.photos[person], person))
    if not as_json and people:
        rows = [(p, f"{tally.photos[p]:,}", f"{tally.named[p]:,}", f"{tally.said[p]:,}") for p in people]
        print_table(("WHO", "PHOTOS ", "FACES ", "BY HAND "), [tuple(row) for row in rows])
    elif as_json and not printed:
        print_json(
            {"person": p, "photos": tally.photos[p], "faces": tally.named[p], "said": tally.said[p]} for p in people
        )
    named, said = sum(tally.named.values()), sum(tally.said.values())
    say(
        f"{count(tally.faces, 'face')}: {named:,} of {count(len(people), 'person', 'people')} "
        f"({said:,} named before, {named - said:,} found), {tally.faces - named:,} unknown, in {duration(seconds)}."
    )
    if out is not None:
        say(f"{out} has a line for each face.")
