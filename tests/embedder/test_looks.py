"""Further looks: what makes a photo be looked at again, what counts there, and real portraits, turned and close."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from embedder.detect import FaceDetector, Faces, overlaps
from embedder.detection import Detection, DetectSettings, FurtherSettings
from embedder.detectors import load_detector
from embedder.device import Compute
from embedder.looks import FurtherLooks, best_turn, carried_back, faces_of_copies, has_upright_face, only_upright
from embedder.model import FaceModel, ModelSpec, choose_model
from embedder.turning import places_on_sheet, turn, turned_back
from embedder.yunet import YuNetDetector

FURTHER = FurtherSettings(tile=240, sure=0.7, turned=0.5, filling=0.4)
SETTINGS = DetectSettings(further=FURTHER)
FACE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)  # shares of its box


def upright_faces(*boxes_and_confidences: tuple[float, ...]) -> Faces:
    """Faces (x, y, w, h, confidence) that stand upright in their boxes."""
    rows = np.array(boxes_and_confidences, np.float32).reshape(-1, 5)
    return Faces(rows[:, :4], rows[:, None, :2] + FACE * rows[:, None, 2:4], rows[:, 4])


def turned_faces(faces: Faces, quarters: int, size: tuple[int, int]) -> Faces:
    """The same faces in a photo of ``size`` that shows them turned: as they lie before ``turn(photo, quarters)``."""
    return Faces(*turned_back(faces.boxes_xywh, faces.landmarks, quarters, size), faces.confidences)


class Scripted:
    """A detector that says what it is told to, look by look, and remembers the shapes that it saw."""

    def __init__(self, *looks: list[Faces]) -> None:
        self.looks, self.shapes = list(looks), []  # type: ignore[var-annotated]

    def detect(self, photos: Sequence[np.ndarray]) -> list[Faces]:
        self.shapes.append([photo.shape[:2] for photo in photos])
        return self.looks.pop(0) if photos else []


def look(detector: Scripted, photos: Sequence[np.ndarray], compute: Compute) -> list[Faces]:
    return FurtherLooks(detector, compute, SETTINGS, FURTHER).detect(photos)


def blank(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


NOBODY = upright_faces()


# ---------------------------------------------------------------- when a photo is looked at again


def test_a_photo_with_a_sure_upright_face_is_looked_at_once(exact_compute: Compute):
    detector = Scripted([upright_faces((10, 10, 40, 50, 0.7))])
    (faces,) = look(detector, [blank(640, 400)], exact_compute)
    assert faces.confidences.tolist() == pytest.approx([0.7])
    assert detector.shapes == [[(400, 640)]]


def test_a_sure_face_on_its_side_does_not_count(exact_compute: Compute):
    """It is what an upright look sees of a turned photo; its points are in wrong places."""
    lying = turned_faces(upright_faces((10, 10, 40, 50, 0.9)), 1, (640, 400))
    detector = Scripted([lying], [NOBODY])
    (faces,) = look(detector, [blank(640, 400)], exact_compute)
    assert detector.shapes == [[(400, 640)], [(480, 480)], []]
    np.testing.assert_array_equal(faces.boxes_xywh, lying.boxes_xywh)


def test_only_photos_without_a_sure_face_are_looked_at_again(exact_compute: Compute):
    sure, unsure = upright_faces((10, 10, 40, 50, 0.8)), upright_faces((10, 10, 40, 50, 0.6))
    detector = Scripted([unsure, sure, NOBODY], [NOBODY, NOBODY])
    found = look(detector, [blank(640, 400)] * 3, exact_compute)
    assert [len(faces) for faces in found] == [1, 1, 0]
    assert detector.shapes[1] == [(480, 480)] * 2


def test_no_photo_gives_no_answer(exact_compute: Compute):
    assert look(Scripted(), [], exact_compute) == []


# ---------------------------------------------------------------- what counts there


def on_sheet(size: tuple[int, int], quarters: int, *faces: tuple[float, ...]) -> Faces:
    """Faces in one copy on the sheet of a photo of ``size``."""
    corner = places_on_sheet(size, FURTHER.tile)[quarters, :2]
    return upright_faces(*[(x + corner[0], y + corner[1], w, h, c) for x, y, w, h, c in faces])


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_photo_is_looked_at_at_full_size_the_way_it_should_stand(exact_compute: Compute, quarters: int):
    """1,280 × 800 is shrunk to 640 × 400 first; faces come back twice as large, and lie as they lie there."""
    size, seen = (1280, 800), upright_faces((30, 40, 50, 60, 0.9), (200, 100, 20, 25, 0.3))
    detector = Scripted([NOBODY], [on_sheet(size, quarters, (10, 10, 20, 24, 0.35))], [seen])
    (faces,) = look(detector, [blank(*size)], exact_compute)
    assert detector.shapes[2] == [(400, 640) if quarters == 2 else (640, 400)]
    expected = turned_faces(seen, quarters, (640, 400))
    np.testing.assert_allclose(faces.boxes_xywh, 2 * expected.boxes_xywh)
    np.testing.assert_allclose(faces.landmarks, 2 * expected.landmarks)
    assert len(only_upright(faces)) == 0


def test_a_turned_look_without_a_sure_face_counts_for_nothing(exact_compute: Compute):
    first = upright_faces((10, 10, 40, 50, 0.4))
    detector = Scripted(
        [first], [on_sheet((640, 400), 1, (10, 10, 20, 24, 0.6))], [upright_faces((90, 90, 40, 50, 0.49))]
    )
    (faces,) = look(detector, [blank(640, 400)], exact_compute)
    np.testing.assert_array_equal(faces.boxes_xywh, first.boxes_xywh)


def test_what_the_first_look_saw_lying_gives_way_to_the_turned_look(exact_compute: Compute):
    """An upright face stays: somebody may stand beside one who lies."""
    lying = turned_faces(upright_faces((10, 10, 40, 50, 0.8)), 1, (640, 400))
    standing = upright_faces((500, 300, 30, 40, 0.5))
    both = Faces(*(np.concatenate([getattr(f, n) for f in (lying, standing)]) for n in Faces.__annotations__))
    seen = upright_faces((100, 200, 60, 60, 0.9))
    detector = Scripted([both], [on_sheet((640, 400), 1, (10, 10, 20, 24, 0.6))], [seen])
    (faces,) = look(detector, [blank(640, 400)], exact_compute)
    np.testing.assert_allclose(faces.boxes_xywh[0], turned_faces(seen, 1, (640, 400)).boxes_xywh[0])
    np.testing.assert_allclose(faces.boxes_xywh[1], standing.boxes_xywh[0])
    assert len(faces) == 2


@pytest.mark.parametrize(
    ("height", "confidence", "counts"), [(73, 0.4, True), (73, 0.39, False), (72, 0.9, False), (145, 0.9, True)]
)
def test_a_face_that_fills_the_frame_is_taken_from_the_small_copy(
    exact_compute: Compute, height: int, confidence: float, counts: bool
):
    """The copy of 640 × 400 is 232 × 145: half of its shorter side is 72.5 pixels."""
    sheet = on_sheet((640, 400), 0, (20, 0, 60, height, confidence))
    (faces,) = look(Scripted([NOBODY], [sheet]), [blank(640, 400)], exact_compute)
    assert len(faces) == counts
    if counts:
        factor = 640 / 232
        np.testing.assert_allclose(faces.boxes_xywh, [np.array([20, 0, 60, height]) * factor], rtol=2e-3)
        np.testing.assert_allclose(faces.landmarks[0, 0] / factor, (20 + 18, 0.4 * height), rtol=2e-3)


def test_a_filling_face_takes_the_place_of_what_is_less_sure_of_it(exact_compute: Compute):
    first = upright_faces((50, 0, 170, 190, 0.35))
    sheet = on_sheet((640, 400), 0, (20, 0, 60, 73, 0.8))
    (faces,) = look(Scripted([first], [sheet]), [blank(640, 400)], exact_compute)
    assert faces.confidences.tolist() == pytest.approx([0.8])


def test_faces_are_parted_by_copy_and_the_most_of_them_tell_the_turn():
    size = (640, 400)
    places = places_on_sheet(size, 240)
    some = [on_sheet(size, q, *[(9, 8, 20, 24, 0.5)] * n) for q, n in enumerate((1, 0, 3, 2))]
    sheet = Faces(*(np.concatenate([getattr(f, n) for f in some]) for n in Faces.__annotations__))
    copies = faces_of_copies(sheet, places)
    assert [len(faces) for faces in copies] == [1, 0, 3, 2]
    np.testing.assert_allclose(copies[3].boxes_xywh, [(9, 8, 20, 24)] * 2)
    np.testing.assert_allclose(copies[2].landmarks[0], upright_faces((9, 8, 20, 24, 1)).landmarks[0], rtol=1e-5)
    assert best_turn(copies) == 2
    assert best_turn([NOBODY] * 4) == 0
    assert best_turn([copies[3], NOBODY, NOBODY, copies[3]]) == 0
    lying = turned_faces(copies[2], 1, (100, 100))
    assert best_turn([copies[0], lying, NOBODY, NOBODY]) == 0


def test_upright_is_within_half_a_right_angle():
    faces = upright_faces((10, 10, 40, 50, 0.6))
    assert has_upright_face(faces, 0.6) and not has_upright_face(faces, 0.61)
    assert not has_upright_face(NOBODY, 0.0)
    for quarters in (1, 2, 3):
        assert not has_upright_face(carried_back(faces, quarters, (80, 80), (80, 80)), 0.1)


# ---------------------------------------------------------------- real portraits


@pytest.fixture(scope="module")
def detector(weights: Callable[[str], Path], exact_compute: Compute) -> FurtherLooks:
    return FurtherLooks(FaceDetector(weights("centerface"), exact_compute, SETTINGS), exact_compute, SETTINGS, FURTHER)


@pytest.mark.parametrize("name", ["astronaut", "hopper"])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_portrait_has_the_face_of_the_upright_one(
    name: str,
    quarters: int,
    detector: FurtherLooks,
    portraits: dict[str, np.ndarray],
    portrait_faces: dict[str, Faces],
):
    photo = portraits[name]
    (faces,) = detector.detect([turn(photo, quarters)])
    expected = portrait_faces[name]
    size = turn(photo, quarters).shape[1::-1]
    lying = turned_faces(expected, (4 - quarters) % 4, size)
    assert len(faces) == 1
    np.testing.assert_allclose(faces.boxes_xywh, lying.boxes_xywh, atol=1)
    np.testing.assert_allclose(faces.landmarks, lying.landmarks, atol=1)


@pytest.fixture(scope="module")
def model(weights: Callable[[str], Path], exact_compute: Compute) -> FaceModel:
    weights("centerface")
    weights("sface")
    spec: ModelSpec = dataclasses.replace(choose_model("sface"), detect=SETTINGS)
    return FaceModel(spec, exact_compute)


def test_the_crop_of_a_turned_face_stands_upright(model: FaceModel, portraits: dict[str, np.ndarray]):
    """By its embedding: a face on its side would resemble nobody."""
    for photo in portraits.values():
        upright, *turned = model.find([turn(photo, quarters) for quarters in range(4)])
        for faces in turned:
            assert len(faces) == 1
            assert float(faces.embeddings[0] @ upright.embeddings[0]) > 0.95


def close_up(portraits: dict[str, np.ndarray], side: int = 640) -> tuple[np.ndarray, np.ndarray]:
    """Grace Hopper's face, a fifth higher than the frame, and where it is: x, y, w, h."""
    left, top, cut = 176, 142, 177
    photo = cv2.resize(portraits["hopper"][top : top + cut, left : left + cut], (side, side))
    return photo, np.array([0, 0, cut, cut], np.float32) * side / cut


def test_a_face_that_fills_the_frame_is_found(detector: FurtherLooks, portraits: dict[str, np.ndarray]):
    """The first look sees less than half of it."""
    photo, box = close_up(portraits)
    (first,), (faces,) = detector.detector.detect([photo]), detector.detect([photo])
    assert all(overlaps(box, first.boxes_xywh) < 0.5)
    assert len(faces) == 1
    assert overlaps(box, faces.boxes_xywh)[0] > 0.7
    marks = (np.array([(222, 192), (306, 189), (263, 238), (236, 276), (302, 275)]) - (176, 142)) * 640 / 177
    assert np.linalg.norm(faces.landmarks[0] - marks, axis=1).max() < 0.1 * 640


def test_what_shows_no_face_gains_none(detector: FurtherLooks):
    draw = np.random.default_rng(1)
    noise = [draw.integers(0, 256, shape, dtype=np.uint8) for shape in ((90, 200, 3), (480, 640, 3), (7, 1300, 3))]
    soft = [cv2.GaussianBlur(draw.normal(0, 1, (400, 600, 3)), None, sigma) for sigma in (4, 12, 30)]
    soft = [np.clip(128 + 60 * clouds / clouds.std(), 0, 255).astype(np.uint8) for clouds in soft]
    things = [skimage.data.coffee(), skimage.data.chelsea()[:140], skimage.data.rocket()]
    assert [len(faces) for faces in detector.detect([*noise, *soft, *things])] == [0] * 9


def test_a_photo_has_the_same_faces_alone_and_beside_others(detector: FurtherLooks, portraits: dict[str, np.ndarray]):
    """Turned, close, upright and without a face, in any company."""
    photos = [
        turn(portraits["astronaut"], 1),
        skimage.data.coffee(),
        close_up(portraits)[0],
        portraits["hopper"],
        turn(portraits["hopper"], 2),
    ]
    together, backwards = detector.detect(photos), detector.detect(photos[::-1])[::-1]
    for photo, *found in zip(photos, together, backwards, strict=True):
        (alone,) = detector.detect([photo])
        for faces in found:
            for name in Faces.__annotations__:
                np.testing.assert_array_equal(getattr(faces, name), getattr(alone, name))


def test_levels_look_further_or_not(weights: Callable[[str], Path], exact_compute: Compute):
    weights("centerface")
    kinds = {}
    for level in ("fast", "balanced", "thorough"):
        chosen = Detection(level=level)
        kinds[level] = type(load_detector(chosen.weights, exact_compute, chosen.settings))
    assert kinds == {"fast": FaceDetector, "balanced": FurtherLooks, "thorough": FurtherLooks}


def test_another_detector_looks_further_too(
    shared_data: Callable[[str, str], Path], exact_compute: Compute, portraits: dict[str, np.ndarray]
):
    """YuNet sees upright points in a face on its head, with .85; of the upright face it is .93 sure."""
    file = shared_data("models/face_detection_yunet_2026may.onnx", "YuNet")
    settings, further = DetectSettings(min_confidence=0.5), FurtherSettings(tile=240, sure=0.9)
    yunet = YuNetDetector(file, exact_compute, settings)
    photo = portraits["astronaut"]
    (upright,) = yunet.detect([photo])
    (faces,) = FurtherLooks(yunet, exact_compute, settings, further).detect([turn(photo, 2)])
    assert len(faces) == len(upright) == 1
    np.testing.assert_allclose(faces.landmarks, turned_faces(upright, 2, (512, 512)).landmarks, atol=2)
