"""Faces are cut out so that their landmarks lie on the template, to a fraction of a pixel."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import skimage.transform
from hypothesis import given
from hypothesis import strategies as st

from embedder.align import crop_faces, similarity_transforms
from embedder.pretrained import NETWORKS

TEMPLATE = np.array(NETWORKS["sface"].template)
SIZE = 112


def placed(template: np.ndarray, *, scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    """The template's points as a face of this size and turn would show them in a photo."""
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (template - SIZE / 2) @ (scale * rotation).T + shift


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def fit_by_least_squares(landmarks: np.ndarray) -> np.ndarray:
    """The definition: a, b, c, d for which (ax - by + c, bx + ay + d) is nearest to the template."""
    rows = []
    for x, y in landmarks:
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
    a, b, c, d = np.linalg.lstsq(np.array(rows), TEMPLATE.reshape(-1), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


# ---------------------------------------------------------------- fitting


@given(scale=st.floats(0.05, 50), degrees=st.floats(-180, 180), x=st.floats(-5000, 5000), y=st.floats(-5000, 5000))
def test_a_turned_and_scaled_template_maps_onto_the_template(scale: float, degrees: float, x: float, y: float):
    landmarks = placed(TEMPLATE, scale=scale, degrees=degrees, shift=(x, y))
    (matrix,) = similarity_transforms(landmarks[None], TEMPLATE)
    np.testing.assert_allclose(apply(matrix, landmarks), TEMPLATE, atol=1e-7)
    np.testing.assert_allclose(np.hypot(*matrix[:, 0]), 1 / scale, rtol=1e-9)


def test_the_template_itself_stays_where_it_is():
    np.testing.assert_allclose(similarity_transforms(TEMPLATE[None], TEMPLATE), np.eye(3)[None, :2], atol=1e-12)


def test_faces_agree_with_the_definition_and_with_others():
    """Real faces are no turned templates: nothing fits exactly, and the least squares decide."""
    draw = np.random.default_rng(1)
    faces = np.stack(
        [placed(TEMPLATE, scale=s, degrees=d, shift=(300, 200)) for s, d in ((0.4, 10), (1.0, -35), (3.0, 170))]
    )
    faces += draw.normal(scale=4, size=faces.shape)
    matrices = similarity_transforms(faces.astype(np.float32), TEMPLATE)
    assert matrices.dtype == np.float64
    for face, matrix in zip(faces.astype(np.float32).astype(np.float64), matrices, strict=True):
        np.testing.assert_allclose(matrix, fit_by_least_squares(face), atol=1e-8)
        theirs = skimage.transform.estimate_transform("similarity", face, TEMPLATE)
        np.testing.assert_allclose(matrix, theirs.params[:2], atol=1e-8)


def test_an_exact_face_agrees_with_opencv():
    face = placed(TEMPLATE, scale=2.2, degrees=25, shift=(400, 300))
    theirs, _ = cv2.estimateAffinePartial2D(face, TEMPLATE)
    np.testing.assert_allclose(similarity_transforms(face[None], TEMPLATE)[0], theirs, atol=1e-3)  # it works in float32


def test_each_face_is_fitted_alone():
    faces = np.stack([placed(TEMPLATE, scale=s, degrees=9 * s, shift=(90 * s, 40)) for s in (1, 2, 3)])
    together = similarity_transforms(faces, TEMPLATE)
    for face, matrix in zip(faces, together, strict=True):
        np.testing.assert_array_equal(similarity_transforms(face[None], TEMPLATE)[0], matrix)


def test_no_face():
    assert similarity_transforms(np.empty((0, 5, 2)), TEMPLATE).shape == (0, 2, 3)
    crops = crop_faces(np.zeros((50, 40, 3), np.uint8), np.empty((0, 5, 2), np.float32), TEMPLATE, SIZE)
    assert crops.shape == (0, SIZE, SIZE, 3)
    assert crops.dtype == np.uint8


# ---------------------------------------------------------------- cutting


def test_an_upright_face_of_the_right_size_is_copied_as_it_is():
    photo = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    (crop,) = crop_faces(photo, (TEMPLATE + np.array([50, 70]))[None], TEMPLATE, SIZE)
    np.testing.assert_array_equal(crop, photo[70 : 70 + SIZE, 50 : 50 + SIZE])


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("scale", "degrees"), [(0.5, 0), (1, 30), (1.9, -50), (2.1, 12), (5.5, 200), (7, -8)])
def test_marks_land_on_the_template(network: str, scale: float, degrees: float):
    """A photo with a soft dot at each landmark; the dots' centres of gravity are measured in the crop."""
    size, template = NETWORKS[network].input_size, np.array(NETWORKS[network].template)
    side = int(size * scale * 2)
    landmarks = placed(template, scale=scale, degrees=degrees, shift=(side / 2 + 0.37, side / 2 - 0.21))
    y, x = np.mgrid[:side, :side].astype(np.float32)
    dots = sum(np.exp(-((x - mx) ** 2 + (y - my) ** 2) / (2 * (2.5 * scale) ** 2)) for mx, my in landmarks)
    photo = np.repeat(np.rint(255 * dots).astype(np.uint8)[..., None], 3, axis=2)
    (crop,) = crop_faces(photo, landmarks[None], template, size)
    for mark_x, mark_y in template:
        left, top = round(mark_x) - 8, round(mark_y) - 8
        window = crop[top : top + 17, left : left + 17, 0].astype(np.float64)
        y, x = np.mgrid[:17, :17]
        found = np.array([(x * window).sum(), (y * window).sum()]) / window.sum() + (left, top)
        assert window.max() > 200
        np.testing.assert_allclose(found, (mark_x, mark_y), atol=0.1)


def waves(scale: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A picture as a formula: soft waves, none shorter than 10 pixels of the crop; 0-255."""
    draw = np.random.default_rng(5)
    directions = draw.uniform(0, np.pi, 6)
    lengths = draw.uniform(10, 40, 6) * scale
    phases = draw.uniform(0, 2 * np.pi, 6)

    def picture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        along = [np.cos(d) * x + np.sin(d) * y for d in directions]
        total = sum(np.sin(2 * np.pi * a / length + p) for a, length, p in zip(along, lengths, phases, strict=True))
        return np.asarray(127.5 + 20 * total)

    return picture


def true_crop(picture: Callable[[np.ndarray, np.ndarray], np.ndarray], landmarks: np.ndarray) -> np.ndarray:
    """What a perfect cut shows: the mean of the formula over each pixel of the crop, from 6 × 6 points."""
    parts = (np.arange(6) + 0.5) / 6 - 0.5
    inverse = np.linalg.inv(np.vstack([fit_by_least_squares(landmarks), [0, 0, 1]]))[:2]
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    total = np.zeros((SIZE, SIZE))
    for dy in parts:
        for dx in parts:
            total += picture(*apply(inverse, np.stack([x + dx, y + dy], axis=-1).reshape(-1, 2)).T).reshape(SIZE, SIZE)
    return total / 36


def measured_shift(crop: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """By how many pixels of the crop it is off, (y, x): the least squares over the truth's gradient."""
    inner = np.s_[5:-5, 5:-5]
    gradients = np.stack([g[inner].ravel() for g in np.gradient(truth)], axis=1)
    return np.linalg.lstsq(gradients, (truth - crop)[inner].ravel(), rcond=None)[0]


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.7, 1.99, 2.01, 2.6, 3.9, 4.1, 7.5])
def test_crops_are_what_a_perfect_cut_would_show(scale: float):
    """On both sides of the point from which on pixels are averaged first; the crop is off by < 1/20 pixel."""
    landmarks = placed(TEMPLATE, scale=scale, degrees=17, shift=(95 * scale + 0.4, 90 * scale + 0.3))
    picture = waves(scale)
    side = int(190 * scale)
    y, x = np.mgrid[:side, :side].astype(np.float64)
    photo = np.repeat(np.rint(picture(x, y)).astype(np.uint8)[..., None], 3, axis=2)
    (crop,) = crop_faces(photo, landmarks[None], TEMPLATE, SIZE)
    truth = true_crop(picture, landmarks)
    np.testing.assert_allclose(measured_shift(crop[..., 1].astype(np.float64), truth), 0, atol=0.05)
    assert np.abs(crop[..., 1] - truth).max() < 8  # of a swing of 200; bilinear sampling softens a little


def test_a_large_face_is_averaged_and_not_sampled():
    """Fine noise must come out grey; a sampled crop would show single pixels of it."""
    photo = np.random.default_rng(1).integers(0, 256, (1300, 1300, 3), dtype=np.uint8)
    landmarks = placed(TEMPLATE, scale=8, degrees=10, shift=(650, 650))
    (crop,) = crop_faces(photo, landmarks[None], TEMPLATE, SIZE)
    assert abs(crop.mean() - 127.5) < 1
    assert crop.std() < 12  # 74 where pixels are sampled


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_what_lies_outside_the_photo_is_black(scale: float):
    """The right half of this face is not in the photo, nor what lies above it."""
    side = int(SIZE * scale)
    landmarks = placed(TEMPLATE, scale=scale, degrees=0, shift=(side, side * 0.25))
    (crop,) = crop_faces(np.full((2 * side, side, 3), 200, np.uint8), landmarks[None], TEMPLATE, SIZE)
    black = (crop == 0).all(axis=2)
    assert black[: SIZE // 4 - 3].all()
    assert black[:, SIZE // 2 + 3 :].all()
    assert (crop[SIZE // 4 + 3 :, 3 : SIZE // 2 - 3] == 200).all()


@pytest.mark.parametrize("scale", [0.5, 1.0, 6.0, 500.0])
@pytest.mark.parametrize("shift", [(-9e4, 50.0), (50.0, 9e4), (9e4, -9e4)])
def test_a_face_that_is_nowhere_in_the_photo_is_black(scale: float, shift: tuple[float, float]):
    landmarks = placed(TEMPLATE, scale=scale, degrees=5, shift=shift)
    (crop,) = crop_faces(np.full((60, 80, 3), 200, np.uint8), landmarks[None], TEMPLATE, SIZE)
    assert not crop.any()


def test_landmarks_that_are_one_point_do_no_harm():
    photo = np.full((60, 80, 3), 200, np.uint8)
    assert crop_faces(photo, np.full((1, 5, 2), 30.0), TEMPLATE, SIZE).shape == (1, SIZE, SIZE, 3)


def test_faces_of_one_photo_are_cut_in_their_order():
    photo = np.random.default_rng(1).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    faces = np.stack([placed(TEMPLATE, scale=s, degrees=20, shift=(450, 450)) for s in (0.5, 3.0, 1.0)])
    crops = crop_faces(photo, faces, TEMPLATE, SIZE)
    for face, crop in zip(faces, crops, strict=True):
        np.testing.assert_array_equal(crop_faces(photo, face[None], TEMPLATE, SIZE)[0], crop)


@pytest.mark.parametrize("shape", [(300, 40_000), (40_000, 300)])
def test_very_long_photos_can_be_cut(shape: tuple[int, int]):
    """Beyond 32,767 pixels some of OpenCV's functions give up."""
    photo = np.zeros((*shape, 3), np.uint8)
    top, left = shape[0] - 200, shape[1] - 200
    photo[top:, left:] = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    (crop,) = crop_faces(photo, (TEMPLATE + np.array([left, top]))[None], TEMPLATE, SIZE)
    np.testing.assert_array_equal(crop, photo[top : top + SIZE, left : left + SIZE])


def test_the_photo_is_left_as_it_was():
    photo = np.random.default_rng(1).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    photo.flags.writeable = False
    crop_faces(photo, placed(TEMPLATE, scale=4, degrees=0, shift=(300, 300))[None], TEMPLATE, SIZE)
