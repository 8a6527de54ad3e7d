"""An album as it stands, in memory: photos, faces, what was said about them, and their index."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embedder.catalogue import Catalogue, read_album_faces, read_catalogue, shard_fingerprints
from embedder.rows import FaceRows, no_faces
from indexer.album import Album, AlbumError, write_whole
from indexer.index import FaceIndex, build_index, contents, load_index, save_index
from indexer.people import FaceRef, PeopleState, PeopleStore


class EmptyAlbum(AlbumError):
    """An album without a face, where one is needed."""


@dataclass(frozen=True)
class Archive:
    """Everything that an answer is made from.

    Attributes:
        album: where it lies.
        catalogue: the photos.
        faces: the N faces that some file still shows.
        people: what humans said.
    """

    album: Album
    catalogue: Catalogue
    faces: FaceRows
    people: PeopleState

    @cached_property
    def embeddings(self) -> np.ndarray:
        """float32 (N, D), unit rows."""
        rows = self.faces.embeddings.astype(np.float32)
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))

    @cached_property
    def row_of(self) -> dict[int, int]:
        """face_id → row."""
        return {int(face): row for row, face in enumerate(self.faces.face_ids)}

    @cached_property
    def photo_numbers(self) -> np.ndarray:
        """int64 (N,): faces of one photo have the same number."""
        return np.unique(self.faces.photo_ids, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def persons(self) -> np.ndarray:
        """int64 (N,): who each face was said to be, −1 where nobody said."""
        person_of = self.people.person_of
        return np.fromiter((person_of.get(int(f), -1) for f in self.faces.face_ids), np.int64, len(self.faces))

    @cached_property
    def ignored(self) -> np.ndarray:
        """Bool (N,): faces that shall never be shown again."""
        return np.fromiter((int(f) in self.people.ignored for f in self.faces.face_ids), bool, len(self.faces))

    @cached_property
    def paths(self) -> list[str]:
        """The path of each face's photo, N of them."""
        by_id = self.catalogue.paths_by_id()
        return [by_id[name] for name in self.faces.photo_ids]

    def ref(self, row: int) -> FaceRef:
        """Refer to a face as the people file does."""
        x, y, w, h = (int(v) for v in self.faces.boxes_xywh[row])
        return FaceRef(int(self.faces.face_ids[row]), self.faces.photo_ids[row], (x, y, w, h))

    def box(self, row: int) -> list[int]:
        """The face's box, [x, y, w, h] in pixels of the upright photo."""
        return [int(v) for v in self.faces.boxes_xywh[row]]


def read_archive(album: Album) -> Archive:
    """Read an album that has faces.

    Raises:
        EmptyAlbum: if there is no face in it.
        AlbumError, embedder.shards.ShardError, indexer.people.PeopleError: see ``read_archive_even_empty``.
    """
    archive = read_archive_even_empty(album)
    if not len(archive.faces):
        raise EmptyAlbum(
            f"{album.root} holds {len(archive.catalogue.photos)} photos and no face: "
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
    catalogue = read_catalogue(album.shards)
    faces = read_album_faces(album.shards, catalogue)
    return Archive(album, catalogue, no_faces(0) if faces is None else faces, read_people(album))


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


def current_index(archive: Archive) -> tuple[FaceIndex, bool]:
    """Give the index of an archive's faces, from the cache or built anew.

    Returns:
        (index, whether it was built).
    """
    about = contents(archive.album.fingerprint, archive.faces.face_ids)
    index = load_index(archive.album.index, about)
    if index is not None:
        return index, False
    index = build_index(archive.embeddings)
    archive.album.index.mkdir(exist_ok=True, mode=0o700)
    for name, content in save_index(index, about).items():
        write_whole(archive.album.index / name, content)
    return index, True
