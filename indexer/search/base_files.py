"""The base on the disk: codes, whose they are, and a manifest that vouches for both. Only ever a cache.

    index/base.json                 format, model, how it is searched, SHA-256 of both files and of itself
    index/cells-1a2b3c4d5e6f.faiss  the codes, as FAISS writes them
    index/faces-6f5e4d3c2b1a.npy    int64, the face_ids in the order of the codes

Both files are named by their content. The manifest is replaced last, and what it named before is deleted then: a
kill at any moment leaves the former base or the new one. FAISS is given the very bytes that were hashed, and no
others: it trusts what it reads.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from indexer.album import write_whole
from indexer.search.cells import Base
from indexer.search.faiss_calls import Ints, codes_from_bytes
from indexer.search.tuning import FirstLook, Tuning

FORMAT = 3
_MANIFEST = "base.json"
_FORMER = ("faces.faiss", "faces.json")  # of visavis 0.1
_OURS = ("cells-*.faiss", "faces-*.npy")


class BaseFileError(Exception):
    """Files of a base that are damaged, of another model or of another version. Says which; it is built anew."""


@dataclass(frozen=True)
class Manifest:
    """What a base says about itself.

    Attributes:
        format: of the files.
        fingerprint: of the model.
        faces, dimension, cells: of the codes.
        tuning: how they are searched.
        cells_file, faces_file: the names of both files.
        sha256: file name → checksum.
    """

    format: int
    fingerprint: str
    faces: int
    dimension: int
    cells: int
    tuning: Tuning
    cells_file: str
    faces_file: str
    sha256: dict[str, str]


def write_base(folder: Path, base: Base, fingerprint: str) -> None:
    """Write a base into ``folder`` in place of the one that is there. The caller holds the album's lock.

    Raises:
        OSError: if the disk is full or the folder cannot be written; the former base is still there then.
    """
    faces = io.BytesIO()
    np.save(faces, base.face_ids.astype("<i8"))
    contents = {("cells", "faiss"): base.codes.to_bytes(), ("faces", "npy"): faces.getvalue()}
    named = {f"{kind}-{_sha256(body)[:12]}.{end}": body for (kind, end), body in contents.items()}
    cells_file, faces_file = named
    checksums = {name: _sha256(body) for name, body in named.items()}
    about = len(base.face_ids), base.codes.dimension, base.codes.cells
    manifest = Manifest(FORMAT, fingerprint, *about, base.tuning, cells_file, faces_file, checksums)
    folder.mkdir(exist_ok=True, mode=0o700)
    for name, body in named.items():
        write_whole(folder / name, body)
    write_whole(folder / _MANIFEST, _manifest_bytes(manifest))
    _delete(folder, keep=set(named))


def delete_base(folder: Path) -> None:
    """Delete the base in ``folder``, and that of an earlier version; without one nothing happens."""
    (folder / _MANIFEST).unlink(missing_ok=True)
    _delete(folder, keep=set())


def read_base(folder: Path, fingerprint: str) -> Base | None:
    """Read the base in ``folder``; None if there is none.

    Raises:
        BaseFileError: if a file is not what was written, or the base is of another model.
    """
    manifest = _read_manifest(folder)
    if manifest is None:
        return None
    if manifest.fingerprint != fingerprint:
        raise BaseFileError(f"{folder} holds an index of model {manifest.fingerprint}, the album is of {fingerprint}")
    codes = codes_from_bytes(_read_checked(folder, manifest, manifest.cells_file))
    face_ids = _face_ids(_read_checked(folder, manifest, manifest.faces_file))
    if len(codes) != len(face_ids):
        raise BaseFileError(f"{folder} holds codes of {len(codes)} faces and the names of {len(face_ids)}")
    return Base(codes, face_ids, manifest.tuning)


def check_base(folder: Path) -> list[str]:
    """Compare the files of a base with their checksums.

    Returns:
        what is wrong, a sentence each; nothing if there is no base, for it is only a cache.
    """
    problems = []
    try:
        manifest = _read_manifest(folder)
    except BaseFileError as error:
        return [f"{error}: `visavis index` builds it anew"]
    if manifest is None:
        return []
    for name in (manifest.cells_file, manifest.faces_file):
        try:
            _read_checked(folder, manifest, name)
        except BaseFileError as error:
            problems.append(f"{error}: `visavis index` builds it anew")
    return problems


def _read_manifest(folder: Path) -> Manifest | None:
    path = folder / _MANIFEST
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        content = json.loads(body)
        found = content.pop("format")
        del content["own_sha256"]  # compared below, with all else
        if found == FORMAT:
            manifest = Manifest(format=found, **{**content, "tuning": _tuning(content["tuning"])})
            if body == _manifest_bytes(manifest):
                return manifest
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaseFileError(f"{path} is damaged") from error
    if found != FORMAT:
        raise BaseFileError(f"{path} has format {found}, this version knows {FORMAT}")
    raise BaseFileError(f"{path} is damaged")


def _tuning(content: dict[str, Any]) -> Tuning:
    look = content.pop("first_look")
    return Tuning(**content, first_look=None if look is None else FirstLook(**look))


def _manifest_bytes(manifest: Manifest) -> bytes:
    content = asdict(manifest)
    own = _sha256(json.dumps(content, sort_keys=True).encode())
    return (json.dumps({**content, "own_sha256": own}, indent=1) + "\n").encode()


def _read_checked(folder: Path, manifest: Manifest, name: str) -> bytes:
    try:
        body = (folder / name).read_bytes()
    except OSError as error:
        raise BaseFileError(f"{folder / name} is missing") from error
    if _sha256(body) != manifest.sha256.get(name):
        raise BaseFileError(f"{folder / name} is not what was written")
    return body


def _face_ids(body: bytes) -> Ints:
    return np.asarray(np.load(io.BytesIO(body)), np.int64)


def _delete(folder: Path, keep: set[str]) -> None:
    ours = [path for pattern in _OURS for path in folder.glob(pattern) if path.name not in keep]
    for path in [*ours, *(folder / name for name in _FORMER)]:
        path.unlink(missing_ok=True)


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
