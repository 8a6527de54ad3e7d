"""Are the faces found? Recall by size, precision and average precision against annotated boxes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedder.pipeline import path_text
from indexer.archive import Archive
from indexer.evaluation.central_faces import EvaluationError
from trainer.metrics import detection_figures, match_photo

_OVERLAPS = (0.35, 0.5)
_SIZES = (16, 24, 40, 80)


@dataclass(frozen=True)
class AnnotatedPhoto:
    """The annotated faces of one photo: boxes_xywh float (N, 4) in pixels, invalid bool (N,)."""

    path: Path
    boxes_xywh: np.ndarray
    invalid: np.ndarray


def read_boxes(path: Path, images: Path) -> list[AnnotatedPhoto]:
    """Read {"EVENT/x.jpg": [{"box": [x, y, w, h], "invalid": 0 or 1, …}, …], …}.

    Raises:
        EvaluationError: if it is empty, not of this form, or names a photo that is not below ``images``.
    """
    try:
        entries = json.loads(path.read_text())
        photos = [_annotated(images / name, faces) for name, faces in sorted(entries.items())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f'{path} is not of the form {{"photo": [{{"box": [x, y, w, h]}}]}}: {error}') from error
    if not any(len(photo.boxes_xywh) for photo in photos):
        raise EvaluationError(f"{path} holds no box")
    for photo in photos:
        if not photo.path.is_file():
            raise EvaluationError(f"{path} names {photo.path}, which is not there")
    return photos


def measure_detection(archive: Archive, photos: list[AnnotatedPhoto]) -> dict[str, Any]:
    """Compare the faces of the album with the annotated ones."""
    rows_of: dict[str, list[int]] = {}
    for row, photo_id in enumerate(archive.faces.photo_ids):
        rows_of.setdefault(photo_id, []).append(row)
    rows = [archive.catalogue.photos[path_text(photo.path.resolve())] for photo in photos]
    figures: dict[str, Any] = {
        "photos": len(photos),
        "faces": int(sum((~photo.invalid).sum() for photo in photos)),
        "unreadable": sum(row.status != "ok" for row in rows),
    }
    for overlap in _OVERLAPS:
        matches = []
        for photo, seen in zip(photos, rows, strict=True):
            at = rows_of.get(str(seen.photo_id), [])
            boxes, scores = archive.faces.boxes_xywh[at], archive.faces.confidences[at]
            matches.append(match_photo(boxes, scores, photo.boxes_xywh, photo.invalid, min_iou=overlap))
        found = detection_figures(matches, score_threshold=0.0, min_sizes=_SIZES)
        figures[f"iou_{overlap:g}"] = {
            "recall": {str(size): round(float(r), 5) for size, r in zip(_SIZES, found.recall, strict=True)},
            "faces": {str(size): int(n) for size, n in zip(_SIZES, found.faces, strict=True)},
            "precision": round(found.precision, 5),
            "average_precision": round(found.average_precision, 5),
        }
    return figures


def _annotated(path: Path, faces: list[dict[str, Any]]) -> AnnotatedPhoto:
    boxes = np.array([face["box"] for face in faces], np.float64).reshape(-1, 4)
    return AnnotatedPhoto(path, boxes, np.array([bool(face.get("invalid")) for face in faces], bool))
