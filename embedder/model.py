"""A model: photos in, faces with embeddings out. What album and query must have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from embedder.align import crop_faces, magnifications
from embedder.calibration import Calibration, calibrate, machine_key, read_calibration, remember_calibration
from embedder.detect import Faces
from embedder.detection import Detection, DetectSettings
from embedder.detectors import load_detector
from embedder.device import Compute
from embedder.encode import Encoded, FaceEncoder
from embedder.model_files import open_model_file
from embedder.model_records import is_model_file
from embedder.pretrained import NETWORKS, FaceNetwork, WeightFile, locate
from embedder.quality import face_qualities

ENOUGH_PIXELS = 1600
"""Photos whose longer side has twice as many pixels are decoded at a part of their size first. The detector looks at
1,536 of them at most; with these a face that is a twentieth as wide as the photo fills its crop."""


class UnknownModel(ValueError):
    """A model name that is not in the table."""


@dataclass(frozen=True)
class ModelSpec:
    """Everything that decides what an embedding means.

    Attributes:
        detector: the weight file that finds the faces.
        network: the weight file that embeds them, with its template.
        detect: how the detector is used.
        views: "mirror": a face and its mirror image are averaged.
        detection: the choice that ``detector`` and ``detect`` follow from, as an album records it.
    """

    detector: WeightFile
    network: FaceNetwork
    detect: DetectSettings = field(default_factory=DetectSettings)
    views: str = "mirror"
    detection: Detection = field(default_factory=Detection)

    @property
    def name(self) -> str:
        """The name by which the user chooses it."""
        return self.network.weights.name

    def fingerprint(self) -> str:
        """Name the model by its content: 12 hex digits. Embeddings of two fingerprints are never compared."""
        parts: dict[str, object] = {
            "detector": self.detector.sha256,
            # What is not done has no part in it, so that an album stays valid when a new way of looking is added.
            "detect": {name: value for name, value in asdict(self.detect).items() if value is not None},
            "network": self.network.weights.sha256,
            "template": self.network.template,
            "views": self.views,
            "resampling": self.network.resampling,
        }
        if self.network.weights.path is not None:  # of those in the table the weights' digest decides it
            parts["feed"] = self.network.input_size, self.network.channel_order, self.network.pixels
        if self.network.revision:
            parts["revision"] = self.network.revision
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class EmbeddedFaces:
    """The N faces of one photo, surest first.

    Attributes:
        boxes_xywh: int32 (N, 4), pixels of the upright photo, inside it.
        landmarks: float32 (N, 5, 2), pixels of the upright photo.
        confidences: float32 (N,), 0–1.
        qualities: float32 (N,), 0–1.
        embeddings: float32 (N, D), unit rows.
    """

    boxes_xywh: np.ndarray
    landmarks: np.ndarray
    confidences: np.ndarray
    qualities: np.ndarray
    embeddings: np.ndarray

    def __len__(self) -> int:
        return len(self.confidences)


@dataclass(frozen=True)
class DecodedPhoto:
    """A photo of which fewer pixels may have been decoded than it has.

    Attributes:
        pixels: upright, uint8 RGB (H, W, 3).
        size: (width, height) of the whole photo.
        whole: decodes all of it; None if it cannot be had. Not called if ``pixels`` is all of it.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    whole: Callable[[], np.ndarray | None]


def choose_model(name: str, detection: Detection | None = None) -> ModelSpec:
    """Find a model by the name of its network, or by its file.

    Args:
        detection: how faces are looked for, if not as usual.
    Raises:
        UnknownModel: if the table does not have it.
        embedder.model_files.ModelFileError and others: see ``embedder.model_files.open_model_file``.
    """
    if name in NETWORKS:
        return model_with(NETWORKS[name], detection)
    if is_model_file(name):
        return model_with(open_model_file(Path(name)), detection)
    raise UnknownModel(f"--model {name} is not known; known: {', '.join(sorted(NETWORKS))}")


def model_with(network: FaceNetwork, detection: Detection | None = None) -> ModelSpec:
    """Give the model that embeds with ``network`` what is found by ``detection``, by default the default detector."""
    detection = detection or Detection()
    if detection.detector in network.templates:
        network = replace(network, template=network.templates[detection.detector])
    return ModelSpec(detection.weights, network, detection.settings, detection=detection)


class FaceModel:
    """A model loaded on a device."""

    def __init__(self, spec: ModelSpec, compute: Compute) -> None:
        """Load the weights.

        Raises:
            embedder.pretrained.WeightsError: if a weight file is missing or altered.
        """
        self.spec = spec
        self.compute = compute
        self._detector = load_detector(spec.detector, compute, spec.detect)
        self._encoder = FaceEncoder(locate(spec.network.weights), compute, spec.network)

    def calibrate(self, memory: Path, *, measure: bool) -> Calibration | None:
        """Take as many crops at once as is fastest on this machine, if that is remembered or may be measured.

        Args:
            memory: the file that remembers, see ``embedder.calibration``.
            measure: measure if nothing is remembered; it takes some seconds.
        Returns:
            what was measured just now; None if nothing was.
        """
        network, encoder = self.spec.network, self._encoder
        key = machine_key(self.compute, network.weights.sha256)
        found = remembered = read_calibration(memory, key)
        if found is None and measure:

            def encode(crops: np.ndarray, crops_at_once: int) -> None:
                encoder.crops_at_once = crops_at_once
                encoder.encode(crops)

            found = calibrate(encode, self.compute, network.input_size)
            remember_calibration(memory, key, found)
        encoder.crops_at_once = self.compute.encode_batch if found is None else found.crops_at_once
        return None if remembered is not None else found

    def find(self, photos: Sequence[np.ndarray]) -> list[EmbeddedFaces]:
        """Find and embed the faces of photos.

        Args:
            photos: upright, uint8 RGB (H, W, 3), of any shapes.
        Returns:
            one ``EmbeddedFaces`` for each photo, in the order of ``photos``.
        """
        whole = [DecodedPhoto(photo, (photo.shape[1], photo.shape[0]), lambda: None) for photo in photos]
        return self.find_in(whole, repeatable=False)

    def find_in(self, photos: Sequence[DecodedPhoto], *, repeatable: bool = True) -> list[EmbeddedFaces]:
        """Find and embed the faces of photos that may be decoded in part.

        Where the crop of a face has more pixels than the face has in ``pixels``, faces are cut from the whole photo.

        Args:
            photos: any number.
            repeatable: see ``FaceEncoder.encode_faces``.
        Returns:
            one ``EmbeddedFaces`` for each photo, in pixels of the whole photo.
        """
        if not len(photos):
            return []
        found = self._detector.detect([photo.pixels for photo in photos])
        crops = self.compute.map(self._cut, list(zip(photos, found, strict=True)))
        encoded = self._encode(crops, repeatable=repeatable)
        return [self._embedded(*parts) for parts in zip(photos, found, encoded, strict=True)]

    def _cut(self, photo_and_faces: tuple[DecodedPhoto, Faces]) -> np.ndarray:
        photo, faces = photo_and_faces
        network = self.spec.network
        pixels, landmarks, factors = photo.pixels, faces.landmarks, _factors(photo)
        if (factors > 1).any() and (magnifications(landmarks, network.template) > 1).any():
            whole = photo.whole()
            if whole is not None:
                pixels, landmarks = whole, landmarks * factors
        return crop_faces(pixels, landmarks, network.template, network.input_size, network.resampling)

    def embed_centres(self, photos: Sequence[np.ndarray]) -> np.ndarray:
        """Embed the central part of photos in which no face was found.

        The middle 60 % of the shorter side stands in for the face, so that a measurement can count
        such a photo instead of leaving it out.

        Returns:
            float32 (N, D), unit rows.
        """
        size = self.spec.network.input_size
        crops = np.empty((len(photos), size, size, 3), np.uint8)
        for crop, photo in zip(crops, photos, strict=True):
            crop[:] = _central_crop(photo, size)
        return self._encoder.encode(crops)

    def embed_known(self, photos: Sequence[np.ndarray], landmarks: Sequence[np.ndarray]) -> list[Encoded]:
        """Embed faces that were found before: nothing is detected.

        Args:
            photos: upright, uint8 RGB (H, W, 3), at least one.
            landmarks: of each photo's faces, float32 (N, 5, 2), pixels of the upright photo.
        Returns:
            the N faces of each photo.
        """
        network = self.spec.network
        crops = [
            crop_faces(photo, points, network.template, network.input_size, network.resampling)
            for photo, points in zip(photos, landmarks, strict=True)
        ]
        return self._encode(crops, repeatable=True)

    def _encode(self, crops: Sequence[np.ndarray], *, repeatable: bool) -> list[Encoded]:
        """Embed the crops of several photos together."""
        encoded = self._encoder.encode_faces(np.concatenate(crops), repeatable=repeatable)
        ends = np.cumsum([len(some) for some in crops])[:-1]
        parts = [np.split(of_all, ends) for of_all in (encoded.embeddings, encoded.lengths, encoded.agreements)]
        return [Encoded(*part) for part in zip(*parts, strict=True)]

    def _embedded(self, photo: DecodedPhoto, faces: Faces, encoded: Encoded) -> EmbeddedFaces:
        factors = _factors(photo)
        boxes = faces.boxes_xywh * np.tile(factors, 2)
        return EmbeddedFaces(
            whole_boxes(boxes, *photo.size),
            faces.landmarks * factors,
            faces.confidences,
            face_qualities(boxes, faces.confidences, encoded.lengths, encoded.agreements, self.spec.network.quality),
            encoded.embeddings,
        )


def _factors(photo: DecodedPhoto) -> np.ndarray:
    """How many pixels of the whole photo one that was decoded stands for, across and down: float32 (2,)."""
    return np.array(photo.size, np.float32) / np.array(photo.pixels.shape[1::-1], np.float32)


def whole_boxes(boxes_xywh: np.ndarray, width: int, height: int) -> np.ndarray:
    """Round boxes to whole pixels and clip them to the photo: int32 (N, 4), inside it, sides at least 1."""
    left, top = boxes_xywh[:, 0], boxes_xywh[:, 1]
    corners = np.stack([left, top, left + boxes_xywh[:, 2], top + boxes_xywh[:, 3]], axis=1)
    corners = np.rint(np.clip(corners, 0, [width, height, width, height])).astype(np.int32)
    corners[:, :2] = np.minimum(corners[:, :2], [width - 1, height - 1])
    corners[:, 2:] = np.maximum(corners[:, 2:] - corners[:, :2], 1)
    return np.asarray(corners)


def _central_crop(photo: np.ndarray, size: int) -> np.ndarray:
    side = max(1, round(min(photo.shape[:2]) * 0.6))
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    return cv2.resize(photo[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_AREA)
