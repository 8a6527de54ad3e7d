"""How much the embedding of a face can be relied on: a number from 0 to 1, stored beside it.

It comes from the network itself. SFace answers a face that it sees well with a long vector, and a blurred, tiny or
covered one, or what is no face, with a short one, before the vector is brought to unit length (for networks that are
trained for it: Meng et al. 2021, MagFace, arXiv 2103.06627). With dlib's network lengths tell nothing, but the views
of a face that it sees badly agree less. docs/accuracy.md has how well each predicts errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

# A face of this shorter side fills its crop; smaller ones carry less.
_FULL_QUALITY_PIXELS = 80


@dataclass(frozen=True)
class QualityScale:
    """What tells good faces from bad ones with a network.

    Attributes:
        measure: the "length" of its vectors, or the "agreement" (cosine) of a face's two views.
        worst, best: where quality is 0, and where it is 1.
    """

    measure: Literal["length", "agreement"]
    worst: float
    best: float


def face_qualities(
    boxes_xywh: np.ndarray,
    confidences: np.ndarray,
    lengths: np.ndarray,
    agreements: np.ndarray,
    scale: QualityScale | None,
) -> np.ndarray:
    """Judge N faces.

    Args:
        boxes_xywh: float (N, 4), pixels of the photo; confidences: float (N,), 0–1, of the detector.
        lengths, agreements: float (N,), as of ``embedder.encode.Encoded``.
        scale: of the network; None if it is not known. Then, and as a factor beside agreement, quality is the
            detector's confidence times the share of the pixels that a face needs.
    Returns:
        float32 (N,), 0–1.
    """
    shorter = boxes_xywh[:, 2:].min(axis=1) if len(boxes_xywh) else np.empty(0)
    plain = confidences * np.clip(shorter / _FULL_QUALITY_PIXELS, 0, 1)
    if scale is None:
        return np.asarray(plain, np.float32)
    measured = lengths if scale.measure == "length" else agreements
    share = np.clip((measured - scale.worst) / (scale.best - scale.worst), 0, 1)
    # The two views of what is no face may agree all the better.
    return np.asarray(share if scale.measure == "length" else share * plain, np.float32)
