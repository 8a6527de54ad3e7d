"""Claim: from photo files to stored embeddings, visavis needs a fraction of the time of face_recognition.

python -m benchmarks.pipeline [--quick] [--json]
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.contender import Job
from benchmarks.frame import Comparison, Contender
from benchmarks.inputs import Photos, large_photos, lfw_photos, wider_photos, write_list
from benchmarks.script import Plan, Settings, run_script

CLAIM = (
    "visavis takes a fraction of face_recognition's time from photo files to embeddings, and finds more faces. "
    "face_recognition does what its command line does: HOG detector upsampled once, five landmarks, one view, photos "
    "over 1,600 pixels shrunk to that. visavis does what `visavis index` does: decode, detect, align, embed the face "
    "and its mirror image, and write shards with checksums, which are flushed to the disk."
)
_PEER_JOB, _OURS_JOB = "benchmarks.pipeline:face_recognition", "benchmarks.pipeline:visavis"
_OURS = ("torch", "opencv-python", "pyarrow")
_CONTENDERS = (
    Contender("face_recognition, dlib-bin", _PEER_JOB, packages=("face_recognition", "dlib-bin")),
    Contender("face_recognition, dlib with OpenBLAS", _PEER_JOB, "openblas", ("face_recognition", "dlib")),
    Contender("visavis, SFace (default)", _OURS_JOB, "visavis", _OURS, argument="sface"),
    Contender("visavis, dlib's network", _OURS_JOB, "visavis", _OURS, argument="dlib"),
)
_LONG_SIDE = 1600  # face_recognition_cli.py: "Scale down image if it's giant"


def face_recognition(folder: Path) -> Job:
    """Find and embed faces as the command line of face_recognition does for the photos it is to name."""
    import face_recognition
    from PIL import Image

    def embed(path: Path) -> int:
        photo = face_recognition.load_image_file(path)
        if max(photo.shape) > _LONG_SIDE:
            picture = Image.fromarray(photo)
            picture.thumbnail((_LONG_SIDE, _LONG_SIDE), Image.Resampling.LANCZOS)
            photo = np.array(picture)
        return len(face_recognition.face_encodings(photo))

    return _job(folder, lambda paths: sum(embed(path) for path in paths))


def visavis(folder: Path, network: str) -> Job:
    """Find and embed faces as ``visavis index`` does, into an album that is empty each time."""
    from benchmarks.ours import one_lane_model
    from embedder.catalogue import read_catalogue
    from embedder.decode_pool import DecodePool
    from embedder.pipeline import EmbedSettings, embed_photos
    from embedder.scan import scan

    model, decoders = one_lane_model(network), DecodePool(1)

    def embed(paths: list[Path]) -> int:
        with tempfile.TemporaryDirectory(dir=folder) as shards:
            nothing_yet = read_catalogue(Path(shards))
            settings = EmbedSettings(readers=1)
            report = embed_photos(scan(paths), model, Path(shards), nothing_yet, settings, decode=decoders.decode)
        return report.faces

    return _job(folder, embed)


def _job(folder: Path, embed: Callable[[list[Path]], int]) -> Job:
    paths = [Path(line) for line in (folder / "photos.txt").read_text().splitlines()]
    return Job(
        lambda: embed(paths), len(paths), warm_up=lambda: embed(paths[:2]), judge=lambda faces: {"faces found": faces}
    )


def _prepare(settings: Settings, folder: Path) -> Plan:
    quick = settings.quick
    wider = wider_photos(settings.data, 8 if quick else 16, folder)
    large = large_photos(wider_photos(settings.data, 2 if quick else 4, folder), folder / "large-photos")
    lfw = lfw_photos(settings.data, 16 if quick else 48, folder)
    return Plan([_comparison(photos, folder / name) for name, photos in (("w", wider), ("l", large), ("f", lfw))])


def _comparison(photos: Photos, folder: Path) -> tuple[Comparison, Path]:
    write_list(photos.paths, folder)
    return Comparison(photos.source, "photo", _CONTENDERS), folder


if __name__ == "__main__":
    run_script("pipeline", CLAIM, _prepare)
