"""Are the faces found? Recall by size, precision and average precision against annotated boxes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedder.paths import path_text
from embedder.rows import PhotoRow
from indexer.archive import Archive
from indexer.evaluation.central_faces import EvaluationError
from trainer.metrics import PhotoMatch, detection_figures, match_photo
from trainer.metrics.detection import IGNORED

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


def measure_detection(
    archive: Archive, photos: list[AnnotatedPhoto]
) -> tuple[dict[str, Any], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Compare the faces of the album with the annotated ones.

    Returns:
        (the figures; for each overlap the precision-recall curve: recall and precision, float (D,)).
    Raises:
        EvaluationError: if a photo is not in the album.
    """
    seen = [_row(archive, photo) for photo in photos]
    figures: dict[str, Any] = {
        "photos": len(photos),
        "faces": int(sum((~photo.invalid).sum() for photo in photos)),
        "unreadable": sum(row.status != "ok" for row in seen),
    }
    curves = {}
    for overlap in _OVERLAPS:
        matches = []
        for photo, row in zip(photos, seen, strict=True):
            at = archive.rows_of_photo(row.photo_id)
            boxes, scores = archive.faces.boxes_xywh[at], archive.faces.confidences[at]
            matches.append(match_photo(boxes, scores, photo.boxes_xywh, photo.invalid, min_iou=overlap))
        found = detection_figures(matches, score_threshold=0.0, min_sizes=_SIZES)
        figures[f"iou_{overlap:g}"] = {
            "recall": {str(size): _figure(r) for size, r in zip(_SIZES, found.recall, strict=True)},
            "faces": {str(size): int(n) for size, n in zip(_SIZES, found.faces, strict=True)},
            "precision": _figure(found.precision),
            "average_precision": _figure(found.average_precision),
        }
        curves[f"IoU {overlap:g}"] = _precision_recall(matches, figures["faces"])
    return figures, curves


def _row(archive: Archive, photo: AnnotatedPhoto) -> PhotoRow:
    row = archive.catalogue.photos.get(path_text(photo.path.resolve()))
    if row is None:
        raise EvaluationError(f"{photo.path} has boxes, but its name is not that of a photo: it was not looked at")
    return row


def _precision_recall(matches: list[PhotoMatch], faces: int) -> tuple[np.ndarray, np.ndarray]:
    truth_of = np.concatenate([match.truth_of for match in matches])
    scores = np.concatenate([match.scores for match in matches])
    counted = truth_of != IGNORED
    right = truth_of[counted][np.argsort(-scores[counted], kind="stable")] >= 0
    hits = np.cumsum(right)
    return hits / max(faces, 1), hits / np.arange(1, len(hits) + 1)


def _figure(share: float) -> float | None:
    """Round; a share of nothing is no number."""
    return None if np.isnan(share) else round(float(share), 5)


def _annotated(path: Path, faces: list[dict[str, Any]]) -> AnnotatedPhoto:
    boxes = np.array([face["box"] for face in faces], np.float64).reshape(-1, 4)
    return AnnotatedPhoto(path, boxes, np.array([bool(face.get("invalid")) for face in faces], bool))
