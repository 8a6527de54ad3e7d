"""Find faces: boxes, confidences and five landmarks of each face of each photo.

CenterFace (Xu et al. 2019, arXiv 1911.03599) sees a face as a point: a heat map says where faces
are, and at each point stand the size, the offset of the box centre and five landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from embedder.centerface import load_centerface
from embedder.detection import DetectSettings
from embedder.device import Compute

_STRIDE = 4  # pixels of the photo in one cell of the heat map
_SAME_FACE = 0.5  # IoU above which two cells mean one face
_MULTIPLE = 32  # the network halves its input five times


@dataclass(frozen=True)
class Faces:
    """The N faces of one photo, surest first, in pixels of the upright photo.

    Attributes:
        boxes_xywh: float32 (N, 4), left, top, width, height; may reach over the photo's edge.
        landmarks: float32 (N, 5, 2), (x, y) of the eyes, the nose and the corners of the mouth;
            the eye and the corner on the left of the picture come first.
        confidences: float32 (N,), 0–1.
    """

    boxes_xywh: np.ndarray
    landmarks: np.ndarray
    confidences: np.ndarray

    def __len__(self) -> int:
        return len(self.confidences)


class FaceDetector:
    """CenterFace on one device. Gives the same faces for a photo whatever stands beside it."""

    def __init__(self, weights: Path, compute: Compute, settings: DetectSettings | None = None) -> None:
        """Load the network; ``weights`` is centerface.onnx.

        Raises:
            trainer.onnx_graph.OnnxError: if the file is not an ONNX network.
        """
        self.settings = settings or DetectSettings()
        self._compute = replace(compute, int8=False) if self.settings.exact else compute
        self._network = load_centerface(weights, self._compute)
        self._dtype = torch.uint8 if self._compute.int8 else compute.dtype

    def detect(self, photos: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of each photo.

        Args:
            photos: upright photos, uint8 RGB (H, W, 3), of any shapes.
        Returns:
            one ``Faces`` for each photo, in the order of ``photos``.
        """
        settings = self.settings
        found = self._look(photos, settings.long_side)
        again = [i for i, photo in enumerate(photos) if max(photo.shape[:2]) > settings.long_side]
        if settings.second_side and again:
            closer = self._look([photos[i] for i in again], settings.second_side)
            for i, faces in zip(again, closer, strict=True):
                found[i] = joined(found[i], faces, settings.max_overlap)
        return found

    def _look(self, photos: Sequence[np.ndarray], long_side: int) -> list[Faces]:
        inputs = self._compute.map(lambda photo: shrink(photo, long_side), photos)
        batches = _batches_of_like_shape([x.shape[:2] for x in inputs], self._compute.detect_batch)
        scales = [np.array(p.shape[1::-1]) / x.shape[1::-1] for p, x in zip(photos, inputs, strict=True)]

        def detect_batch(numbers: list[int]) -> list[tuple[int, Faces]]:
            maps = self._run([inputs[i] for i in numbers])
            return [
                (i, self._read_maps([m[row] for m in maps], inputs[i].shape[:2], scales[i]))
                for row, i in enumerate(numbers)
            ]

        found = dict(pair for batch in self._compute.map(detect_batch, batches) for pair in batch)
        return [found[i] for i in range(len(photos))]

    def _run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Give heat (N,1,h,w), log size (N,2,h,w), offset (N,2,h,w) and landmarks (N,10,h,w)."""
        height, width = (_round_up(side) for side in inputs[0].shape[:2])
        batch = np.zeros((len(inputs), height, width, 3), np.uint8)
        for row, photo in enumerate(inputs):
            batch[row, : photo.shape[0], : photo.shape[1]] = photo
        maps: tuple[Tensor, ...] = self._compute.run(self._network, batch, self._dtype)
        return [m.numpy() for m in maps]

    def _read_maps(self, maps: list[np.ndarray], shape: tuple[int, int], scale: np.ndarray) -> Faces:
        boxes, landmarks, confidences = decode_maps(*maps, min_confidence=self.settings.min_confidence)
        # A face whose centre lies in the padding is none.
        inside = (boxes[:, 0] + boxes[:, 2] / 2 < shape[1]) & (boxes[:, 1] + boxes[:, 3] / 2 < shape[0])
        boxes, landmarks, confidences = boxes[inside], landmarks[inside], confidences[inside]
        kept = suppress_overlaps(boxes, confidences, self.settings.max_overlap)
        landmarks = agreed_landmarks(kept, boxes, landmarks, confidences)
        factors = scale.astype(np.float32)
        return Faces(boxes[kept] * np.tile(factors, 2), landmarks * factors, confidences[kept])


def joined(faces: Faces, others: Faces, max_overlap: float) -> Faces:
    """Join what two looks at one photo found; of a face that both found, the surer find."""
    boxes = np.concatenate([faces.boxes_xywh, others.boxes_xywh])
    landmarks = np.concatenate([faces.landmarks, others.landmarks])
    confidences = np.concatenate([faces.confidences, others.confidences])
    kept = suppress_overlaps(boxes, confidences, max_overlap)
    return Faces(boxes[kept], landmarks[kept], confidences[kept])


def decode_maps(
    heat: np.ndarray, log_size: np.ndarray, offset: np.ndarray, points: np.ndarray, *, min_confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn the four maps of one photo into boxes.

    Args:
        heat: float32 (1, h, w); log_size, offset: (2, h, w), vertical first; points: (10, h, w),
            five times (y, x) in units of the face's size, from its upper left corner.
        min_confidence: cells below are not looked at.
    Returns:
        boxes float32 (M, 4) xywh, landmarks (M, 5, 2) xy, confidences (M,), in pixels of the input.
    """
    rows, columns = np.nonzero(heat[0] >= min_confidence)
    height, width = np.exp(log_size[:, rows, columns]) * _STRIDE
    centre_y = (rows + offset[0, rows, columns] + 0.5) * _STRIDE
    centre_x = (columns + offset[1, rows, columns] + 0.5) * _STRIDE
    left, top = np.maximum(centre_x - width / 2, 0), np.maximum(centre_y - height / 2, 0)
    relative = points[:, rows, columns].reshape(5, 2, -1)
    landmarks = np.stack([relative[:, 1] * width + left, relative[:, 0] * height + top], axis=-1)
    boxes = np.stack([left, top, width, height], axis=-1)
    return boxes.astype(np.float32), landmarks.transpose(1, 0, 2).astype(np.float32), heat[0, rows, columns]


def suppress_overlaps(boxes_xywh: np.ndarray, confidences: np.ndarray, max_overlap: float) -> np.ndarray:
    """Greedy non-maximum suppression: go from the surest box down, drop what overlaps it.

    Args:
        boxes_xywh: float (N, 4); confidences: float (N,).
        max_overlap: IoU above which the less sure box is dropped.
    Returns:
        int64 (M,), the rows kept, surest first.
    """
    order = np.argsort(-confidences, kind="stable")
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[overlaps(boxes_xywh[best], boxes_xywh[order]) <= max_overlap]
    return np.array(kept, np.int64)


def agreed_landmarks(
    kept: np.ndarray, boxes_xywh: np.ndarray, landmarks: np.ndarray, confidences: np.ndarray
) -> np.ndarray:
    """Average what neighbouring cells say of one face: each alone is off by up to a pixel of the input.

    Args:
        kept: int64 (K,), rows of the surest cells.
        boxes_xywh: (N, 4); landmarks: (N, 5, 2); confidences: (N,), of all cells.
    Returns:
        float32 (K, 5, 2): the mean over the cells whose box overlaps the kept one by half, those surest counting most.
    """
    agreed = np.empty((len(kept), 5, 2), np.float32)
    for points, row in zip(agreed, kept, strict=True):
        weights = np.where(overlaps(boxes_xywh[row], boxes_xywh) > _SAME_FACE, confidences, 0) ** 3
        points[:] = np.tensordot(weights / weights.sum(), landmarks, 1)
    return agreed


def overlaps(box_xywh: np.ndarray, boxes_xywh: np.ndarray) -> np.ndarray:
    """Intersection over union of one box (4,) with each of (N, 4): float (N,), 0–1."""
    x, y, w, h = box_xywh
    width = np.minimum(x + w, boxes_xywh[:, 0] + boxes_xywh[:, 2]) - np.maximum(x, boxes_xywh[:, 0])
    height = np.minimum(y + h, boxes_xywh[:, 1] + boxes_xywh[:, 3]) - np.maximum(y, boxes_xywh[:, 1])
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    union = w * h + boxes_xywh[:, 2] * boxes_xywh[:, 3] - shared
    return np.asarray(shared / np.maximum(union, np.finfo(np.float32).tiny))


def shrink(photo: np.ndarray, long_side: int) -> np.ndarray:
    """Scale a photo (H, W, 3) down to ``long_side`` pixels; a smaller one is given back as it is."""
    height, width = photo.shape[:2]
    factor = long_side / max(height, width)
    if factor >= 1:
        return photo
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def _round_up(pixels: int) -> int:
    return -(-pixels // _MULTIPLE) * _MULTIPLE


def _batches_of_like_shape(shapes: list[tuple[int, int]], largest: int) -> list[list[int]]:
    """Group the row numbers of photos whose padded shape is the same, at most ``largest`` in each group."""
    groups: dict[tuple[int, int], list[int]] = {}
    for number, (height, width) in enumerate(shapes):
        groups.setdefault((_round_up(height), _round_up(width)), []).append(number)
    return [group[i : i + largest] for group in groups.values() for i in range(0, len(group), largest)]
