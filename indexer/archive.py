"""An album as it stands, in memory: photos, faces, and what was said about them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedder.catalogue import Catalogue, PathsOfContents, shard_fingerprints, shown_faces
from embedder.rows import FaceColumns
from embedder.tables import AlbumTables
from embedder.vectors import UnitRows
from indexer.album import Album, AlbumError
from indexer.people import FaceRef, PeopleState, PeopleStore
from indexer.snapshot import read_album_tables


class EmptyAlbum(AlbumError):
    """An album without a face, where one is needed."""


@dataclass(frozen=True)
class Archive:
    """Everything that an answer is made from. What is costly to make or to read is made when it is asked for.

    Attributes:
        album: where it lies.
        tables: what its shards say.
        faces: the N faces that some file still shows.
        people: what humans said.
    """

    album: Album
    tables: AlbumTables
    faces: FaceColumns
    people: PeopleState

    @cached_property
    def catalogue(self) -> Catalogue:
        """The photos."""
        return Catalogue(self.tables)

    @cached_property
    def embeddings(self) -> UnitRows:
        """(N, D): indexing gives float32 unit rows, ``np.asarray`` all of them."""
        return UnitRows(self.faces.embeddings)

    @cached_property
    def row_of(self) -> dict[int, int]:
        """face_id → row."""
        return {face: row for row, face in enumerate(self.faces.face_ids.tolist())}

    @cached_property
    def photo_numbers(self) -> np.ndarray:
        """int64 (N,): faces of one photo have the same number."""
        return self.faces.contents.astype(np.int64)

    @cached_property
    def persons(self) -> np.ndarray:
        """int64 (N,): who each face is by what was said, of itself or of one that is the same; −1 where nobody said."""
        persons = np.full(len(self.faces), -1, np.int64)
        said = self.people.whose
        rows = self.rows_of_faces(said)
        people = np.fromiter(said.values(), np.int64, len(said))
        persons[rows[rows >= 0]] = people[rows >= 0]
        return persons

    @cached_property
    def heads(self) -> np.ndarray:
        """int64 (N,): the lowest face_id that each face was said to be the same as; its own where nobody said."""
        heads = np.array(self.faces.face_ids, np.int64)
        said = self.people.heads
        rows = self.rows_of_faces(said)
        lowest = np.fromiter(said.values(), np.int64, len(said))
        heads[rows[rows >= 0]] = lowest[rows >= 0]
        return heads

    @cached_property
    def ignored(self) -> np.ndarray:
        """Bool (N,): faces that shall never be shown again."""
        ignored = np.zeros(len(self.faces), bool)
        rows = self.rows_of_faces(self.people.ignored)
        ignored[rows[rows >= 0]] = True
        return ignored

    @cached_property
    def taken_at(self) -> np.ndarray:
        """datetime64[ms] (N,): local time of the camera when each face's photo was taken; NaT where unknown."""
        times = self.tables.contents.column("taken_at").to_numpy().astype("datetime64[ms]")
        return np.asarray(times[self.faces.contents])

    @cached_property
    def paths(self) -> FacePaths:
        """The path of each face's photo."""
        return FacePaths(self)

    def rows_of_faces(self, face_ids: Collection[int]) -> np.ndarray:
        """Find faces by their ids: int64 (M,), the row of each, −1 for a face that is not in the archive."""
        wanted = np.fromiter(face_ids, np.int64, len(face_ids))
        order = self._by_face_id
        if not len(order):
            return np.full(len(wanted), -1, np.int64)
        places = np.minimum(np.searchsorted(self.faces.face_ids, wanted, sorter=order), len(order) - 1)
        return np.where(self.faces.face_ids[order[places]] == wanted, order[places], -1)

    def rows_of_photo(self, photo_id: str | None) -> list[int]:
        """Find the faces of a photo: their rows, in the order in which they are stored."""
        content = self._content_of.get(photo_id)
        if content is None:
            return []
        ends = np.searchsorted(self.faces.contents, [content, content + 1], sorter=self._by_content)
        return sorted(self._by_content[ends[0] : ends[1]].tolist())

    def held_among(self, photo_ids: Collection[str]) -> set[str]:
        """Say which of some photos the album knows. Unlike ``rows_of_photo`` it makes no index of all of them."""
        known = self.tables.contents.column("photo_id")
        return set(known.filter(pc.is_in(known, pa.array(list(photo_ids), known.type))).to_pylist())

    def photo_id(self, row: int) -> str:
        """The content of a face's photo, as 32 hex digits."""
        return str(self.tables.contents.column("photo_id")[int(self.faces.contents[row])].as_py())

    def ref(self, row: int) -> FaceRef:
        """Refer to a face as the people file does."""
        x, y, w, h = (int(v) for v in self.faces.boxes_xywh[row])
        return FaceRef(int(self.faces.face_ids[row]), self.photo_id(row), (x, y, w, h))

    def box(self, row: int) -> list[int]:
        """The face's box, [x, y, w, h] in pixels of the upright photo."""
        return [int(v) for v in self.faces.boxes_xywh[row]]

    @cached_property
    def _by_face_id(self) -> np.ndarray:
        return np.argsort(self.faces.face_ids, kind="stable")

    @cached_property
    def _by_content(self) -> np.ndarray:
        return np.argsort(self.faces.contents, kind="stable")

    @cached_property
    def _content_of(self) -> dict[str | None, int]:
        ids = self.tables.contents.column("photo_id").to_pylist()
        return {photo_id: number for number, photo_id in enumerate(ids)}


class FacePaths:
    """The path of each face's photo: of several files with this content the first in the order of names."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._of = PathsOfContents(archive.tables.photos)

    def __len__(self) -> int:
        return len(self._archive.faces)

    def read_all(self) -> None:
        """Look up all of them at once, for answers about the whole archive."""
        self._of.read_all()

    def __getitem__(self, row: int) -> str:
        return self._of[int(self._archive.faces.contents[row])]

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))


def read_archive(album: Album) -> Archive:
    """Read an album that has faces.

    Raises:
        EmptyAlbum: if there is no face in it.
        AlbumError, embedder.shards.ShardError, indexer.people.PeopleError: see ``read_archive_even_empty``.
    """
    archive = read_archive_even_empty(album)
    if not len(archive.faces):
        raise EmptyAlbum(
            f"{album.root} holds {archive.catalogue.photos.held()} photos and no face: "
            f"add photos with `visavis index --album {album.root} PHOTOS`"
        )
    return archive


def read_archive_even_empty(album: Album) -> Archive:
    """Read an album.

    Raises:
        AlbumError: if its shards were made by different models.
        embedder.shards.ShardError, indexer.people.PeopleError: if a file is damaged.
    """
    require_one_model(album)
    tables = read_album_tables(album)
    return Archive(album, tables, shown_faces(tables), read_people(album))


def read_people(album: Album) -> PeopleState:
    """Read what humans said. An album without a people file has nothing said yet."""
    with PeopleStore(album.people) as store:
        return store.state()


def require_one_model(album: Album) -> None:
    """Refuse shards of another model than the album's; they may have been copied there.

    Raises:
        AlbumError: names the shard.
    """
    for shard, fingerprint in shard_fingerprints(album.shards).items():
        if fingerprint != album.fingerprint:
            raise AlbumError(
                f"{album.shards / shard} holds embeddings of model {fingerprint}, the album those of "
                f"{album.fingerprint}: they cannot be compared. Move the shard to an album of its own"
            )
