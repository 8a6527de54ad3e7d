"""Quality tells faces that can be relied on from others: by what the network itself shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from embedder.device import Compute
from embedder.encode import FaceEncoder
from embedder.pretrained import NETWORKS
from embedder.quality import QualityScale, face_qualities

BOXES = np.array([[0, 0, 200, 90], [0, 0, 80, 100], [5, 5, 40, 60], [9, 9, 60, 20]], np.float32)
CONFIDENCES = np.array([0.9, 0.8, 1.0, 0.5], np.float32)


LENGTHS, AGREEMENTS = np.array([4.0, 6.0, 9.0, 20.0]), np.array([0.9, 0.97, 0.98, 1.0])


def test_quality_rises_with_what_the_network_shows_it_by():
    by_length = face_qualities(BOXES, CONFIDENCES, LENGTHS, AGREEMENTS, QualityScale("length", 5.0, 13.0))
    np.testing.assert_allclose(by_length, [0, 0.125, 0.5, 1], rtol=1e-6)
    by_agreement = face_qualities(BOXES, CONFIDENCES, LENGTHS, AGREEMENTS, QualityScale("agreement", 0.96, 0.99))
    np.testing.assert_allclose(by_agreement, [0, 0.8 / 3, 1 / 3, 0.125], rtol=1e-5)
    assert by_length.dtype == by_agreement.dtype == np.float32


def test_without_a_scale_it_is_confidence_times_the_share_of_80_pixels():
    qualities = face_qualities(BOXES, CONFIDENCES, LENGTHS, AGREEMENTS, None)
    np.testing.assert_allclose(qualities, [0.9, 0.8, 0.5, 0.125], rtol=1e-6)
    assert qualities.dtype == np.float32
    nothing = np.empty(0, np.float32)
    assert face_qualities(np.empty((0, 4), np.float32), nothing, nothing, nothing, None).shape == (0,)


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_tell_good_crops_from_tiny_ones_and_sface_from_no_faces(
    network: str,
    exact_compute: Compute,
    weights: Callable[[str], Path],
    portrait_crops: Callable[[str], np.ndarray],
):
    encoder, scale = FaceEncoder(weights(network), exact_compute), NETWORKS[network].quality
    good = portrait_crops(network)
    size = good.shape[1:3]
    tiny = np.stack([cv2.resize(cv2.resize(crop, (9, 9), interpolation=cv2.INTER_AREA), size) for crop in good])
    noise = np.random.default_rng(0).integers(0, 256, good.shape, dtype=np.uint8)
    boxes, sure = np.tile(BOXES[:1], (len(good), 1)), np.ones(len(good), np.float32)

    def judged(crops: np.ndarray) -> np.ndarray:
        found = encoder.encode_faces(crops)
        return face_qualities(boxes, sure, found.lengths, found.agreements, scale)

    assert judged(good).min() > 0.75
    assert judged(tiny).max() < judged(good).min() - 0.1
    if network == "sface":
        assert max(judged(tiny).max(), judged(noise).max()) < 0.4
