"""Measure what further looks at a photo find: turned photos, faces that fill the frame, photos without a face.

    taskset -c 0 python -m benchmarks.further_looks [--levels balanced thorough] [--detector centerface] [--every 3]
        [--only WORDS] [--data DIR]

Photos of wider-dev, every third by name from the second on (the settings were chosen on those from the first on): as
they stand; turned by 90, 180 and 270 degrees with their annotated boxes; and cut so that an annotated face of 80 pixels
or more is 70, 90, 100 or 120 % as high as the frame, enlarged to 640 and 1,600 pixels. Photos of lfw-dev, whose faces
are those found in the whole photo, are cut in the same way. Photos without a face are the parts of wider-dev that no
annotated box reaches into. Each level looks at all of them, without its further looks and with them.

Recall is that of valid faces of 24 pixels and more at IoU .35, time is processor time for a photo, on one core. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.inputs import DATA
from benchmarks.ours import one_lane
from embedder.detect import Faces
from embedder.detection import DETECTION_LEVELS, Detection
from embedder.detectors import Detector, load_detector
from embedder.looks import FurtherLooks
from embedder.pretrained import DEFAULT_DETECTOR
from trainer.metrics import detection_figures, match_photo

_MIN_IOU, _MIN_SIDE = 0.35, 24
_FILLING = (0.7, 0.9, 1.0, 1.2)  # height of the face, in sides of the frame
_ENLARGED = (640, 1600)  # pixels of the frame
_LARGE_FACE = 80  # pixels of the shorter side
_EMPTY = 200  # pixels of the shorter side of a part without a face, at least
_FRAMES = 40  # of each source, share and size, at most


@dataclass(frozen=True)
class Case:
    """One photo to look at: uint8 RGB (H, W, 3), boxes_xywh float (N, 4) in its pixels, invalid bool (N,)."""

    photo: np.ndarray
    boxes_xywh: np.ndarray
    invalid: np.ndarray


def read_photos(data: Path, every: int) -> list[Case]:
    """Read every so-manieth photo of wider-dev, from the second on, with its annotated faces."""
    folder = data / "wider-dev"
    entries = sorted(json.loads((folder / "boxes.json").read_text()).items())[1 % every :: every]
    return [
        Case(
            _read(folder / "images" / name),
            np.array([face["box"] for face in faces], np.float64).reshape(-1, 4),
            np.array([bool(face["invalid"]) for face in faces], bool),
        )
        for name, faces in entries
    ]


def turned(case: Case, quarters: int) -> Case:
    """Turn a photo counter-clockwise by quarters of a circle, its boxes with it."""
    photo, boxes = case.photo, case.boxes_xywh
    for _ in range(quarters):
        x, y, w, h = boxes.T
        boxes = np.stack([y, photo.shape[1] - x - w, h, w], axis=1)
        photo = np.rot90(photo)
    return Case(np.ascontiguousarray(photo), boxes, case.invalid)


def filled_frames(case: Case, share: float, long_side: int) -> Iterator[Case]:
    """Cut a square around each large face of a photo that is ``share`` of it high, where the photo reaches so far."""
    for box, invalid in zip(case.boxes_xywh, case.invalid, strict=True):
        side = round(max(box[2:]) / share)
        if invalid or min(box[2:]) < _LARGE_FACE or side > min(case.photo.shape[:2]):
            continue
        corner = np.clip(np.rint(box[:2] + box[2:] / 2 - side / 2), 0, np.array(case.photo.shape[1::-1]) - side)
        left, top = corner.astype(int)
        cut = cv2.resize(
            case.photo[top : top + side, left : left + side], (long_side, long_side), interpolation=cv2.INTER_CUBIC
        )
        low = np.maximum(box[:2] - corner, 0)
        high = np.minimum(box[:2] + box[2:] - corner, side)
        clipped = np.concatenate([low, high - low]) * long_side / side
        yield Case(cut, clipped[None], np.zeros(1, bool))


def part_without_faces(case: Case) -> Case | None:
    """Give the largest part of a photo that no annotated box reaches into, if both sides have some pixels."""
    height, width = case.photo.shape[:2]
    x, y = case.boxes_xywh[:, 0], case.boxes_xywh[:, 1]
    lefts, tops = [0, *(x + case.boxes_xywh[:, 2])], [0, *(y + case.boxes_xywh[:, 3])]
    best, largest = None, 0.0
    for left in lefts:
        for right in [*x, width]:
            for top in tops:
                free = (x + case.boxes_xywh[:, 2] <= left) | (x >= right) | (y + case.boxes_xywh[:, 3] <= top)
                bottom = min([height, *y[~free]])
                area = (right - left) * (bottom - top)
                if min(right - left, bottom - top) >= _EMPTY and area > largest:
                    best, largest = (left, top, right, bottom), area
    if best is None:
        return None
    left, top, right, bottom = (math.ceil(edge) for edge in best)
    return Case(np.ascontiguousarray(case.photo[top:bottom, left:right]), np.empty((0, 4)), np.empty(0, bool))


def lfw_photos(data: Path, detector: Detector) -> list[Case]:
    """Read photos of lfw-dev, spread over the alphabet, with the face that ``detector`` finds nearest the centre."""
    paths = sorted((data / "lfw-dev" / "images").glob("*/*_0001.jpg"))
    photos = [_read(path) for path in paths[:: max(1, len(paths) // _FRAMES)][:_FRAMES]]
    cases = []
    for photo, faces in zip(photos, detector.detect(photos), strict=True):
        if len(faces):
            middles = faces.boxes_xywh[:, :2] + faces.boxes_xywh[:, 2:] / 2
            nearest = int(np.argmin(np.linalg.norm(middles - np.array(photo.shape[1::-1]) / 2, axis=1)))
            cases.append(Case(photo, faces.boxes_xywh[nearest : nearest + 1].astype(np.float64), np.zeros(1, bool)))
    return cases


def kinds_of_cases(data: Path, every: int) -> dict[str, list[Case]]:
    """Make all that is looked at, by what it is; what is not there is left out with a line."""
    kinds: dict[str, list[Case]] = {}
    sources: dict[str, list[Case]] = {}
    if (data / "wider-dev").is_dir():
        photos = read_photos(data, every)
        kinds["as they stand"] = photos
        for quarters in (1, 2, 3):
            kinds[f"turned by {90 * quarters}"] = [turned(case, quarters) for case in photos]
        parts = [part_without_faces(case) for case in read_photos(data, 1)]
        kinds["without a face"] = [part for part in parts if part is not None][1 % every :: every]
        sources["WIDER"] = photos
    else:
        _left_out("what needs wider-dev", data)
    if (data / "lfw-dev").is_dir():
        usual = Detection()
        sources["LFW"] = lfw_photos(data, load_detector(usual.weights, one_lane(), usual.settings))
    else:
        _left_out("faces of LFW that fill the frame", data)
    for source, cases in sources.items():
        for share in _FILLING:
            for side in _ENLARGED:
                cut = [frame for case in cases for frame in filled_frames(case, share, side)]
                kinds[f"{source}, {share:.0%} of {side}"] = cut[:: max(1, -(-len(cut) // _FRAMES))]
    return kinds


def figures(found: list[Faces], cases: list[Case]) -> dict[str, float]:
    """Compare what was found with what is there."""
    matches = [
        match_photo(faces.boxes_xywh, faces.confidences, case.boxes_xywh, case.invalid, min_iou=_MIN_IOU)
        for faces, case in zip(found, cases, strict=True)
    ]
    summed = detection_figures(matches, score_threshold=0, min_sizes=(_MIN_SIDE,))
    wrong = sum(int((match.truth_of == -1).sum()) for match in matches)
    shares = {"recall": float(summed.recall[0]), "precision": summed.precision}
    return {"photos": len(cases), "wrong": wrong} | {
        name: round(share, 4) for name, share in shares.items() if not math.isnan(share)
    }


def measure(level: str, detector: str, kinds: dict[str, list[Case]]) -> dict[str, dict[str, dict[str, float]]]:
    """Look at all photos, one by one, without further looks and with them in turn."""
    detection = Detection(detector, level)
    further = load_detector(detection.weights, one_lane(), detection.settings)
    if not isinstance(further, FurtherLooks):
        raise SystemExit(f"{detection} looks no further: there is nothing to compare")
    ways: dict[str, Detector] = {"one look": further.detector, "further looks": further}
    measured: dict[str, dict[str, dict[str, float]]] = {}
    for kind, cases in kinds.items():
        seconds = dict.fromkeys(ways, 0.0)
        found: dict[str, list[Faces]] = {way: [] for way in ways}
        for case in cases:
            for way, look in ways.items():
                started = time.process_time()
                found[way] += look.detect([case.photo])
                seconds[way] += time.process_time() - started
        measured[kind] = {
            way: figures(found[way], cases) | {"ms": round(seconds[way] * 1000 / len(cases), 1)} for way in ways
        }
        print(f"{detection}, {kind}: {measured[kind]}", file=sys.stderr)
    return measured


def print_table(level: str, measured: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print one row for each kind of photos; figures without further looks and with them."""
    print(
        f"\n| {level} | photos | recall | precision | finds that are no face | ms a photo |\n|---|---|---|---|---|---|"
    )
    for kind, ways in measured.items():
        one, more = ways.values()
        both = [
            f"{one[name]:g} → {more[name]:g}" if name in one and name in more else ""
            for name in ("recall", "precision", "wrong", "ms")
        ]
        print(f"| {kind} | {one['photos']} | {' | '.join(both)} |")


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", nargs="+", choices=DETECTION_LEVELS, default=["balanced", "thorough"])
    parser.add_argument("--detector", default=DEFAULT_DETECTOR)
    parser.add_argument("--every", type=int, default=3, help="take every so-manieth photo")
    parser.add_argument("--only", default="", metavar="WORDS", help='kinds of photos with these words: "turned", "LFW"')
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    made = kinds_of_cases(options.data, options.every)
    kinds = {kind: cases for kind, cases in made.items() if cases and options.only in kind}
    results = {level: measure(level, options.detector, kinds) for level in options.levels}
    for level, measured in results.items():
        print_table(level, measured)
    print(json.dumps(results))


def _read(path: Path) -> np.ndarray:
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if photo is None:
        sys.exit(f"{path} cannot be read")
    return photo


def _left_out(what: str, data: Path) -> None:
    print(f"left out: {what}, which is not in {data}", file=sys.stderr)


if __name__ == "__main__":
    main()
