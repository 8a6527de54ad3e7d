"""How faces are looked for: each choice is its own, and what is not known is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from embedder.detection import DETECTION_LEVELS, Detection, DetectSettings, FurtherSettings
from embedder.model import choose_model
from embedder.pretrained import DETECTORS, NETWORKS


def test_every_detector_has_every_level_and_each_is_another_model() -> None:
    assert DETECTION_LEVELS == ("fast", "balanced", "thorough")
    choices = [Detection(detector, level) for detector in DETECTORS for level in DETECTION_LEVELS]
    assert len({choose_model("sface", choice).fingerprint() for choice in choices}) == 6
    for choice in choices:
        assert choose_model("dlib", choice).detection == choice
        assert choose_model("dlib", choice).detector == DETECTORS[choice.detector]


def test_the_default_is_balanced_centerface() -> None:
    assert Detection() == Detection("centerface", "balanced")
    assert Detection().settings == DetectSettings(further=FurtherSettings(240))
    assert choose_model("sface").fingerprint() == choose_model("sface", Detection()).fingerprint()


def test_it_is_written_as_it_is_asked_for() -> None:
    assert str(Detection(level="fast")) == "--detection fast"
    assert str(Detection("yunet", "thorough")) == "--detector yunet --detection thorough"


def test_a_network_is_cut_to_the_points_of_the_detector_that_finds_its_faces() -> None:
    usual, other = choose_model("dlib").network, choose_model("dlib", Detection("yunet")).network
    assert usual == NETWORKS["dlib"]
    assert other.template == usual.templates["yunet"] != usual.template
    assert choose_model("sface", Detection("yunet")).network.template == choose_model("sface").network.template


@pytest.mark.parametrize(("detector", "level"), [("retinaface", "fast"), ("yunet", "slow")])
def test_what_is_not_known_is_refused(detector: str, level: str) -> None:
    with pytest.raises(ValueError, match=f"no detector {detector} at level {level} is known"):
        Detection(detector, level)


def test_copies_that_would_be_shrunk_again_are_refused() -> None:
    """The detector must see the sheet as it is."""
    assert DetectSettings(long_side=480, further=FurtherSettings(240)).further is not None
    with pytest.raises(ValueError, match="copies of 241 pixels do not fit twice into 480"):
        DetectSettings(long_side=480, further=FurtherSettings(241))


def test_a_way_of_looking_that_is_not_taken_changes_no_album() -> None:
    """Settings of before have the fingerprint of before; each further look is a model of its own."""
    model = choose_model("sface")
    settings = [DetectSettings(), *(DetectSettings(further=FurtherSettings(tile)) for tile in (200, 240))]
    prints = [replace(model, detect=some).fingerprint() for some in settings]
    assert len(set(prints)) == 3
    assert prints[0] == "518ede16fdc2"  # of 2026-11-25, before there were further looks
    assert prints[2] == model.fingerprint()
