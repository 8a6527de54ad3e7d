"""What the shards of an album say now: the valid row of each photo, and the faces that count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedder.rows import FaceRows, PhotoRow, join_faces, select_faces
from embedder.shards import list_shards, read_faces, read_manifest, read_photos


@dataclass(frozen=True)
class Catalogue:
    """The photos of an album.

    Attributes:
        photos: path → its newest row.
        embedded: photo_id → its newest row, of each photo whose faces stand in a shard, whether or
            not a file still has that content.
    """

    photos: dict[str, PhotoRow]
    embedded: dict[str, PhotoRow]

    def paths_by_id(self) -> dict[str, str]:
        """Give one path for each readable photo_id: the first in the order of names."""
        first: dict[str, str] = {}
        for path in sorted(self.photos):
            photo = self.photos[path]
            if photo.status == "ok" and photo.photo_id is not None:
                first.setdefault(photo.photo_id, path)
        return first


def read_catalogue(shards: Path) -> Catalogue:
    """Read the photo rows of every shard in the folder ``shards``.

    Raises:
        embedder.shards.ShardError: if one is damaged.
    """
    photos: dict[str, PhotoRow] = {}
    embedded: dict[str, PhotoRow] = {}
    for shard in list_shards(shards):
        for photo in read_photos(shard):
            photos[photo.path] = photo
            if photo.status == "ok" and photo.photo_id is not None:
                embedded[photo.photo_id] = photo
    return Catalogue(photos, embedded)


def read_album_faces(shards: Path, catalogue: Catalogue) -> FaceRows | None:
    """Read the faces of every photo that a file of the catalogue still shows, each face once.

    Returns:
        the faces in the order of the shards; None if there is no shard, so no dimension either.
    Raises:
        embedder.shards.ShardError: if a shard is damaged.
    """
    folders = list_shards(shards)
    if not folders:
        return None
    faces = join_faces([read_faces(shard) for shard in folders])
    shown = {photo.photo_id for photo in catalogue.photos.values() if photo.status == "ok"}
    keep = np.zeros(len(faces), bool)
    keep[np.unique(faces.face_ids, return_index=True)[1]] = True
    keep &= np.fromiter((name in shown for name in faces.photo_ids), bool, len(faces))
    return faces if keep.all() else select_faces(faces, np.flatnonzero(keep))


def shard_fingerprints(shards: Path) -> dict[str, str]:
    """Give the model fingerprint of each shard, by the shard's number."""
    return {shard.name: read_manifest(shard).fingerprint for shard in list_shards(shards)}
