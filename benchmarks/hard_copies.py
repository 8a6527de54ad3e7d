"""Make hard copies of known faces: small, blurred, badly compressed, turned, half dark or half covered.

    python -m benchmarks.hard_copies ALBUM... --out FOLDER [--seed 20] [--landmarks found] [--photos 500]

ALBUM holds photos in one folder for each person, as LFW has them; albums of other networks are done together. The face
nearest the centre of each photo counts. Each photo is spoilt in one of the ``KINDS``, drawn from the seed, and its face
embedded as visavis does: cut out, encoded, averaged with its mirror image. The face lies where it was found in the
clean photo and is moved along with the photo, so that what is measured is the network and not the detector;
``--landmarks found`` takes what the detector finds in the spoilt photo instead.

Writes NETWORK.npz and, from the album itself, NETWORK_clean.npz with the same rows: ``embeddings`` (float32, unit
rows), ``labels`` (the person), ``paths``, ``qualities``, ``confidences``, ``boxes_xywh``, ``landmarks``; the hard ones
also have ``kinds`` (numbers of ``kind_names``) and ``found``, whether the detector sees the spoilt face. Confidence is
the spoilt face's, or the least that a found one may have. ``sheet.png`` shows a few of each kind.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from embedder.align import crop_faces
from embedder.decode import decode
from embedder.detect import FaceDetector, Faces
from embedder.device import choose_compute
from embedder.encode import Encoded, FaceEncoder
from embedder.model import choose_model
from embedder.pretrained import locate
from embedder.quality import face_qualities
from indexer.album import open_album
from indexer.archive import Archive, read_archive

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

KINDS = ("32 px", "24 px", "JPEG 15", "blurred", "turned", "half dark", "covered")

_SMALL = {"32 px": 32, "24 px": 24}  # shorter side of the face's box
_JPEG_QUALITY = 15
_BLUR = 0.03  # standard deviation, as a share of the shorter side of the face's box
_TURN = 30.0  # degrees, to either side
_DARK = 0.2  # of the light that is left on one half of the face
_DARK_EDGE = 0.1  # half the width of the shadow's edge, as a share of the face's width
_COVERED = 1 / 3  # of the face's height, from below
_COVER_GREYS = (64, 224)

_SAME_FACE = 0.3  # IoU: the detector sees the spoilt face
_CHUNK = 256  # photos in memory
_EXAMPLES = 8  # of each kind on the sheet
_EXAMPLE_PIXELS = 112


@dataclass(frozen=True)
class Copy:
    """A photo with one known face.

    Attributes:
        photo: uint8 RGB (H, W, 3).
        box_xywh: float (4,), pixels of ``photo``.
        landmarks: float (5, 2), (x, y) pixels of ``photo``.
    """

    photo: Pixels
    box_xywh: Floats
    landmarks: Floats


@dataclass(frozen=True)
class HardFaces:
    """The faces of P spoilt photos, in the order of their paths; one set of embeddings for each network.

    Attributes:
        kinds: (P,) numbers of ``KINDS``; found: (P,) whether the detector sees the spoilt face.
        boxes_xywh: (P, 4); landmarks: (P, 5, 2); confidences: (P,), all of the spoilt photo.
    """

    kinds: Ints
    found: NDArray[np.bool_]
    boxes_xywh: Floats
    landmarks: Floats
    confidences: Floats


def degrade(clean: Copy, kind: str, rng: np.random.Generator) -> Copy:
    """Spoil a photo around its face.

    Args:
        kind: one of ``KINDS``.
        rng: which side is dark, which way it is turned, what colour covers it.
    Raises:
        ValueError: if there is no such kind.
    """
    side = float(clean.box_xywh[2:].min())
    if kind in _SMALL:
        return _scaled(clean, _SMALL[kind] / side)
    if kind == "turned":
        return _turned(clean, float(rng.choice([-_TURN, _TURN])))
    if kind == "JPEG 15":
        photo = _compressed(clean.photo)
    elif kind == "blurred":
        photo = np.asarray(cv2.GaussianBlur(clean.photo, (0, 0), _BLUR * side), np.uint8)
    elif kind == "half dark":
        photo = _half_dark(clean, left=bool(rng.integers(2)))
    elif kind == "covered":
        photo = _covered(clean, int(rng.integers(*_COVER_GREYS)))
    else:
        raise ValueError(f"there is no kind {kind!r} of hard copies: choose from {', '.join(KINDS)}")
    return Copy(photo, clean.box_xywh, clean.landmarks)


def known_face(archive: Archive, row: int) -> Copy:
    """Read the photo of a face, as it is."""
    photo = decode(Path(archive.paths[row]).read_bytes()).pixels
    return Copy(photo, _floats(archive.faces.boxes_xywh[row]), _floats(archive.faces.landmarks[row]))


def draw_kinds(photos: int, seed: int) -> Ints:
    """Draw the kind of each photo, (P,) numbers of ``KINDS``."""
    return np.random.default_rng(seed).integers(0, len(KINDS), photos)


def central_rows(archive: Archive) -> list[int]:
    """Give the row of the face nearest the centre of each photo, photos by their paths. Reads each photo's size."""
    by_path: dict[str, list[int]] = {}
    for row, path in enumerate(archive.paths):
        by_path.setdefault(path, []).append(row)
    return [_most_central(archive, by_path[path]) for path in sorted(by_path)]


def embed_hard_copies(
    archive: Archive, rows: Sequence[int], networks: Sequence[str], *, seed: int, landmarks: str = "known"
) -> Iterator[tuple[HardFaces, dict[str, Encoded], list[Copy]]]:
    """Spoil and embed photos, a few hundred at a time.

    Args:
        rows: one face for each photo.
        networks: names of those that shall embed the faces.
        landmarks: "known", or "found" where the detector sees the spoilt face.
    Yields:
        the faces, their embeddings for each network, and the spoilt photos.
    """
    compute, specs = choose_compute(), [choose_model(name) for name in networks]
    detector = FaceDetector(locate(specs[0].detector), compute, specs[0].detect)
    encoders = [FaceEncoder(locate(spec.network.weights), compute) for spec in specs]
    kinds = draw_kinds(len(rows), seed)
    for start in range(0, len(rows), _CHUNK):
        numbers = range(start, min(start + _CHUNK, len(rows)))
        copies = [
            degrade(known_face(archive, rows[i]), KINDS[kinds[i]], np.random.default_rng([seed, i])) for i in numbers
        ]
        again = detector.detect([copy.photo for copy in copies])
        faces = _as_faces(kinds[start : start + _CHUNK], copies, again, specs[0].detect.min_confidence, landmarks)
        encoded = {}
        for spec, encoder in zip(specs, encoders, strict=True):
            how = spec.network.template, spec.network.input_size, spec.network.resampling
            pairs = zip(copies, faces.landmarks, strict=True)
            encoded[spec.name] = encoder.encode_faces(
                np.concatenate([crop_faces(copy.photo, points[None], *how) for copy, points in pairs])
            )
        yield faces, encoded, copies


def _scaled(clean: Copy, factor: float) -> Copy:
    height, width = (max(1, round(side * factor)) for side in clean.photo.shape[:2])
    small = cv2.resize(clean.photo, (width, height), interpolation=cv2.INTER_AREA)
    ratio = np.array([width, height]) / clean.photo.shape[1::-1]
    # Pixel centres: .5 of the photo is .5 * ratio of the small one.
    points = (clean.landmarks + 0.5) * ratio - 0.5
    return Copy(np.asarray(small, np.uint8), _floats(clean.box_xywh * np.tile(ratio, 2)), _floats(points))


def _turned(clean: Copy, degrees: float) -> Copy:
    """Turn a photo about its face. The box keeps its sides."""
    centre = clean.box_xywh[:2] + clean.box_xywh[2:] / 2
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), degrees, 1.0)
    size = (clean.photo.shape[1], clean.photo.shape[0])
    photo = cv2.warpAffine(clean.photo, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    points = clean.landmarks @ matrix[:, :2].T + matrix[:, 2]
    return Copy(np.asarray(photo, np.uint8), clean.box_xywh, _floats(points))


def _compressed(photo: Pixels) -> Pixels:
    bgr = np.ascontiguousarray(photo[:, :, ::-1])
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)[:, :, ::-1])


def _half_dark(clean: Copy, *, left: bool) -> Pixels:
    """Put one side of the photo, up to the middle of the face, in the shadow."""
    x, width = float(clean.box_xywh[0]), float(clean.box_xywh[2])
    across = (np.arange(clean.photo.shape[1]) - x - width / 2) / (_DARK_EDGE * width)
    lit = np.clip((across if left else -across) / 2 + 0.5, 0, 1)
    light = _DARK + (1 - _DARK) * lit
    return np.asarray(np.rint(clean.photo * light[None, :, None]), np.uint8)


def _covered(clean: Copy, grey: int) -> Pixels:
    x, y, width, height = clean.box_xywh
    photo = clean.photo.copy()
    top, bottom = round(float(y + height * (1 - _COVERED))), round(float(y + height))
    photo[max(top, 0) : max(bottom, 0), max(round(float(x)), 0) : max(round(float(x + width)), 0)] = grey
    return photo


def _as_faces(
    kinds: Ints, copies: Sequence[Copy], again: Sequence[Faces], least_sure: float, landmarks: str
) -> HardFaces:
    best = [_same_face(copy, faces) for copy, faces in zip(copies, again, strict=True)]
    found = np.array([place >= 0 for place in best])
    pairs = list(zip(copies, again, best, strict=True))
    boxes = _floats([c.box_xywh if at < 0 else f.boxes_xywh[at] for c, f, at in pairs])
    moved = landmarks == "found"
    points = _floats([f.landmarks[at] if moved and at >= 0 else c.landmarks for c, f, at in pairs])
    sure = _floats([least_sure if at < 0 else f.confidences[at] for _, f, at in pairs])
    return HardFaces(kinds, found, boxes, points, sure)


def _same_face(copy: Copy, faces: Faces) -> int:
    """Give the number of the face that overlaps the known one most; -1 if none does by enough."""
    if not len(faces):
        return -1
    first, last = copy.box_xywh[:2], copy.box_xywh[:2] + copy.box_xywh[2:]
    ends = faces.boxes_xywh[:, :2] + faces.boxes_xywh[:, 2:]
    inner = np.clip(np.minimum(ends, last) - np.maximum(faces.boxes_xywh[:, :2], first), 0, None).prod(axis=1)
    overlap = inner / (faces.boxes_xywh[:, 2:].prod(axis=1) + copy.box_xywh[2:].prod() - inner)
    return int(np.argmax(overlap)) if overlap.max() >= _SAME_FACE else -1


def _most_central(archive: Archive, rows: list[int]) -> int:
    if len(rows) == 1:
        return rows[0]
    height, width = decode(Path(archive.paths[rows[0]]).read_bytes()).pixels.shape[:2]
    boxes = archive.faces.boxes_xywh[rows].astype(np.float64)
    off = boxes[:, :2] + boxes[:, 2:] / 2 - np.array([width, height]) / 2
    return rows[int(np.argmin((off**2).sum(axis=1)))]


def _floats(values: object) -> Floats:
    return np.asarray(values, np.float32)


def _sheet(copies: Sequence[Copy], kinds: Ints) -> Pixels:
    """Show a few faces of each kind, a row for each, with some of what is around them."""
    template = (np.array([(38, 51), (74, 51), (56, 71), (41, 92), (71, 92)]) * 0.7 + 17).tolist()
    rows = []
    for kind in range(len(KINDS)):
        some = [copy for copy, its in zip(copies, kinds, strict=True) if its == kind][:_EXAMPLES]
        cut = [crop_faces(copy.photo, copy.landmarks[None], template, _EXAMPLE_PIXELS)[0] for copy in some]
        cut += [np.zeros((_EXAMPLE_PIXELS, _EXAMPLE_PIXELS, 3), np.uint8)] * (_EXAMPLES - len(cut))
        rows.append(np.concatenate(cut, axis=1))
    return np.concatenate(rows)


def main() -> None:
    """Read the command line, embed, write."""
    parser = argparse.ArgumentParser(description="Make hard copies of known faces, and embed them.")
    parser.add_argument("albums", type=Path, nargs="+", metavar="ALBUM", help="of the same photos, by other networks")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the files are written")
    parser.add_argument("--seed", type=int, default=20, help="of the kinds (default: 20)")
    parser.add_argument("--landmarks", choices=("known", "found"), default="known", help="default: known")
    parser.add_argument("--photos", type=int, help="only so many photos, the first by path")
    options = parser.parse_args()
    archives = [read_archive(open_album(album)) for album in options.albums]
    rows = central_rows(archives[0])[: options.photos]
    faces = archives[0].faces.face_ids[rows].tolist()
    names = [archive.album.model for archive in archives]
    parts: list[dict[str, Any]] = []
    copies: list[Copy] = []
    for hard, encoded, spoilt in embed_hard_copies(
        archives[0], rows, names, seed=options.seed, landmarks=options.landmarks
    ):
        parts.append({field.name: getattr(hard, field.name) for field in fields(hard)})
        for name, faces_of in encoded.items():
            scale = choose_model(name).network.quality
            measured = faces_of.lengths, faces_of.agreements
            quality = face_qualities(hard.boxes_xywh, hard.confidences, *measured, scale)
            parts[-1] |= {name: faces_of.embeddings, f"{name} quality": quality}
        copies += spoilt if len(copies) < _EXAMPLES * len(KINDS) else []
        print(f"{sum(len(part['kinds']) for part in parts)} of {len(rows)} photos", file=sys.stderr)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    paths = [str(archives[0].paths[row]) for row in rows]
    labels = np.unique([Path(path).parent.name for path in paths], return_inverse=True)[1].astype(np.int64)
    about: dict[str, Any] = {"labels": labels, "paths": np.array(paths)}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, archive in zip(names, archives, strict=True):
        spoilt_faces: dict[str, Any] = {"embeddings": whole[name], "kind_names": np.array(KINDS)}
        spoilt_faces |= {field.name: whole[field.name] for field in fields(HardFaces)}
        spoilt_faces["qualities"] = whole[f"{name} quality"]
        np.savez(options.out / f"{name}.npz", **about, **spoilt_faces)
        own = np.array([archive.row_of[face] for face in faces])
        known = ("qualities", "confidences", "boxes_xywh", "landmarks")
        clean: dict[str, Any] = {field: np.asarray(getattr(archive.faces, field))[own] for field in known}
        np.savez(options.out / f"{name}_clean.npz", **about, embeddings=np.asarray(archive.embeddings)[own], **clean)
    sheet = _sheet(copies, whole["kinds"][: len(copies)])
    cv2.imwrite(str(options.out / "sheet.png"), np.ascontiguousarray(sheet[:, :, ::-1]))


if __name__ == "__main__":
    main()
