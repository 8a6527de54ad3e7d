"""One embedding for each photo of a folder: the face nearest the centre, as LFW's protocol has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedder.decode import decode
from embedder.model import FaceModel
from indexer.archive import Archive


class EvaluationError(Exception):
    """Material that cannot be measured: says which item, and what is expected."""


@dataclass(frozen=True)
class CentralFaces:
    """One face for each of P photos, in the order of their paths.

    Attributes:
        paths: P of them, absolute.
        embeddings: float32 (P, D), unit rows.
        qualities: float32 (P,), 0 where no face was found.
        missed: paths of photos where no face was found; their middle stands in for it.
        unreadable: paths that could not be decoded; they are not among ``paths``.
    """

    paths: list[str]
    embeddings: np.ndarray
    qualities: np.ndarray
    missed: list[str]
    unreadable: list[str]


def central_faces(archive: Archive, images: Path, model: FaceModel | None) -> CentralFaces:
    """Choose the central face of each photo below ``images``.

    Args:
        archive: its album holds these photos already.
        images: the folder.
        model: embeds the middle of photos without a face; may be None if there are none.
    Raises:
        EvaluationError: if no photo of the archive lies below ``images``.
    """
    below = str(images.resolve()) + "/"
    photos = [row for path, row in sorted(archive.catalogue.photos.items()) if path.startswith(below)]
    readable = [row for row in photos if row.status == "ok"]
    if not readable:
        raise EvaluationError(f"{images} holds no photo that can be read")
    chosen = [_most_central(archive, archive.rows_of_photo(p.photo_id), p.width, p.height) for p in readable]
    missed = [photo.path for photo, row in zip(readable, chosen, strict=True) if row < 0]
    rows = np.array(chosen, np.int64)
    embeddings = np.zeros((len(readable), archive.faces.embeddings.shape[1]), np.float32)
    qualities = np.zeros(len(readable), np.float32)
    embeddings[rows >= 0] = archive.embeddings[rows[rows >= 0]]
    qualities[rows >= 0] = archive.faces.qualities[rows[rows >= 0]]
    if missed:
        if model is None:
            raise ValueError(f"{len(missed)} photos without a face need the model")
        embeddings[rows < 0] = np.concatenate(list(_centres(missed, model)))
    unreadable = [row.path for row in photos if row.status != "ok"]
    return CentralFaces([row.path for row in readable], embeddings, qualities, missed, unreadable)


def people_of(paths: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Read who is shown from the folder that each photo lies in.

    Returns:
        (int64 (P,) numbers, the names they stand for).
    Raises:
        EvaluationError: if there are not at least two people.
    """
    names, numbers = np.unique([Path(path).parent.name for path in paths], return_inverse=True)
    if len(names) < 2:
        raise EvaluationError(
            f"the photos show one person only ({names[0]}): expected a folder for each of at least two people"
        )
    return numbers.astype(np.int64), names.tolist()


def _most_central(archive: Archive, rows: list[int], width: int, height: int) -> int:
    """Give the row whose box has its centre nearest the photo's; −1 if there is no row."""
    if not rows:
        return -1
    boxes = archive.faces.boxes_xywh[rows].astype(np.float64)
    off = boxes[:, :2] + boxes[:, 2:] / 2 - np.array([width, height]) / 2
    return rows[int(np.argmin((off**2).sum(axis=1)))]


def _centres(paths: Sequence[str], model: FaceModel) -> Iterator[np.ndarray]:
    for path in paths:
        yield model.embed_centres([decode(Path(path).read_bytes()).pixels])
