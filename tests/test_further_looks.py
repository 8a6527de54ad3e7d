"""What the benchmark of further looks shows to the detector: boxes go where their pixels go."""

import numpy as np
import pytest

from benchmarks.further_looks import Case, figures, filled_frames, part_without_faces, turned
from embedder.detect import Faces


def photo_with(*boxes: tuple[int, int, int, int], width: int = 640, height: int = 480) -> Case:
    """A black photo whose boxes are white."""
    photo = np.zeros((height, width, 3), np.uint8)
    for x, y, w, h in boxes:
        photo[y : y + h, x : x + w] = 255
    return Case(photo, np.array(boxes, np.float64).reshape(-1, 4), np.zeros(len(boxes), bool))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_boxes_turn_with_their_pixels(quarters: int):
    case = turned(photo_with((40, 100, 90, 120)), quarters)
    x, y, w, h = case.boxes_xywh[0].astype(int)
    assert case.photo.shape[:2] == ((480, 640) if quarters == 2 else (640, 480))
    assert (case.photo[y : y + h, x : x + w] == 255).all()
    assert (case.photo == 255).sum() == 90 * 120 * 3


@pytest.mark.parametrize(("share", "high"), [(0.75, 480), (1.0, 640), (1.25, 640)])
def test_a_face_is_so_high_in_the_frame_and_cut_where_the_frame_ends(share: float, high: int):
    (frame,) = filled_frames(photo_with((200, 150, 100, 120), (20, 20, 30, 40)), share, 640)
    assert frame.photo.shape == (640, 640, 3)
    x, y, w, h = frame.boxes_xywh[0]
    assert (h, w) == pytest.approx((high, min(100 / 120 * share, 1) * 640), rel=0.02)
    inside = frame.photo[round(y) + 5 : round(y + h) - 5, round(x) + 5 : round(x + w) - 5]
    assert inside.min() == 255
    assert (frame.photo == 255).mean() == pytest.approx(w * h / 640**2, abs=0.02)


def test_a_part_without_faces_is_the_largest_there_is():
    part = part_without_faces(photo_with((300, 0, 40, 60), (330, 200, 50, 50)))
    assert part is not None and part.photo.shape == (230, 640, 3) and not part.photo.any()
    assert part_without_faces(photo_with((0, 0, 600, 400))) is None
    whole = part_without_faces(photo_with())
    assert whole is not None and whole.photo.shape == (480, 640, 3)


def test_figures_count_what_is_no_face():
    case = photo_with((100, 100, 50, 50), (300, 100, 50, 50))
    boxes = np.array([[102, 101, 50, 50], [500, 300, 40, 40]], np.float32)
    found = Faces(boxes, np.zeros((2, 5, 2), np.float32), np.array([0.9, 0.5], np.float32))
    assert figures([found], [case]) == {"photos": 1, "wrong": 1, "recall": 0.5, "precision": 0.5}
