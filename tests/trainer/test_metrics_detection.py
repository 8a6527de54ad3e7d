import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from trainer.metrics import average_precision, detection_figures, iou_matrix, match_photo
from trainer.metrics.detection import FALSE_ALARM, IGNORED

FACE = [100, 100, 40, 40]
OTHER = [300, 100, 40, 50]


def match(boxes, scores, truth, invalid=None, min_iou=0.5):
    return match_photo(boxes, scores, truth, [False] * len(truth) if invalid is None else invalid, min_iou=min_iou)


def test_iou_counts_pixels():
    rng = np.random.default_rng(0)
    boxes, others = rng.integers(0, 12, (2, 20, 4))

    def pixels(box):
        x, y, w, h = box
        return {(i, j) for i in range(x, x + w) for j in range(y, y + h)}

    overlap = iou_matrix(boxes, others)
    for i, box in enumerate(boxes):
        for j, other in enumerate(others):
            either = pixels(box) | pixels(other)
            assert overlap[i, j] == pytest.approx(len(pixels(box) & pixels(other)) / len(either) if either else 0)


def test_each_face_is_found_once_by_its_best_scored_box():
    photo = match([FACE, FACE, OTHER], [0.6, 0.9, 0.8], [FACE, OTHER])
    assert photo.truth_of.tolist() == [FALSE_ALARM, 0, 1]
    assert photo.found_at.tolist() == [0.9, 0.8]
    assert photo.shorter_side.tolist() == [40, 40]


def test_a_detection_takes_the_free_face_it_overlaps_most():
    beside = [104, 100, 40, 40]
    assert match([beside], [0.9], [FACE, beside]).truth_of.tolist() == [1]
    assert match([beside, beside], [0.9, 0.8], [FACE, beside]).truth_of.tolist() == [1, 0]


def test_iou_decides_what_is_found():
    half = [100, 100, 40, 20]  # IoU .5
    assert match([half], [0.9], [FACE], min_iou=0.5).truth_of.tolist() == [0]
    assert match([half], [0.9], [FACE], min_iou=0.51).truth_of.tolist() == [FALSE_ALARM]


def test_invalid_faces_are_neither_right_nor_wrong():
    photo = match([OTHER, OTHER, FACE, [0, 0, 9, 9]], [0.9, 0.8, 0.7, 0.6], [FACE, OTHER], [False, True])
    assert photo.truth_of.tolist() == [IGNORED, IGNORED, 0, FALSE_ALARM]
    figures = detection_figures([photo], score_threshold=0.5)
    assert figures.faces.tolist() == [1, 1, 1, 0]
    assert figures.precision == 0.5
    assert figures.recall[:3].tolist() == [1, 1, 1]
    assert figures.average_precision == 1


def test_a_valid_face_goes_before_an_invalid_one_that_overlaps_more():
    near = [110, 100, 40, 40]
    assert match([near], [0.9], [FACE, near], [False, True]).truth_of.tolist() == [0]


def test_recall_leaves_smaller_faces_out_and_counts_the_shorter_side():
    truth = [[0, 0, 10, 99], [100, 0, 20, 30], [200, 0, 90, 80], [400, 0, 79, 99]]
    photo = match(truth[1:3], [0.9, 0.4], truth)
    figures = detection_figures([photo], score_threshold=0.5, min_sizes=(1, 16, 40, 80, 200))
    assert figures.faces.tolist() == [4, 3, 2, 1, 0]
    np.testing.assert_allclose(figures.recall, [1 / 4, 1 / 3, 0, 0, np.nan])
    lower = detection_figures([photo], score_threshold=0.4, min_sizes=(1, 16, 40, 80))
    np.testing.assert_allclose(lower.recall, [2 / 4, 2 / 3, 1 / 2, 1])


def test_a_score_threshold_matches_as_if_the_rest_were_not_there():
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.uniform(0, 100, (15, 2)), rng.uniform(20, 40, (15, 2))], axis=1)
    boxes = np.concatenate([truth, truth, truth]) + rng.normal(0, 4, (45, 4))
    scores, invalid = rng.random(45), rng.random(15) < 0.2
    whole = match(boxes, scores, truth, invalid, min_iou=0.35)
    for threshold in (0.3, 0.6, 0.9):
        kept = scores >= threshold
        part = match(boxes[kept], scores[kept], truth, invalid, min_iou=0.35)
        np.testing.assert_array_equal(part.truth_of, whole.truth_of[kept])


def area_under_envelope(scores, right, faces):
    """At each recall level that is reached, the best precision at that recall or beyond."""
    points = []
    for threshold in sorted(set(scores), reverse=True):
        shown = [r for s, r in zip(scores, right, strict=True) if s >= threshold]
        points.append((sum(shown) / faces, sum(shown) / len(shown)))
    area, reached = 0.0, 0.0
    for recall, _ in points:
        area += (recall - reached) * max(p for r, p in points if r >= recall)
        reached = recall
    return area


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_agrees_with_its_definition(seed):
    rng = np.random.default_rng(seed)
    scores, right = np.round(rng.random(50), 1 + seed % 2), rng.random(50) < 0.6
    faces = int(right.sum()) + 7
    assert average_precision(scores, right, faces) == pytest.approx(area_under_envelope(scores, right, faces))


def test_average_precision_is_scikit_learns_where_precision_only_falls():
    scores, right = np.arange(9, 0, -1), np.array([1, 1, 1, 0, 1, 0, 0, 0, 0])
    assert average_precision(scores, right, 4) == pytest.approx(average_precision_score(right, scores))
    rng = np.random.default_rng(0)
    scores, right = rng.random(50), rng.random(50) < 0.5
    assert average_precision(scores, right, int(right.sum())) >= average_precision_score(right, scores)


def test_average_precision_at_its_ends():
    assert average_precision([0.9, 0.8], [True, True], 2) == 1
    assert average_precision([0.9, 0.8], [True, True], 4) == 0.5
    assert average_precision([0.9, 0.8], [False, False], 2) == 0
    assert average_precision([], [], 2) == 0
    assert np.isnan(average_precision([0.9], [False], 0))


def test_photos_are_summed_up_and_may_be_empty():
    nothing = match([], [], [])
    missed = match([], [], [FACE, OTHER])
    alarm = match([FACE], [0.9], [])
    found = match([FACE, OTHER], [0.8, 0.7], [FACE, OTHER])
    figures = detection_figures([nothing, missed, alarm, found], score_threshold=0.5)
    assert figures.faces.tolist() == [4, 4, 4, 0]
    assert figures.recall[0] == 0.5
    assert figures.precision == pytest.approx(2 / 3)
    assert figures.average_precision == pytest.approx(0.5 * 2 / 3)
    reordered = detection_figures([found, alarm, missed, nothing], score_threshold=0.5)
    assert reordered.average_precision == figures.average_precision
    assert np.isnan(detection_figures([missed], score_threshold=0.5).precision)


def test_bad_boxes_are_named():
    with pytest.raises(ValueError, match=r"truth_xywh\[1\] is \[1.0, 2.0, -3.0, 4.0\]"):
        match([FACE], [0.9], [FACE, [1, 2, -3, 4]])
    with pytest.raises(ValueError, match=r"boxes_xywh has shape \(1, 3\)"):
        match([[1, 2, 3]], [0.9], [FACE])
    with pytest.raises(ValueError, match="1 boxes with 2 scores"):
        match([FACE], [0.9, 0.8], [FACE])
    with pytest.raises(ValueError, match=r"scores\[0\] is not a finite number"):
        match([FACE], [np.nan], [FACE])
    with pytest.raises(ValueError, match="min_iou lies in"):
        match([FACE], [0.9], [FACE], min_iou=0)
    with pytest.raises(ValueError, match="photos is empty"):
        detection_figures([], score_threshold=0.5)
    with pytest.raises(ValueError, match="2 detections are right, but there are only 1 faces"):
        average_precision([0.9, 0.8], [True, True], 1)
