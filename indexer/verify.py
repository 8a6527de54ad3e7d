"""Check an album: checksums of the shards and the index, and references between its parts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from embedder.shards import ShardError, check_shard, list_shards, read_manifest
from indexer.album import Album, AlbumError
from indexer.archive import Archive, read_archive_even_empty
from indexer.grouping.groups import FILE_NAME, GroupsError, read_groups
from indexer.index import check_index
from indexer.people import PeopleError


def problems(album: Album) -> Iterator[str]:
    """Yield what is wrong with an album, a sentence each. An album that is whole yields nothing."""
    damaged = False
    for shard in list_shards(album.shards):
        for problem in check_shard(shard):
            damaged = True
            yield problem
    yield from _shard_numbers(album)
    yield from _people_file(album)
    yield from check_index(album.index)
    if not damaged:
        yield from _references(album)


def _shard_numbers(album: Album) -> Iterator[str]:
    """A shard that another model made, or an entry that is none."""
    for path in sorted(album.shards.iterdir()):
        if path.name.startswith(".tmp-"):
            yield f"{path} was left by a killed run: the next `visavis index` removes it"
        elif not path.name.isdigit():
            yield f"{path} is no shard"
    for shard in list_shards(album.shards):
        try:
            fingerprint = read_manifest(shard).fingerprint
        except ShardError:
            continue  # said already
        if fingerprint != album.fingerprint:
            yield f"{shard} was made with model {fingerprint}, the album with {album.fingerprint}"


def _people_file(album: Album) -> Iterator[str]:
    if not album.people.exists():
        return
    try:
        connection = sqlite3.connect(f"file:{album.people}?mode=ro", uri=True)
        try:
            for (line,) in connection.execute("PRAGMA integrity_check"):
                if line != "ok":
                    yield f"{album.people}: {line}"
            for row in connection.execute("PRAGMA foreign_key_check"):
                yield f"{album.people}: a row of {row[0]} refers to nothing"
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        yield f"{album.people} is damaged: {error}"


def _references(album: Album) -> Iterator[str]:
    try:
        archive = read_archive_even_empty(album)
        groups = read_groups(album.index / FILE_NAME)
    except (AlbumError, ShardError, PeopleError, GroupsError) as error:
        yield str(error)
        return
    yield from _facts_without_face(archive)
    strays = set(groups.face_ids.tolist()) - set(archive.row_of)
    if strays:
        yield f"{len(strays)} faces have a group and are not in the album: run `visavis cluster`"


def _facts_without_face(archive: Archive) -> Iterator[str]:
    spoken_of = set(archive.people.person_of) | archive.people.ignored
    strays = spoken_of - set(archive.row_of)
    if strays:
        yield f"{len(strays)} faces were named or ignored and are not in the album (their photos changed or went)"
