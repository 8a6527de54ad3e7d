"""Aligned crops by person, for the trainer: cut out of photos in person folders, or of an album's named faces."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from embedder.align import crop_faces
from embedder.decode import DecodeError, Photo
from embedder.detect import Faces
from embedder.scan import PhotoFile
from trainer.crops import UNNAMED, CropsError, CropsSettings, read_crops_settings, write_crops_settings

MANIFEST = "crops.jsonl"
_CHUNK = 32  # photos
# Near lossless, and read three times as fast as PNG.
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 97, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
_LONGEST_STEM = 60


@dataclass(frozen=True)
class Face:
    """A face to be cut out: whose it is ("" if nobody said), its landmarks, float (5, 2), its box and confidence."""

    person: str
    landmarks: np.ndarray
    box: tuple[int, int, int, int]
    confidence: float


@dataclass(frozen=True)
class Job:
    """A photo whose faces are wanted.

    Attributes:
        file: the photo.
        person: whose folder it lies in; "" where ``faces`` say it.
        faces: None if they are to be found first.
    """

    file: PhotoFile
    person: str = ""
    faces: tuple[Face, ...] | None = None


@dataclass
class CropsReport:
    """What was done.

    Attributes:
        photos: that were looked at in this run.
        unchanged: photos whose crops are there already.
        crops: made in this run.
        skipped: (path, why) of photos without a crop.
    """

    photos: int = 0
    unchanged: int = 0
    crops: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


# Of the faces of a photo and its width and height: the number of the one that is meant, or None and why.
Chooser = Callable[[Faces, int, int], tuple[int | None, str | None]]


def prepare_folder(out: Path, settings: CropsSettings) -> None:
    """Make the folder, or check that it is one of the same kind.

    Raises:
        CropsError: if it holds crops that were cut in another way, or something else.
    """
    if (out / "crops.json").exists():
        there = read_crops_settings(out)
        same = (there.size, there.margin, there.template) == (settings.size, settings.margin, settings.template)
        if not same:
            raise CropsError(
                f"{out} holds crops of {there.size} pixels with the template of {there.network}: choose another --out"
            )
    elif out.exists() and any(out.iterdir()):
        raise CropsError(f"{out} is not empty and holds no crops: choose another --out")
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_crops_settings(out, settings)


def make_crops(
    jobs: Sequence[Job],
    out: Path,
    settings: CropsSettings,
    *,
    find: Callable[[Sequence[np.ndarray]], list[Faces]],
    choose: Chooser,
    decode: Callable[[bytes], Photo],
    readers: int,
    tell: Callable[[CropsReport], None] = lambda report: None,
) -> CropsReport:
    """Cut the faces out of photos, as far as that was not done before.

    Args:
        jobs: the photos.
        out: folder of the crops, prepared.
        settings: size, margin and template.
        find: finds the faces of decoded photos.
        choose: says which one is meant.
        decode: called from several threads.
        readers: how many.
        tell: called after each chunk.
    """
    report = CropsReport()
    known = _known(out)
    new = [job for job in jobs if known.get(str(job.file.path)) != _state(job)]
    report.unchanged = len(jobs) - len(new)
    with (out / MANIFEST).open("a", encoding="utf-8") as manifest, ThreadPoolExecutor(readers) as pool:
        waiting = iter(new)
        while chunk := list(islice(waiting, _CHUNK)):
            read = list(pool.map(lambda job: _read(job, decode), chunk))
            for job, photo, faces, reason in _with_faces(chunk, read, find, choose):
                lines = [] if photo is None else _cut(job, photo, faces, out, settings)
                report.photos, report.crops = report.photos + 1, report.crops + len(lines)
                if not lines:
                    report.skipped.append((str(job.file.path), reason or "no face"))
                line = {"photo": str(job.file.path), "state": _state(job), "reason": reason, "crops": lines}
                manifest.write(json.dumps(line, ensure_ascii=True) + "\n")
            manifest.flush()
            tell(report)
    return report


def central(faces: Faces, width: int, height: int) -> tuple[int | None, str | None]:
    """Choose the face whose box has its centre nearest the photo's."""
    if not len(faces):
        return None, "no face"
    off = faces.boxes_xywh[:, :2] + faces.boxes_xywh[:, 2:] / 2 - np.array([width, height]) / 2
    return int(np.argmin((off**2).sum(axis=1))), None


def folder_name(person: str) -> str:
    """Write a person's name so that it can be a folder's; two names never have the same one. "" is nobody's."""
    if not person:
        return UNNAMED
    name = "".join("_" if c in '/\\:*?"<>|' or ord(c) < 32 else c for c in person).strip(" ")
    if name == person and not name.startswith((".", "_")):
        return name
    return f"~{name}-{hashlib.sha256(person.encode()).hexdigest()[:6]}"


def _known(out: Path) -> dict[str, list[Any]]:
    """Read which photos were done, and in which state they were."""
    known: dict[str, list[Any]] = {}
    path = out / MANIFEST
    if not path.exists():
        return known
    text = path.read_text(encoding="utf-8")
    whole = text.rsplit("\n", 1)[0]
    if len(whole) + 1 < len(text):  # a line that was cut off
        path.write_text(whole + "\n" if "\n" in text else "", encoding="utf-8")
    for line in whole.split("\n"):
        if line:
            content = json.loads(line)
            if all((out / crop["crop"]).exists() for crop in content["crops"]):
                known[content["photo"]] = content["state"]
    return known


def _state(job: Job) -> list[Any]:
    """What a photo and the wish about it were: crops are made anew when it changes."""
    faces = None if job.faces is None else [[face.person, *face.box] for face in job.faces]
    return [job.file.size, job.file.mtime_ns, job.person, faces]


def _read(job: Job, decode: Callable[[bytes], Photo]) -> tuple[Photo | None, str | None]:
    if job.file.problem is not None:
        return None, job.file.problem
    try:
        return decode(job.file.path.read_bytes()), None
    except OSError as error:
        return None, f"cannot be read: {error.strerror}"
    except DecodeError as error:
        return None, str(error)


def _with_faces(
    jobs: Sequence[Job],
    read: Sequence[tuple[Photo | None, str | None]],
    find: Callable[[Sequence[np.ndarray]], list[Faces]],
    choose: Chooser,
) -> Iterator[tuple[Job, Photo | None, tuple[Face, ...], str | None]]:
    """Yield each job with its photo, the faces to cut out, and why there are none."""
    wanted = [place for place, job in enumerate(jobs) if job.faces is None and read[place][0] is not None]
    found = dict(zip(wanted, find([_pixels(read[place][0]) for place in wanted]), strict=True))
    for place, (job, (photo, reason)) in enumerate(zip(jobs, read, strict=True)):
        faces = job.faces or ()
        if place in found and photo is not None:
            height, width = photo.pixels.shape[:2]
            number, reason = choose(found[place], width, height)
            faces = () if number is None else (_face(job.person, found[place], number),)
        yield job, photo, faces, reason


def _pixels(photo: Photo | None) -> np.ndarray:
    assert photo is not None
    return photo.pixels


def _face(person: str, faces: Faces, number: int) -> Face:
    x, y, w, h = (round(float(v)) for v in faces.boxes_xywh[number])
    return Face(person, faces.landmarks[number], (x, y, w, h), float(faces.confidences[number]))


def _cut(job: Job, photo: Photo, faces: tuple[Face, ...], out: Path, settings: CropsSettings) -> list[dict[str, Any]]:
    """Write the crops of a photo; gives a line for each."""
    template = np.asarray(settings.template) + settings.margin
    landmarks = np.array([face.landmarks for face in faces], np.float32).reshape(-1, 5, 2)
    crops = crop_faces(photo.pixels, landmarks, template.tolist(), settings.side)
    lines = []
    for number, (face, crop) in enumerate(zip(faces, crops, strict=True)):
        name = f"{folder_name(face.person)}/{_stem(job.file.path)}{f'-{number}' if len(faces) > 1 else ''}.jpg"
        _write_jpeg(out / name, crop)
        lines.append({"crop": name, "person": face.person, "box": face.box, "confidence": round(face.confidence, 4)})
    return lines


def _stem(path: Path) -> str:
    """Name a crop like its photo, with a hash of the path, as photos of two folders may have one name."""
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    return f"{os.fsencode(path.stem).decode('utf-8', 'replace').lstrip('.')[:_LONGEST_STEM]}-{digest}"


def _write_jpeg(path: Path, crop: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True, mode=0o700)
    done, content = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), _JPEG)
    assert done
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(content.tobytes())
    temporary.replace(path)
