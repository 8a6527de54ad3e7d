"""Check a shard: the checksums of its files, and whether its faces belong to its photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from embedder.shards import (
    MANIFEST,
    PHOTOS,
    Manifest,
    ShardError,
    file_sha256,
    manifest_bytes,
    read_faces,
    read_manifest,
    read_photos,
)


def check_shard(shard: Path) -> list[str]:
    """Compare all three files with their checksums, and the face rows with the photo rows.

    Returns:
        what is wrong, a sentence each; empty if nothing is.
    """
    try:
        manifest = read_manifest(shard)
    except ShardError as error:
        return [str(error)]
    problems = []
    if (shard / MANIFEST).read_bytes() != manifest_bytes(manifest):
        problems.append(f"{shard / MANIFEST} is not what was written: its own SHA-256 is another")
    for name, expected in manifest.sha256.items():
        path = shard / name
        if not path.exists():
            problems.append(f"{path} is missing")
        elif file_sha256(path) != expected:
            problems.append(f"{path} is not what was written: its SHA-256 is another")
    if not problems:
        problems = _check_references(shard, manifest)
    return problems


def photos_are_whole(shard: Path) -> bool:
    """Whether the manifest and the photo rows of a shard are what was written, whatever became of the faces.

    Raises:
        embedder.shards.ShardError, OSError: if a file is missing or damaged so that it cannot be read.
    """
    manifest = read_manifest(shard)
    if (shard / MANIFEST).read_bytes() != manifest_bytes(manifest):
        return False
    return file_sha256(shard / PHOTOS) == manifest.sha256.get(PHOTOS)


def _check_references(shard: Path, manifest: Manifest) -> list[str]:
    try:
        photos, faces = read_photos(shard), read_faces(shard)
    except ShardError as error:
        return [str(error)]
    problems = []
    if len(photos) != manifest.photos or len(faces) != manifest.faces:
        problems.append(f"{shard} holds {len(photos)} photos and {len(faces)} faces, its manifest says otherwise")
    strays = set(faces.photo_ids) - {photo.photo_id for photo in photos}
    if strays:
        problems.append(f"{shard}: faces of {len(strays)} photos that have no row")
    if not np.isfinite(faces.embeddings.astype(np.float32)).all():
        problems.append(f"{shard}: embeddings that are not numbers")
    return problems
