"""`visavis remove` and `visavis compact`: take photos out of the album, and delete what is left of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.options import ANY_PATH, album_option, count, json_option, print_json, say
from indexer.commands.progress import progress

if TYPE_CHECKING:
    from embedder.catalogue import Catalogue
    from indexer.album import Album
    from indexer.removal import Change

# What the new status of a photo means to the user; of a restored one, "gone" is that it has to be embedded again.
_REMOVED = {"removed": "removed", "gone": "gone"}
_RESTORED = {"ok": "restored", "gone": "forgotten"}


@click.command()
@click.argument("photos", nargs=-1, type=ANY_PATH, metavar="[PHOTO_OR_FOLDER]...")
@album_option
@click.option(
    "--missing", is_flag=True, help="Those whose files are not there any more; below folders, if any is named."
)
@click.option("--restore", is_flag=True, help="Take removed photos back in.")
@click.option(
    "--compact", "and_compact", is_flag=True, help="Delete their embeddings from every file, as `compact` does."
)
@click.option("--dry-run", is_flag=True, help="List what would be done, and do nothing.")
@click.option("--yes", is_flag=True, help="Believe --missing though more than half of a folder's photos are missing.")
@json_option
def remove(
    photos: tuple[Path, ...], album: Path, missing: bool, restore: bool, and_compact: bool, dry_run: bool, yes: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Take photos out of the album: no answer rests on them from then on. The files are not touched.

    A photo goes by its content: also from other paths that show it, and `visavis index` leaves it
    out wherever its file lies later. --restore takes it back in. What `visavis compact` deleted
    has to be embedded again then: restore it, and run `visavis index`.

    With --missing, photos go whose files are gone; a file that comes back is taken in again.

    \b
    Examples:
      visavis remove ~/Pictures/beach.jpg ~/Pictures/private
      visavis remove --missing --dry-run
      visavis remove --restore ~/Pictures/beach.jpg
    """
    from embedder.catalogue import read_catalogue
    from indexer.album import open_album
    from indexer.locks import writing
    from indexer.removal import missing_photos, removal, restoration, write_changes

    _check_use(photos, missing=missing, restore=restore, and_compact=and_compact)
    opened = open_album(album)
    with nullcontext() if dry_run else writing(album):
        catalogue = read_catalogue(opened.shards)
        plan = missing_photos if missing else restoration if restore else removal
        changes = plan(catalogue, photos)
        if missing and not yes:
            _require_drives(catalogue, changes)
        if changes and not dry_run:
            write_changes(opened, changes)
        _tell(changes, _RESTORED if restore else _REMOVED, dry_run=dry_run, as_json=as_json)
        if and_compact and not dry_run:
            _say_compacted(*_compact(opened))


@click.command()
@album_option
@click.option("--dry-run", is_flag=True, help="Tell what would be deleted, and delete nothing.")
@json_option
def compact(album: Path, dry_run: bool, as_json: bool) -> None:
    """Delete from the files of the album what no longer counts: rows and embeddings of removed and changed photos.

    Afterwards no file of the album holds an embedding of theirs. What counts stays as it is, bit
    for bit. Interrupt it at any time: the same command goes on from there.

    \b
    Example:
      visavis compact
    """
    from embedder.compaction import plan_compaction
    from indexer.album import open_album
    from indexer.locks import writing

    opened = open_album(album)
    if dry_run:
        plan = plan_compaction(opened.shards)
        done = len(plan), sum(r.photos_left_out for r in plan), sum(r.faces_left_out for r in plan), 0
    else:
        with writing(album):
            done = _compact(opened)
    if as_json:
        print_json([dict(zip(("shards", "photo_rows", "faces", "bytes_freed"), done, strict=True))])
    _say_compacted(*done, dry_run=dry_run)


def _check_use(photos: Sequence[Path], *, missing: bool, restore: bool, and_compact: bool) -> None:
    if missing and restore:
        raise click.UsageError("--missing and --restore exclude each other")
    if restore and and_compact:
        raise click.UsageError("--restore brings back what --compact deletes: choose one")
    if not photos and not missing:
        raise click.UsageError("name photos or folders, or say --missing")


def _require_drives(catalogue: Catalogue, changes: Sequence[Change]) -> None:
    """Refuse if whole folders seem to be missing."""
    from indexer.removal import doubtful_folders

    doubtful = doubtful_folders(catalogue, changes)
    if doubtful:
        folders = "; ".join(f"{lost:,} of the {held:,} photos below {folder}" for folder, lost, held in doubtful)
        raise click.ClickException(
            f"missing are {folders}. If that is a drive that is not mounted, mount it; if they are deleted, say --yes. "
            "Nothing was changed"
        )


def _tell(changes: Sequence[Change], words: dict[str, str], *, dry_run: bool, as_json: bool) -> None:
    """List what was done, and sum it up."""
    lines = [(c.row.path, words[c.row.status], c.faces, c.asked) for c in changes]
    if as_json:
        print_json(dict(zip(("photo", "status", "faces", "asked"), line, strict=True)) for line in lines)
    else:
        for path, status, faces, asked in lines:
            click.echo(f"{status}\t{path} ({count(faces, 'face')}{'' if asked else ', the same photo'})")
    would = "would be " if dry_run else ""
    for word in words.values():
        paths = {c.row.path: c for c in changes if words[c.row.status] == word}
        faces = sum({c.row.photo_id or path: c.faces for path, c in paths.items()}.values())
        copies = sum(not c.asked for c in paths.values())
        also = f", {copies:,} of them as other paths of the same photos" if copies else ""
        if paths:
            say(f"{count(len(paths), 'file')} with {count(faces, 'face')} {would}{word}{also}.")
        if paths and word == "forgotten":
            say("Their embeddings are deleted: `visavis index` takes them in as new.")
    if not changes:
        say("Nothing to do.")


def _compact(album: Album) -> tuple[int, int, int, int]:
    """Compact an album: (shards written anew, photo rows, faces and bytes deleted)."""
    from embedder.compaction import plan_compaction
    from indexer.commands.embedding import refresh_derived
    from indexer.generations import drop_generations
    from indexer.removal import compact_album

    for folder in drop_generations(album):
        say(f"{folder} is deleted: a former generation of the album, or one that was begun.")
    before, plan = _size(album), plan_compaction(album.shards)
    with progress(len(plan), "shards") as update:
        compact_album(album, plan, lambda finished: update(finished, sum(r.faces_left_out for r in plan[:finished])))
    if plan:
        refresh_derived(album)
    photos, faces = sum(r.photos_left_out for r in plan), sum(r.faces_left_out for r in plan)
    return len(plan), photos, faces, before - _size(album)


def _size(album: Album) -> int:
    return sum(path.stat().st_size for path in album.shards.rglob("*") if path.is_file())


def _say_compacted(shards: int, photos: int, faces: int, freed: int, *, dry_run: bool = False) -> None:
    if not shards:
        say("Nothing to compact: every row of every shard counts.")
        return
    will = "would be " if dry_run else ""
    size = "" if dry_run else f", {freed / 1e6:.1f} MB freed"
    rows = f"{count(faces, 'embedding')} and {count(photos, 'row')} of photos"
    say(f"{rows} {will}deleted from {count(shards, 'shard')}{size}.")
