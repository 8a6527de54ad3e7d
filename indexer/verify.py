"""Check an album: checksums of the shards and the index, and references between its parts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import numpy as np

from embedder.rows import STATUSES
from embedder.shard_check import check_shard
from embedder.shards import ShardError, list_shards, read_manifest, shard_number, superseded_shards
from embedder.tables import shown_contents
from indexer.album import Album, AlbumError
from indexer.archive import Archive, read_archive_even_empty
from indexer.grouping.groups import FILE_NAME, GroupsError, read_groups
from indexer.kept_recogniser import FILE_NAME as RECOGNISER
from indexer.kept_recogniser import is_damaged
from indexer.people import PeopleError, PeopleStore
from indexer.people.log import FACT_TABLES
from indexer.people.seal import check_people_seal
from indexer.seals import broken_seals
from indexer.search.base_files import check_base
from indexer.snapshot import check_snapshots

CACHES = ("neighbours.npz",)
"""Sealed files of the index folder that can be made anew; of groups the numbers would be lost."""


def problems(album: Album) -> Iterator[str]:
    """Yield what is wrong with an album, a sentence each. An album that is whole yields nothing."""
    damaged = False
    for shard in list_shards(album.shards):
        for problem in check_shard(shard):
            damaged = True
            yield problem
    yield from _shard_numbers(album)
    yield from _people_file(album)
    yield from derived_problems(album)
    yield from _other_files(album)
    if not damaged:
        yield from _references(album)


def derived_problems(album: Album) -> list[str]:
    """Find what is wrong with the files that can be made anew from the shards, a sentence each."""
    return [*check_base(album.index), *check_snapshots(album), *_kept(album)]


def _kept(album: Album) -> Iterator[str]:
    """Files of the index folder that are made anew as soon as one is not what was written."""
    for path in broken_seals(album.index):
        if path.name in CACHES:
            yield f"{path} is not what was written: it is made anew"
    if is_damaged(album.index / RECOGNISER):
        yield f"{album.index / RECOGNISER} is not what was written: it is made anew"


def _other_files(album: Album) -> Iterator[str]:
    """Files whose checksum lies beside them, and what a killed command left."""
    for path in broken_seals(album.root):
        yield f"{path} is not what was written: its SHA-256 is another. Put back a copy, or index into a new album"
    for path in broken_seals(album.index):
        if path.name not in CACHES:
            yield f"{path} is not what was written: delete it and run `visavis cluster`"
    for folder in (album.root, album.index):
        for path in sorted(folder.glob(".tmp-*")):
            yield f"{path} was left by a killed command: `visavis verify --repair` removes it"


def _shard_numbers(album: Album) -> Iterator[str]:
    """A shard that another model made, or an entry that is none."""
    for path in sorted(album.shards.iterdir()):
        if path.name.startswith(".tmp-"):
            yield f"{path} was left by a killed run: the next `visavis index` removes it"
        elif shard_number(path.name) is None or not path.is_dir():
            yield f"{path} is no shard"
    for path in superseded_shards(album.shards):
        yield f"{path} was left by a killed `visavis compact`: the next one removes it, as `visavis index` does"
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
        yield from check_people_seal(album.people, FACT_TABLES)
    except sqlite3.DatabaseError as error:
        yield f"{album.people} is damaged: {error}"


def _references(album: Album) -> Iterator[str]:
    try:
        archive = read_archive_even_empty(album)
        groups = read_groups(album.index / FILE_NAME)
    except (AlbumError, ShardError, PeopleError, GroupsError) as error:
        yield str(error)
        return
    yield from _unknown_statuses(archive)
    yield from _facts_without_face(archive)
    strays = set(groups.face_ids.tolist()) - set(archive.tables.faces.face_ids.tolist())
    if strays:
        yield f"{len(strays)} faces have a group and are not in the album: run `visavis cluster`"


def _unknown_statuses(archive: Archive) -> Iterator[str]:
    strange = set(archive.tables.photos.column("status").to_pylist()) - STATUSES
    if strange:
        yield f"photos of a status that this version does not know: {', '.join(sorted(strange))}. Update visavis"


def _facts_without_face(archive: Archive) -> Iterator[str]:
    """Faces that were spoken of and are lost. Those of photos that were removed, changed or went are not."""
    strays = (set(archive.people.person_of) | archive.people.ignored) - set(archive.row_of)
    if not strays:
        return
    with PeopleStore(archive.album.people) as store:
        photo_of = {face: ref.photo_id for face, ref in store.faces().items()}
    contents = archive.tables.contents.column("photo_id").to_pylist()
    left = {contents[number] for number in np.flatnonzero(~shown_contents(archive.tables)).tolist()}
    lost = sum(photo_of.get(face) not in left for face in strays)
    if lost:
        yield f"{lost} faces were named or ignored and are not in the album: a shard was lost, or their photos changed"
