"""The index of an album: nothing on the disk while exact search is fast enough, a base in its folder beyond."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from indexer.search.base_files import BaseFileError, delete_base, read_base, write_base
from indexer.search.cells import Base, build_base, extend_base
from indexer.search.exact import Embeddings, StoredRows, choose_gpus
from indexer.search.face_index import (
    EXACT_FACES,
    FaceIndex,
    PlacedBase,
    describe,
    exact_index,
    index_with_base,
    place_base,
)
from indexer.search.faiss_calls import Ints
from indexer.search.tuning import TARGET

if TYPE_CHECKING:
    from indexer.archive import Archive

MOST_NEW = 20_000
"""New faces that are compared one and all before they are sorted into cells: 0.5 ms a query."""
MOST_GONE = 0.2
"""Share of the base that may be gone before it is built anew."""
MOST_GROWTH = 1.25
"""A base that has grown by more since it was tuned is built anew: there are too few cells by then."""


@dataclass(frozen=True)
class Faces:
    """The faces of an album, as far as an index needs them.

    Attributes:
        fingerprint: of the model.
        face_ids: int64 (N,), each once.
        embeddings: (N, D).
    """

    fingerprint: str
    face_ids: Ints
    embeddings: Embeddings


def current_index(archive: Archive, *, device: str = "auto", float16: bool = False) -> tuple[FaceIndex, list[str]]:
    """Give the index of an archive's faces: ``open_index`` for its album. Writes nothing."""
    return open_index(archive.album.index, _faces_of(archive), device=device, float16=float16)


def open_index(
    folder: Path, faces: Faces, *, device: str = "auto", float16: bool = False, exact_up_to: int = EXACT_FACES
) -> tuple[FaceIndex, list[str]]:
    """Open the index of an album's faces. Nothing is written, so that every reader may do it.

    Faces that came after the base was made are compared exactly, and those that are gone are passed over: answers
    are always those of ``faces``. Without a base that is whole, search is exact.

    Args:
        folder: the album's ``index``.
        device: "cpu", "cuda" (all GPUs that FAISS sees), "cuda:N", or "auto": GPUs for more than ``exact_up_to`` faces.
        float16: half the memory on GPUs.
        exact_up_to: faces that need no base.
    Returns:
        (index, what the user should know: a sentence each).
    Raises:
        ValueError: if an embedding is not a number.
        embedder.device.DeviceError: if a GPU is asked for that is not there.
    """
    few = len(faces.face_ids) <= exact_up_to
    if choose_gpus("cpu" if device == "auto" and few else device):
        return exact_index(faces.embeddings, device=device, float16=float16), []
    if few:
        return FaceIndex(faces.embeddings, None, "exact"), []
    slowly = FaceIndex(faces.embeddings, StoredRows(faces.embeddings), "exact, to be built")
    try:
        base = read_base(folder, faces.fingerprint)
    except BaseFileError as error:
        return slowly, [f"{error}. Searching exactly, which takes longer; `visavis index` builds it anew."]
    if base is None:
        return slowly, ["There is no index yet. Searching exactly, which takes longer; `visavis index` builds it."]
    return index_with_base(faces.embeddings, place_base(base, faces.face_ids)), []


def describe_album_index(archive: Archive) -> str:
    """Say how an album is searched: ``describe_index``."""
    return describe_index(archive.album.index, _faces_of(archive))


def describe_index(folder: Path, faces: Faces, *, exact_up_to: int = EXACT_FACES) -> str:
    """Say how an album is searched, without reading an embedding."""
    if len(faces.face_ids) <= exact_up_to:
        return "exact"
    try:
        base = read_base(folder, faces.fingerprint)
    except BaseFileError as error:
        return f"to be built: {error}"
    return "to be built" if base is None else describe(place_base(base, faces.face_ids))


def refresh_album_index(archive: Archive) -> list[str]:
    """Bring an album's index up to date: ``refresh_index``. The caller holds the album's lock."""
    from indexer.answers import album_groups
    from indexer.grouping.archive_groups import settings_for
    from indexer.naming.calibration import reached_by_half

    def labels() -> Ints:
        groups = album_groups(archive)
        # A person and a group may have the same number; a face never has both.
        return np.where(archive.persons >= 0, 2 * archive.persons, np.where(groups > 0, 2 * groups + 1, -1))

    # What every other stranger reaches with somebody of an album so large tells nothing.
    floor = max(settings_for(archive.album.model).prior, reached_by_half(archive.album.model, len(archive.faces)))
    return refresh_index(archive.album.index, _faces_of(archive), labels, floor=floor)


def refresh_index(
    folder: Path,
    faces: Faces,
    labels: Callable[[], Ints] | None,
    *,
    floor: float,
    exact_up_to: int = EXACT_FACES,
) -> list[str]:
    """Build, extend or delete the base in ``folder``, if it pays. The caller holds the album's lock.

    Killed at any moment it leaves the former base.

    Args:
        labels: gives who is known to be whom, when that is needed; see ``identity_agreement``.
        floor: similarity below which nobody would be recognised.
        exact_up_to: faces that need no base.
    Returns:
        what was done, and why: a sentence each; nothing if there was nothing to do.
    Raises:
        ValueError: if an embedding is not a number.
        OSError: if the folder cannot be written.
    """
    if len(faces.face_ids) <= exact_up_to:
        delete_base(folder)
        return []
    why = ""
    try:
        base = read_base(folder, faces.fingerprint)
    except BaseFileError as error:
        base, why = None, f"{error}."
    if base is not None:
        placed = place_base(base, faces.face_ids)
        why = _why_anew(placed)
        if not why:
            return _extend(folder, faces, placed) if len(placed.tail) > MOST_NEW else []
    return [*([why] if why else []), _build(folder, faces, None if labels is None else labels(), floor)]


def _why_anew(placed: PlacedBase) -> str:
    """Say why a base is to be built anew; nothing if it is not."""
    base = placed.base
    if placed.gone > MOST_GONE * len(base.face_ids):
        return f"{placed.gone:,} of the {len(base.face_ids):,} faces of the index are gone."
    if len(placed.tail) > MOST_NEW and len(base.face_ids) + len(placed.tail) > MOST_GROWTH * base.tuning.faces:
        return f"The index was tuned to {base.tuning.faces:,} faces, and {len(placed.tail):,} are new."
    return ""


def _build(folder: Path, faces: Faces, labels: Ints | None, floor: float) -> str:
    started = time.monotonic()
    base = build_base(faces.embeddings, faces.face_ids, labels, floor=floor)
    write_base(folder, base, faces.fingerprint)
    short = "" if base.tuning.agreement >= TARGET else f", short of {100 * TARGET:.1f} %"
    seconds = time.monotonic() - started
    return f"Built the index of {len(faces.face_ids):,} faces in {seconds:,.0f} s: {_told(base)}{short}."


def _extend(folder: Path, faces: Faces, placed: PlacedBase) -> list[str]:
    new = faces.embeddings[placed.tail]
    base = extend_base(placed.base, new, faces.face_ids[placed.tail])
    write_base(folder, base, faces.fingerprint)
    return [f"Added {len(placed.tail):,} new faces to the cells of the index."]


def _told(base: Base) -> str:
    return describe(PlacedBase(base, np.arange(len(base.face_ids)), np.empty(0, np.int64)))


def _faces_of(archive: Archive) -> Faces:
    return Faces(archive.album.fingerprint, archive.faces.face_ids, archive.embeddings)
