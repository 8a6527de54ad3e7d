"""`visavis status` and `visavis verify`: what the album holds, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from indexer.commands.options import album_option, count, json_option, print_json, say

if TYPE_CHECKING:
    from indexer.archive import Archive


@click.command()
@album_option
@click.option("--unreadable", is_flag=True, help="List the files that cannot be read, and why.")
@json_option
def status(album: Path, unreadable: bool, as_json: bool) -> None:
    """Tell what the album holds.

    \b
    Examples:
      visavis status
      visavis status --unreadable
    """
    from indexer.album import open_album
    from indexer.archive import read_archive_even_empty

    archive = read_archive_even_empty(open_album(album))
    if unreadable:
        _list_unreadable(archive, as_json)
        return
    summary = summarise(archive)
    if as_json:
        print_json([summary])
        return
    for name, value in summary.items():
        click.echo(f"{name.replace('_', ' '):<16} {value:,}" if isinstance(value, int) else f"{name:<16} {value}")


def summarise(archive: Archive) -> dict[str, object]:
    """Count what an album holds."""
    from embedder.shards import list_shards
    from indexer.grouping.groups import FILE_NAME, read_groups
    from indexer.search.album_index import describe_album_index

    photos = archive.catalogue.photos
    album, people = archive.album, archive.people
    groups = read_groups(album.index / FILE_NAME).of(archive.faces.face_ids)
    unnamed = archive.persons < 0
    return {
        "album": str(album.root),
        "model": album.model,
        "fingerprint": album.fingerprint,
        "created": album.created,
        "photos": photos.held(),
        "unreadable": photos.count("unreadable"),
        "removed": photos.count("removed"),
        "faces": len(archive.faces),
        "people": len(set(people.person_of.values())),
        "named_faces": int((~unnamed).sum()),
        "groups": len(set(groups[unnamed & (groups > 0)].tolist())),
        "ungrouped_faces": int((unnamed & (groups == 0)).sum()),
        "shards": len(list_shards(album.shards)),
        "bytes": sum(path.stat().st_size for path in album.root.rglob("*") if path.is_file()),
        "index": describe_album_index(archive),
    }


def _list_unreadable(archive: Archive, as_json: bool) -> None:
    rows = list(archive.catalogue.photos.of_status("unreadable"))
    if as_json:
        print_json({"photo": row.path, "reason": row.reason} for row in rows)
    else:
        for row in rows:
            click.echo(f"{row.path}: {row.reason}")
        say(count(len(rows), "unreadable file") + ".")


@click.command()
@album_option
@click.option(
    "--repair",
    "and_repair",
    is_flag=True,
    help="Remove what killed commands left and what is derived and damaged; set damaged shards aside.",
)
@json_option
def verify(album: Path, and_repair: bool, as_json: bool) -> None:
    """Check every checksum and every reference of the album. Exit code 1 if something is wrong.

    With --repair, what can be made anew is removed first. A damaged shard is moved to ALBUM/damaged, and
    the next `visavis index` embeds its photos again. What you said of people is never touched.

    \b
    Examples:
      visavis verify --album ~/album
      visavis verify --repair
    """
    from indexer.album import open_album
    from indexer.locks import writing
    from indexer.repair import repair
    from indexer.verify import problems

    opened = open_album(album)
    if and_repair:
        with writing(album):
            for deed in repair(opened):
                print_json([{"repaired": deed}]) if as_json else click.echo(f"repaired: {deed}")
    found = list(problems(opened))
    if as_json:
        print_json({"problem": problem} for problem in found)
    else:
        for problem in found:
            click.echo(problem)
    if found:
        raise click.ClickException(f"{count(len(found), 'problem')} in {album}")
    say(f"{album} is whole.")
