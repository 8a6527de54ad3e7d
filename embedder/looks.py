"""Look again where no upright face is sure: at photos that are turned, and at faces that fill the frame.

A detector finds upright faces of the sizes that it was trained on. Of a photo that lies on its side or stands on its
head, as scanners and old cameras leave them, it misses half or more, and what it finds has its points in wrong places.
So a photo without a sure upright face is put on a sheet, small and turned four ways: one more look. The copy that shows
most tells how to turn the photo for a look at full size, and a face too large for the first look is seen in the copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from embedder.detect import Faces, joined, shrink
from embedder.detection import DetectSettings, FurtherSettings
from embedder.device import Compute
from embedder.turning import TURNS, copies_of, places_on_sheet, rolls, sheet_of_turns, turn, turned_back

_UPRIGHT = 45  # degrees; a face that is turned further stands straighter in a photo turned by a quarter
_FILLS = 0.5  # share of the photo's shorter side; smaller faces are found by the first look


class Looker(Protocol):
    """What looks at photos as they stand; see ``embedder.detectors.Detector``."""

    def detect(self, photos: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of each upright photo."""
        ...


class FurtherLooks:
    """A detector that looks again. What it finds in a photo does not depend on the photos beside it."""

    def __init__(self, detector: Looker, compute: Compute, settings: DetectSettings, further: FurtherSettings) -> None:
        """Look with ``detector``, which was made with ``settings``."""
        self.detector = detector
        self._compute, self._settings, self._further = compute, settings, further

    def detect(self, photos: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of each photo; see ``embedder.detect.FaceDetector.detect``."""
        found = self.detector.detect(photos)
        unsure = [i for i, faces in enumerate(found) if not has_upright_face(faces, self._further.sure)]
        if not unsure:
            return found
        sheets = self.detector.detect(
            self._compute.map(lambda i: sheet_of_turns(photos[i], self._further.tile), unsure)
        )
        again = {i: self._look_again(photos[i], sheet) for i, sheet in zip(unsure, sheets, strict=True)}
        turned = self._look_turned({i: (photos[i], quarters) for i, (quarters, _) in again.items() if quarters})
        for i, (_, filling) in again.items():
            first = found[i]
            if i in turned and has_upright_face(turned[i][0], self._further.turned):
                first = self._joined(only_upright(first), turned[i][1])
            found[i] = self._joined(first, filling)
        return found

    def _look_again(self, photo: np.ndarray, sheet: Faces) -> tuple[int, Faces]:
        """Read a photo's sheet: by which quarters it seems to be turned, and the faces that fill it, in its pixels."""
        places = places_on_sheet(_size(photo), self._further.tile)
        copies = faces_of_copies(sheet, places)
        quarters, small = best_turn(copies), (int(places[0, 2]), int(places[0, 3]))
        faces = copies[quarters]
        large = faces.boxes_xywh[:, 2:].max(axis=1, initial=0) >= _FILLS * min(small)
        filling = _rows(faces, large & (faces.confidences >= self._further.filling))
        return quarters, carried_back(filling, quarters, small, _size(photo))

    def _look_turned(self, photos: Mapping[int, tuple[np.ndarray, int]]) -> dict[int, tuple[Faces, Faces]]:
        """Look at photos, each turned by its quarters: faces as they stand there, and in the photo's own pixels."""
        closest = max(self._settings.long_side, self._settings.second_side)  # spares turning what is shrunk anyway
        small = {i: shrink(photo, closest) for i, (photo, _) in photos.items()}
        looked = self.detector.detect([turn(small[i], quarters) for i, (_, quarters) in photos.items()])
        return {
            i: (faces, carried_back(faces, quarters, _size(small[i]), _size(photo)))
            for faces, (i, (photo, quarters)) in zip(looked, photos.items(), strict=True)
        }

    def _joined(self, faces: Faces, others: Faces) -> Faces:
        return joined(faces, others, self._settings.max_overlap) if len(others) else faces


def has_upright_face(faces: Faces, confidence: float) -> bool:
    """Whether a face that stands upright is at least so sure."""
    return bool((only_upright(faces).confidences >= confidence).any())


def only_upright(faces: Faces) -> Faces:
    """Leave out the faces that lie on their side or stand on their head."""
    return _rows(faces, np.abs(rolls(faces.landmarks)) <= _UPRIGHT)


def faces_of_copies(sheet: Faces, places: np.ndarray) -> list[Faces]:
    """Part the faces of a sheet by the copy that they are in, each in pixels of the copy as it is turned.

    Args:
        places: see ``embedder.turning.places_on_sheet``.
    """
    copies, corners = copies_of(sheet.boxes_xywh, places), places[:, :2].astype(np.float32)
    parted = []
    for quarters in range(TURNS):
        faces = _rows(sheet, copies == quarters)
        shift = np.concatenate([corners[quarters], np.zeros(2, np.float32)])
        parted.append(Faces(faces.boxes_xywh - shift, faces.landmarks - corners[quarters], faces.confidences))
    return parted


def best_turn(copies: Sequence[Faces]) -> int:
    """Tell by which quarters a photo is turned where most upright faces are seen, their confidence squared.

    Returns:
        0 to 3; 0 if none is seen, or nowhere more than in the photo as it stands.
    """
    return int(np.argmax([(only_upright(faces).confidences ** 2).sum() for faces in copies]))


def carried_back(faces: Faces, quarters: int, seen: tuple[int, int], size: tuple[int, int]) -> Faces:
    """Carry faces of a photo that was shrunk and turned into the photo's own pixels.

    Args:
        quarters: by which it was turned, after it was shrunk.
        seen: (width, height) of the shrunk photo before it was turned; size: of the photo.
    """
    boxes, landmarks = turned_back(faces.boxes_xywh, faces.landmarks, quarters, seen)
    factors = (np.array(size) / seen).astype(np.float32)
    return Faces(boxes * np.tile(factors, 2), landmarks * factors, faces.confidences)


def _rows(faces: Faces, kept: np.ndarray) -> Faces:
    return Faces(faces.boxes_xywh[kept], faces.landmarks[kept], faces.confidences[kept])


def _size(photo: np.ndarray) -> tuple[int, int]:
    return photo.shape[1], photo.shape[0]
