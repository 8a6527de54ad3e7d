"""YuNet, the light detector of OpenCV's model zoo (Wu et al. 2023, doi 10.1007/s11633-023-1423-y), run by OpenCV."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from embedder.detect import Faces, shrink
from embedder.detection import DetectSettings
from embedder.device import Compute

_MOST_BOXES = 5000  # that are compared with each other


class YuNetDetector:
    """YuNet on the CPU, one network for each thread: OpenCV's is not made to be shared. It looks once at a photo."""

    def __init__(self, weights: Path, compute: Compute, settings: DetectSettings) -> None:
        """Remember the file; it is loaded by the first photo of each thread."""
        self.settings = settings
        self._weights, self._compute, self._own = weights, compute, threading.local()

    def detect(self, photos: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of each photo; see ``embedder.detect.FaceDetector.detect``."""
        return self._compute.map(self._detect, photos)

    def _detect(self, photo: np.ndarray) -> Faces:
        small = shrink(photo, self.settings.long_side)
        network = self._network()
        network.setInputSize((small.shape[1], small.shape[0]))
        rows = network.detect(np.ascontiguousarray(small[..., ::-1]))[1]
        found = np.empty((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32)
        found = found[np.argsort(-found[:, 14], kind="stable")]
        factors = (np.array(photo.shape[1::-1]) / small.shape[1::-1]).astype(np.float32)
        landmarks = found[:, 4:14].reshape(-1, 5, 2) * factors
        return Faces(found[:, :4] * np.tile(factors, 2), landmarks, np.clip(found[:, 14], 0, 1))

    def _network(self) -> cv2.FaceDetectorYN:
        if not hasattr(self._own, "network"):
            settings = self.settings
            self._own.network = cv2.FaceDetectorYN.create(
                str(self._weights), "", (320, 320), settings.min_confidence, settings.max_overlap, _MOST_BOXES
            )
        network: cv2.FaceDetectorYN = self._own.network
        return network
