"""Claim: visavis embeds faces many times faster than its peers run the same networks.

python -m benchmarks.embed [--quick] [--json]

Crops are cut before anything is measured. The cosine is that of the embeddings with those of the same
network in float32, one view: it shows that all contenders do the same work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.contender import Job
from benchmarks.frame import Comparison, Contender
from benchmarks.inputs import lfw_photos
from benchmarks.script import Plan, Settings, run_script

CLAIM = (
    "visavis runs dlib's network and SFace many times faster than dlib and ONNX Runtime do. It embeds a face and its "
    "mirror image; the peers embed one view, so that both are shown."
)
_DLIB_JOB, _OURS_JOB = "benchmarks.embed:dlib", "benchmarks.embed:visavis"
_OURS = ("torch",)
_DLIB_CONTENDERS = (
    Contender("dlib-bin", _DLIB_JOB, packages=("dlib-bin",)),
    Contender("dlib compiled with OpenBLAS", _DLIB_JOB, "openblas", packages=("dlib",)),
    Contender("visavis, one view", _OURS_JOB, "visavis", _OURS, argument="dlib one"),
    Contender("visavis, face and mirror image", _OURS_JOB, "visavis", _OURS, argument="dlib two"),
)
_SFACE_CONTENDERS = (
    Contender("ONNX Runtime", "benchmarks.embed:sface_onnx_runtime", packages=("onnxruntime",)),
    Contender("visavis, one view", _OURS_JOB, "visavis", _OURS, argument="sface one"),
    Contender("visavis, face and mirror image", _OURS_JOB, "visavis", _OURS, argument="sface two"),
)


def dlib(folder: Path) -> Job:
    """Embed chips as face_recognition does, one by one."""
    import dlib
    from face_recognition_models import face_recognition_model_location

    network = dlib.face_recognition_model_v1(face_recognition_model_location())
    return _job(folder, "dlib", lambda crops: np.array([network.compute_face_descriptor(crop) for crop in crops]))


def sface_onnx_runtime(folder: Path) -> Job:
    """Embed crops with SFace's own file, in float32, one by one, which is how it is fastest."""
    from benchmarks.onnx_peer import load

    session = load(folder / "sface.onnx")
    name = session.get_inputs()[0].name

    def embed(crops: np.ndarray) -> np.ndarray:
        planes = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), np.float32)
        return np.concatenate([session.run(None, {name: planes[i : i + 1]})[0] for i in range(len(planes))])

    return _job(folder, "sface", embed)


def visavis(folder: Path, network_and_views: str) -> Job:
    """Embed crops as ``visavis index`` does in a long job; with one view as it would without the mirror image."""
    from benchmarks.ours import one_lane
    from embedder.calibration import calibrate
    from embedder.encode import FaceEncoder
    from embedder.pretrained import NETWORKS, locate

    name, views = network_and_views.split()
    compute = one_lane()
    encoder = FaceEncoder(locate(NETWORKS[name].weights), compute)

    def try_batches(crops: np.ndarray, crops_at_once: int) -> None:
        encoder.crops_at_once = crops_at_once
        encoder.encode(crops)

    encoder.crops_at_once = calibrate(try_batches, compute, NETWORKS[name].input_size).crops_at_once
    return _job(folder, name, (lambda crops: encoder.encode_views(crops)[0]) if views == "one" else encoder.encode)


def _job(folder: Path, network: str, embed: Callable[[np.ndarray], np.ndarray]) -> Job:
    crops = np.load(folder / f"{network}_crops.npy")
    exact = np.load(folder / f"{network}_exact.npy")
    few = crops[:16].copy()

    def judge(embeddings: np.ndarray) -> dict[str, float]:
        unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
        return {"cosine": float(np.einsum("ij,ij->i", unit, exact).mean())}

    return Job(lambda: embed(crops), len(crops), warm_up=lambda: embed(few), judge=judge)


def _prepare(settings: Settings, folder: Path) -> Plan:
    from benchmarks.ours import one_lane
    from embedder.decode import decode
    from embedder.detect import FaceDetector
    from embedder.pretrained import NETWORKS, WEIGHT_FILES, locate

    chosen = lfw_photos(settings.data, 32 if settings.quick else 96, folder)
    photos = [decode(path.read_bytes()).pixels for path in chosen.paths]
    detector = FaceDetector(locate(WEIGHT_FILES["centerface"]), one_lane())
    landmarks = [faces.landmarks[:1] for faces in detector.detect(photos)]
    for name in ("dlib", "sface"):
        _write_crops(folder, name, photos, landmarks)
    (folder / "sface.onnx").write_bytes(locate(NETWORKS["sface"].weights).read_bytes())
    source = f"the surest face of each of {chosen.source}"
    return Plan(
        [
            (Comparison(f"dlib's network: {source}", "face", _DLIB_CONTENDERS), folder),
            (Comparison(f"SFace: {source}", "face", _SFACE_CONTENDERS), folder),
        ]
    )


def _write_crops(folder: Path, name: str, photos: list[np.ndarray], landmarks: list[np.ndarray]) -> None:
    """Write the crops for a network, and what it gives for them in float32."""
    from benchmarks.ours import one_lane
    from embedder.align import crop_faces
    from embedder.encode import FaceEncoder
    from embedder.pretrained import NETWORKS, locate

    network = NETWORKS[name]
    cut = [
        crop_faces(photo, points, network.template, network.input_size, network.resampling)
        for photo, points in zip(photos, landmarks, strict=True)
    ]
    crops = np.concatenate(cut)
    encoder = FaceEncoder(locate(network.weights), one_lane(exact=True))
    np.save(folder / f"{name}_crops.npy", crops)
    np.save(folder / f"{name}_exact.npy", encoder.encode_views(crops)[0])


if __name__ == "__main__":
    run_script("embed", CLAIM, _prepare)
