"""YuNet behind the interface of the other detector, on real portraits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from embedder.detect import Faces, overlaps
from embedder.detection import Detection, DetectSettings
from embedder.detectors import load_detector
from embedder.device import Compute
from embedder.pretrained import WEIGHT_FILES, WeightsMissing
from embedder.yunet import YuNetDetector

SETTINGS = DetectSettings(long_side=1024, min_confidence=0.5)


@pytest.fixture(scope="module")
def file(shared_data: Callable[[str, str], Path]) -> Path:
    return shared_data("models/face_detection_yunet_2026may.onnx", "YuNet")


@pytest.fixture(scope="module")
def detector(file: Path, exact_compute: Compute) -> YuNetDetector:
    return YuNetDetector(file, dataclasses.replace(exact_compute, lanes=2), SETTINGS)


def test_it_finds_the_faces_that_the_other_finds(
    detector: YuNetDetector, portraits: dict[str, np.ndarray], portrait_faces: dict[str, Faces]
) -> None:
    for found, expected in zip(detector.detect(list(portraits.values())), portrait_faces.values(), strict=True):
        assert len(found) == len(expected) == 1
        assert overlaps(expected.boxes_xywh[0], found.boxes_xywh)[0] > 0.6
        size = float(expected.boxes_xywh[0, 2])
        np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.12 * size)
        assert {array.dtype for array in (found.boxes_xywh, found.landmarks, found.confidences)} == {
            np.dtype("float32")
        }


def test_faces_are_given_in_the_photos_own_pixels_and_surest_first(
    detector: YuNetDetector, portraits: dict[str, np.ndarray]
) -> None:
    alone = detector.detect([portraits["astronaut"]])[0]
    wide = cv2.copyMakeBorder(portraits["astronaut"], 0, 0, 0, 512, cv2.BORDER_REPLICATE)
    wide[100:356, 700:956] = cv2.resize(portraits["astronaut"], (256, 256))
    found = detector.detect([cv2.resize(wide, None, fx=3, fy=3)])[0]
    assert len(found) == 2 and (np.diff(found.confidences) <= 0).all()
    left = int(np.argmin(found.boxes_xywh[:, 0]))
    assert overlaps(3 * alone.boxes_xywh[0], found.boxes_xywh)[left] > 0.8


def test_a_photo_without_a_face_and_no_photo(detector: YuNetDetector) -> None:
    assert detector.detect([]) == []
    (nobody,) = detector.detect([np.full((90, 120, 3), 128, np.uint8)])
    assert (nobody.boxes_xywh.shape, nobody.landmarks.shape, len(nobody)) == ((0, 4), (0, 5, 2), 0)


def test_it_is_known_by_its_file(exact_compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = Detection("yunet")
    assert choice.weights == WEIGHT_FILES["yunet"]
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path))
    with pytest.raises(WeightsMissing, match="visavis models pull yunet"):
        load_detector(choice.weights, exact_compute, choice.settings)


def test_the_models_folder_serves_it(
    file: Path, exact_compute: Compute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path))
    (tmp_path / file.name).symlink_to(file.resolve())
    assert isinstance(load_detector(WEIGHT_FILES["yunet"], exact_compute, SETTINGS), YuNetDetector)
