"""The detectors that plug in: each finds the faces of photos, and is known by its weight file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from embedder.detect import FaceDetector, Faces
from embedder.detection import DetectSettings
from embedder.device import Compute
from embedder.looks import FurtherLooks
from embedder.pretrained import WeightFile, locate
from embedder.yunet import YuNetDetector


class Detector(Protocol):
    """What finds faces."""

    def detect(self, photos: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of each upright photo, uint8 RGB (H, W, 3): one ``Faces`` for each, in their order."""
        ...


def load_detector(weights: WeightFile, compute: Compute, settings: DetectSettings) -> Detector:
    """Load a detector.

    Raises:
        embedder.pretrained.WeightsError: if its file is missing or altered.
    """
    detector = (YuNetDetector if weights.name == "yunet" else FaceDetector)(locate(weights), compute, settings)
    return detector if settings.further is None else FurtherLooks(detector, compute, settings, settings.further)
