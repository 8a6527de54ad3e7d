"""Cut faces out so that eyes, nose and mouth always lie at the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

Resampling = Literal["bilinear", "bicubic"]
_FLAGS: dict[Resampling, int] = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
# Beyond this shrinking, sampling skips pixels of the photo; they are averaged first.
_MAX_SHRINK = 2.0


def similarity_transforms(landmarks: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Fit the rotation, scale and shift that bring landmarks nearest to a template.

    Least squares over the five points, Umeyama 1991 (IEEE TPAMI 13:4), in its closed form for the
    plane, where a rotation with scale is one complex number.

    Args:
        landmarks: float (N, 5, 2), (x, y) pixels of the photo.
        template: float (5, 2), (x, y) pixels of the crop.
    Returns:
        float64 (N, 2, 3): crop = matrix · (x, y, 1).
    """
    points = landmarks[..., 0].astype(np.float64) + 1j * landmarks[..., 1]
    goal = template[:, 0].astype(np.float64) + 1j * template[:, 1]
    centred = points - points.mean(axis=1, keepdims=True)
    centred_goal = goal - goal.mean()
    energy = np.maximum((np.abs(centred) ** 2).sum(axis=1), np.finfo(np.float64).tiny)
    turn = (centred.conj() * centred_goal).sum(axis=1) / energy
    shift = goal.mean() - turn * points.mean(axis=1)
    matrices = np.empty((len(points), 2, 3))
    matrices[:, 0] = np.stack([turn.real, -turn.imag, shift.real], axis=1)
    matrices[:, 1] = np.stack([turn.imag, turn.real, shift.imag], axis=1)
    return matrices


def magnifications(landmarks: np.ndarray, template: Sequence[Sequence[float]]) -> np.ndarray:
    """Give how many pixels of the crop a pixel of the photo becomes, along a line: float64 (N,).

    Args:
        landmarks: float (N, 5, 2), pixels of the photo; template: (5, 2), pixels of the crop.
    """
    matrices = similarity_transforms(landmarks, np.asarray(template))
    return np.asarray(np.hypot(matrices[:, 0, 0], matrices[:, 1, 0]))


def crop_faces(
    photo: np.ndarray,
    landmarks: np.ndarray,
    template: Sequence[Sequence[float]],
    size: int,
    resampling: Resampling = "bicubic",
) -> np.ndarray:
    """Cut the faces of one photo out, upright and at one size.

    Args:
        photo: uint8 RGB (H, W, 3).
        landmarks: float (N, 5, 2), (x, y) pixels of ``photo``.
        template: (5, 2), where the landmarks shall lie, in pixels of the crop.
        size: side of the crop, pixels.
        resampling: which suits the network, see ``embedder.pretrained.FaceNetwork``.
    Returns:
        crops uint8 RGB (N, size, size, 3); what lies outside the photo is black.
    """
    crops = np.zeros((len(landmarks), size, size, 3), np.uint8)
    for crop, matrix in zip(crops, similarity_transforms(landmarks, np.asarray(template)), strict=True):
        crop[:] = _warp(photo, matrix, size, resampling)
    return crops


def _warp(photo: np.ndarray, matrix: np.ndarray, size: int, resampling: Resampling) -> np.ndarray:
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if 0 < scale * _MAX_SHRINK < 1:  # 0 if all landmarks are one point
        photo, matrix = _averaged(photo, matrix, size, factor=int(1 / scale))
    flags = _FLAGS[resampling]
    return cv2.warpAffine(photo, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_CONSTANT)


def _averaged(photo: np.ndarray, matrix: np.ndarray, size: int, *, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """Average ``factor`` × ``factor`` pixels of the part of the photo that the crop shows."""
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) @ inverse[:, :2].T + inverse[:, 2]
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int) - factor, 0)
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + factor
    part = photo[top:bottom, left:right]
    width, height = max(1, part.shape[1] // factor), max(1, part.shape[0] // factor)
    if part.size == 0:
        return photo, matrix
    part = part[: height * factor, : width * factor]
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    # Pixel centres: photo = (small + .5) * (part / small) - .5 + (left, top).
    ratio = np.array([part.shape[1] / width, part.shape[0] / height])
    to_photo = np.array([[ratio[0], 0, ratio[0] / 2 - 0.5 + left], [0, ratio[1], ratio[1] / 2 - 0.5 + top], [0, 0, 1]])
    return small, matrix @ to_photo
