"""The whole model: photos in, faces with embeddings out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.align import crop_faces
from embedder.detect import Faces
from embedder.detection import DetectSettings
from embedder.device import Compute
from embedder.model import (
    DecodedPhoto,
    EmbeddedFaces,
    FaceModel,
    ModelSpec,
    UnknownModel,
    choose_model,
    whole_boxes,
)
from embedder.pretrained import NETWORKS, WEIGHT_FILES, WeightsMissing


@pytest.fixture(scope="module")
def exact_model(weights: Callable[[str], Path], exact_compute: Compute) -> FaceModel:
    weights("centerface"), weights("sface")
    return FaceModel(choose_model("sface"), exact_compute)


@pytest.fixture(scope="module")
def fast_model(weights: Callable[[str], Path], fast_compute: Compute) -> FaceModel:
    weights("centerface"), weights("sface")
    return FaceModel(choose_model("sface"), fast_compute)


@pytest.fixture(scope="module")
def found(exact_model: FaceModel, portraits: dict[str, np.ndarray]) -> dict[str, EmbeddedFaces]:
    return dict(zip(portraits, exact_model.find(list(portraits.values())), strict=True))


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_is_chosen_by_the_name_of_its_network(name: str):
    spec = choose_model(name)
    assert spec.name == name
    assert spec.network is NETWORKS[name]
    assert spec.detector.role == "detector"


@pytest.mark.parametrize("name", ["", "centerface", "SFace", "arcface"])
def test_an_unknown_model_is_refused_with_the_known_ones(name: str):
    with pytest.raises(UnknownModel, match=r"is not known; known: dlib, sface$"):
        choose_model(name)


def test_a_missing_weight_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact_compute: Compute):
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path))
    with pytest.raises(WeightsMissing, match="visavis models pull centerface"):
        FaceModel(choose_model("sface"), exact_compute)


def variants() -> dict[str, ModelSpec]:
    """Models of which each makes embeddings of its own kind."""
    spec = choose_model("sface")
    weight, network = spec.network.weights, spec.network
    moved = ((38.0, 51.7), *network.template[1:])
    return {
        "default": spec,
        "dlib": choose_model("dlib"),
        "detector": dataclasses.replace(spec, detector=WEIGHT_FILES["yunet"]),
        "long side": dataclasses.replace(spec, detect=DetectSettings(long_side=641)),
        "confidence": dataclasses.replace(spec, detect=DetectSettings(min_confidence=0.36)),
        "overlap": dataclasses.replace(spec, detect=DetectSettings(max_overlap=0.31)),
        "views": dataclasses.replace(spec, views="single"),
        "template": dataclasses.replace(spec, network=dataclasses.replace(network, template=moved)),
        "revision": dataclasses.replace(spec, network=dataclasses.replace(network, revision=1)),
        "weights": dataclasses.replace(
            spec, network=dataclasses.replace(network, weights=dataclasses.replace(weight, sha256="0" * 64))
        ),
    }


def test_whatever_changes_an_embedding_changes_the_fingerprint():
    fingerprints = {name: spec.fingerprint() for name, spec in variants().items()}
    assert len(set(fingerprints.values())) == len(fingerprints)
    assert all(len(value) == 12 and int(value, 16) >= 0 for value in fingerprints.values())


def test_what_changes_no_embedding_leaves_the_fingerprint():
    spec = choose_model("sface")
    assert choose_model("sface").fingerprint() == spec.fingerprint()
    moved = dataclasses.replace(spec.detector, address="https://example.org/x.onnx", file_name="x.onnx", licence="?")
    assert dataclasses.replace(spec, detector=moved).fingerprint() == spec.fingerprint()


# ---------------------------------------------------------------- photos


def test_portraits_have_one_face_each(
    found: dict[str, EmbeddedFaces], portrait_faces: dict[str, Faces], portraits: dict[str, np.ndarray]
):
    for name, faces in found.items():
        assert len(faces) == 1
        expected = portrait_faces[name]
        np.testing.assert_allclose(faces.boxes_xywh, expected.boxes_xywh, rtol=0, atol=1.01)
        np.testing.assert_allclose(faces.landmarks, expected.landmarks, rtol=0, atol=1e-2)
        types = [getattr(faces, field.name).dtype for field in dataclasses.fields(faces)]
        assert types == [np.int32, np.float32, np.float32, np.float32, np.float32]
        assert faces.embeddings.shape == (1, 128)
        np.testing.assert_allclose(np.linalg.norm(faces.embeddings, axis=1), 1, rtol=0, atol=1e-6)
        assert 0.7 < faces.qualities[0] <= 1


def test_each_face_keeps_its_own_embedding(exact_model: FaceModel, portraits: dict[str, np.ndarray]):
    """Photos with no, one and two faces in one call: rows go back to their photos."""
    astronaut, hopper = portraits["astronaut"], portraits["hopper"][:512]
    nobody = np.full((100, 120, 3), 90, np.uint8)
    both = np.concatenate([hopper, astronaut], axis=1)
    photos = [nobody, astronaut, both, nobody, hopper, nobody]
    found = exact_model.find(photos)
    assert [len(faces) for faces in found] == [0, 1, 2, 0, 1, 0]
    assert found[0].embeddings.shape == (0, 128)
    network = exact_model.spec.network
    for photo, faces in zip(photos, found, strict=True):
        crops = crop_faces(photo, faces.landmarks, network.template, network.input_size)
        np.testing.assert_allclose(exact_model._encoder.encode(crops), faces.embeddings, rtol=0, atol=1e-5)
    similarity = found[2].embeddings @ np.concatenate([found[4].embeddings, found[1].embeddings]).T
    on_the_left = int(found[2].boxes_xywh[:, 0].argmin())
    assert similarity[on_the_left, 0] > 0.9
    assert similarity[1 - on_the_left, 1] > 0.9
    assert abs(similarity[on_the_left, 1]) < 0.4


def test_no_photo_and_no_face(exact_model: FaceModel):
    assert exact_model.find([]) == []
    (faces,) = exact_model.find([np.zeros((40, 50, 3), np.uint8)])
    assert len(faces) == 0
    assert faces.boxes_xywh.shape == (0, 4)
    assert faces.qualities.shape == (0,)


def test_a_person_is_like_herself_and_unlike_another(
    exact_model: FaceModel, found: dict[str, EmbeddedFaces], portraits: dict[str, np.ndarray]
):
    brighter = np.clip(portraits["astronaut"] * 1.3 + 20, 0, 255).astype(np.uint8)
    (again,) = exact_model.find([brighter])
    one, other = found["astronaut"].embeddings[0], found["hopper"].embeddings[0]
    assert again.embeddings[0] @ one > 0.8
    assert abs(one @ other) < 0.4


def test_bfloat16_makes_the_same_embeddings(
    fast_model: FaceModel, found: dict[str, EmbeddedFaces], portraits: dict[str, np.ndarray]
):
    """The crops are cut by its own landmarks, which lie a little elsewhere; of the same crops see test_encode."""
    for faces, exact in zip(fast_model.find(list(portraits.values())), found.values(), strict=True):
        assert faces.embeddings[0] @ exact.embeddings[0] > 0.98


def test_the_centre_stands_in_where_no_face_is_found(exact_model: FaceModel, portraits: dict[str, np.ndarray]):
    """For a photo that is cut so that the face lies in the middle, it is nearly the face."""
    astronaut = portraits["astronaut"]
    photos = [astronaut[1:211, 119:329], np.zeros((1, 300, 3), np.uint8), portraits["hopper"]]
    embeddings = exact_model.embed_centres(photos)
    assert embeddings.shape == (3, 128)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=0, atol=1e-6)
    (faces,) = exact_model.find([astronaut])
    similarity = embeddings @ faces.embeddings[0]
    assert similarity[0] > 0.4
    assert similarity[0] > similarity[1:].max() + 0.2
    assert exact_model.embed_centres([]).shape == (0, 128)


# ---------------------------------------------------------------- boxes


def test_boxes_are_rounded_and_clipped():
    boxes = np.array([[1.4, 2.6, 10.2, 9.9], [-5, -5, 20, 30], [90, 70, 50, 50]], np.float32)
    expected = [[1, 3, 11, 9], [0, 0, 15, 25], [90, 70, 10, 10]]
    whole = whole_boxes(boxes, 100, 80)
    assert whole.tolist() == expected
    assert whole.dtype == np.int32
    assert whole_boxes(np.empty((0, 4), np.float32), 100, 80).shape == (0, 4)


@given(
    x=st.floats(-300, 300, width=32),
    y=st.floats(-300, 300, width=32),
    w=st.floats(0, 300, width=32),
    h=st.floats(0, 300, width=32),
    width=st.integers(1, 200),
    height=st.integers(1, 200),
)
def test_boxes_lie_inside_the_photo(x: float, y: float, w: float, h: float, width: int, height: int):
    left, top, box_width, box_height = whole_boxes(np.array([[x, y, w, h]], np.float32), width, height)[0].tolist()
    assert 0 <= left < left + box_width <= width
    assert 0 <= top < top + box_height <= height
    if x >= 0 and x + w <= width and w >= 1.5:
        assert abs(left - x) <= 0.51
        assert abs(left + box_width - (x + w)) <= 0.51


def decoded(photo: np.ndarray, divided: int, whole: Callable[[], np.ndarray | None]) -> DecodedPhoto:
    height, width = (side // divided for side in photo.shape[:2])
    pixels = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    return DecodedPhoto(pixels, (photo.shape[1], photo.shape[0]), whole)


def test_a_face_that_needs_more_pixels_is_cut_from_the_whole_photo(
    exact_model: FaceModel, portraits: dict[str, np.ndarray]
):
    """Boxes and landmarks are those of the whole photo, and the embedding is the same as from there."""
    photo = portraits["astronaut"]
    (expected,) = exact_model.find([photo])
    calls = []

    def whole() -> np.ndarray:
        calls.append(1)
        return photo

    (found,) = exact_model.find_in([decoded(photo, 2, whole)])
    assert len(calls) == len(found) == 1
    np.testing.assert_allclose(found.boxes_xywh, expected.boxes_xywh, atol=6)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=4)
    assert found.qualities == pytest.approx(expected.qualities, abs=0.1)
    assert float((found.embeddings * expected.embeddings).sum()) > 0.97


def test_a_face_that_is_large_enough_is_not(exact_model: FaceModel, portraits: dict[str, np.ndarray]):
    photo = cv2.resize(portraits["astronaut"], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    (expected,) = exact_model.find([photo])
    (found,) = exact_model.find_in([decoded(photo, 2, lambda: pytest.fail("was asked for"))])
    np.testing.assert_allclose(found.boxes_xywh, expected.boxes_xywh, atol=16)
    assert float((found.embeddings * expected.embeddings).sum()) > 0.99


def test_without_the_whole_photo_its_part_serves(exact_model: FaceModel, portraits: dict[str, np.ndarray]):
    photo = portraits["astronaut"]
    (expected,) = exact_model.find([photo])
    (found,) = exact_model.find_in([decoded(photo, 2, lambda: None)])
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=4)
    assert 0.8 < float((found.embeddings * expected.embeddings).sum()) < 1
