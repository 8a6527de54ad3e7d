"""Found faces against annotated ones: matching, recall by face size, precision, average precision.

Boxes are (x, y, w, h) in pixels of the upright photo. An annotated face that is marked ``invalid`` (too
blurred to tell, say) is neither right nor wrong: it need not be found, and finding it is no false alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FALSE_ALARM, IGNORED = -1, -2


@dataclass(frozen=True)
class PhotoMatch:
    """Which annotated face each detection of one photo found."""

    scores: NDArray[np.float64]  # (D,)
    truth_of: NDArray[np.int64]  # (D,) row of the annotated face, FALSE_ALARM, or IGNORED (only an invalid one)
    found_at: NDArray[np.float64]  # (T,) score of the detection that found the face; -inf where missed or invalid
    shorter_side: NDArray[np.float64]  # (T,) pixels
    valid: NDArray[np.bool_]  # (T,)


@dataclass(frozen=True)
class DetectionFigures:
    """Figures over all photos. A share of nothing is NaN."""

    min_sizes: NDArray[np.float64]  # (K,) pixels of the shorter side
    faces: NDArray[np.int64]  # (K,) valid annotated faces at least that large
    recall: NDArray[np.float64]  # (K,) share of these found at or above the score threshold
    precision: float  # share of detections at or above the score threshold that found a face; ignored ones left out
    average_precision: float  # over all scores and all valid faces of any size


def iou_matrix(boxes_xywh: NDArray[np.floating], other_xywh: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give intersection over union of each of (D, 4) with each of (T, 4): (D, T); 0 where both boxes are empty."""
    a = np.asarray(boxes_xywh, dtype=np.float64)[:, None, :]
    b = np.asarray(other_xywh, dtype=np.float64)[None, :, :]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - shared
    overlap: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return overlap


def match_photo(
    boxes_xywh: ArrayLike, scores: ArrayLike, truth_xywh: ArrayLike, invalid: ArrayLike, *, min_iou: float
) -> PhotoMatch:
    """Give detections to annotated faces, greedily by falling score.

    A detection takes the most overlapping valid face that is still free, if their IoU is at least
    ``min_iou``. Else, if it overlaps an invalid face that much, it is ignored (one invalid face may
    swallow many). Else it is a false alarm. Equal scores go in the given order. Whatever lies below a
    score does not change what lies above, so one matching serves every score threshold.

    Args:
        boxes_xywh: (D, 4) detections.
        scores: float (D,).
        truth_xywh: (T, 4) annotated faces.
        invalid: bool (T,).
        min_iou: in (0, 1].
    Raises:
        ValueError: if shapes differ, a side is negative, a number is not finite, or ``min_iou`` is out of range.
    """
    boxes, truth = _checked_boxes(boxes_xywh, "boxes_xywh"), _checked_boxes(truth_xywh, "truth_xywh")
    score = np.asarray(scores, dtype=np.float64).reshape(-1)
    valid = ~np.asarray(invalid, dtype=np.bool_).reshape(-1)
    if len(score) != len(boxes) or len(valid) != len(truth):
        raise ValueError(
            f"there are {len(boxes)} boxes with {len(score)} scores, and {len(truth)} faces with {len(valid)} marks"
        )
    if not np.isfinite(score).all():
        raise ValueError(f"scores[{np.flatnonzero(~np.isfinite(score))[0]}] is not a finite number")
    if not 0 < min_iou <= 1:
        raise ValueError(f"min_iou lies in (0, 1], not {min_iou}")
    overlap = iou_matrix(boxes, truth)
    overlap[overlap < min_iou] = 0
    on_invalid = (overlap[:, ~valid] > 0).any(axis=1)
    free = np.where(valid, overlap, 0)
    truth_of = np.where(on_invalid, IGNORED, FALSE_ALARM).astype(np.int64)
    found_at = np.full(len(truth), -np.inf)
    for row in np.argsort(-score, kind="stable"):
        if not free[row].any():
            continue
        face = int(np.argmax(free[row]))
        truth_of[row], found_at[face] = face, score[row]
        free[:, face] = 0
    return PhotoMatch(score, truth_of, found_at, truth[:, 2:].min(axis=1), valid)


def detection_figures(
    photos: Sequence[PhotoMatch], *, score_threshold: float, min_sizes: Sequence[float] = (16, 24, 40, 80)
) -> DetectionFigures:
    """Sum the matches of all photos up.

    Args:
        photos: one match for each photo, at the same ``min_iou``.
        score_threshold: detections below it do not count for recall and precision.
        min_sizes: pixels; for each, recall of the valid faces whose shorter side is at least that.
            Smaller ones are left out of it.
    Raises:
        ValueError: if there is no photo.
    """
    if not photos:
        raise ValueError("photos is empty: there is nothing to measure detection on")
    scores = np.concatenate([photo.scores for photo in photos])
    truth_of = np.concatenate([photo.truth_of for photo in photos])
    valid = np.concatenate([photo.valid for photo in photos])
    found_at = np.concatenate([photo.found_at for photo in photos])[valid]
    shorter_side = np.concatenate([photo.shorter_side for photo in photos])[valid]
    right = truth_of >= 0
    counted = truth_of != IGNORED
    shown = counted & (scores >= score_threshold)
    large = [shorter_side >= size for size in min_sizes]
    return DetectionFigures(
        min_sizes=np.array(min_sizes, dtype=np.float64),
        faces=np.array([np.count_nonzero(rows) for rows in large], dtype=np.int64),
        recall=np.array([_share(found_at[rows] >= score_threshold) for rows in large], dtype=np.float64),
        precision=_share(right[shown]),
        average_precision=average_precision(scores[counted], right[counted], int(valid.sum())),
    )


def average_precision(scores: ArrayLike, right: ArrayLike, faces: int) -> float:
    """Give the area under the precision envelope over recall, at all points (PASCAL VOC from 2010 on).

    Detections of equal score are taken together, so their order does not matter.

    Args:
        scores: float (D,).
        right: bool (D,), whether the detection found a face.
        faces: all faces there are to be found; NaN comes back if that is 0.
    Raises:
        ValueError: if shapes differ, or more detections are right than there are faces.
    """
    score, hit = np.asarray(scores, dtype=np.float64), np.asarray(right, dtype=np.bool_)
    if score.ndim != 1 or score.shape != hit.shape:
        raise ValueError(f"right has shape {hit.shape}, but scores has shape {score.shape}")
    if hit.sum() > faces:
        raise ValueError(f"{hit.sum()} detections are right, but there are only {faces} faces")
    if not faces:
        return float("nan")
    if not len(score):
        return 0.0
    order = np.argsort(-score, kind="stable")
    last_of_value = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(hit[order])[last_of_value]
    envelope = np.maximum.accumulate((hits / (last_of_value + 1))[::-1])[::-1]
    return float(np.sum(np.diff(hits, prepend=0) * envelope) / faces)


def _share(marks: NDArray[np.bool_]) -> float:
    return float(marks.mean()) if len(marks) else float("nan")


def _checked_boxes(boxes_xywh: ArrayLike, name: str) -> NDArray[np.float64]:
    boxes = np.asarray(boxes_xywh, dtype=np.float64)
    if boxes.size == 0:
        return np.zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name} has shape {boxes.shape}, not (N, 4)")
    bad = np.flatnonzero(~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0).any(axis=1))
    if len(bad):
        raise ValueError(f"{name}[{bad[0]}] is {boxes[bad[0]].tolist()}: not a box (x, y, w, h)")
    return boxes
