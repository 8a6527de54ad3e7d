"""Who is this, and is it anybody we know? The open-set protocol on a folder of people.

People with four or more photos are known: their first two (by file name) are the gallery, the rest
are probes. People with one photo are strangers. People with two or three are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from indexer.evaluation.central_faces import CentralFaces, EvaluationError, people_of
from indexer.naming.calibration import calibrate
from indexer.naming.gallery import build_gallery
from indexer.naming.identify import UNKNOWN, IdentifySettings, Identities, album_impostors, identify
from trainer.metrics import DetCurve, open_set_identification

_FARS = (0.001, 0.01, 0.1)
_KNOWN_PHOTOS, _GALLERY_PHOTOS = 4, 2


@dataclass(frozen=True)
class Split:
    """Photo numbers, int64, for each part of the protocol."""

    gallery: np.ndarray
    probes: np.ndarray
    strangers: np.ndarray


def split_people(people: np.ndarray) -> Split:
    """Part photos by the protocol.

    Args:
        people: int64 (P,), who each photo shows; photos in the order of their file names.
    Raises:
        EvaluationError: if a part would be empty.
    """
    counts = np.bincount(people)[people]
    order = np.argsort(people, kind="stable")
    starts = np.searchsorted(people[order], people[order], "left")
    place = np.empty(len(people), np.int64)  # of each photo among those of its person
    place[order] = np.arange(len(people)) - starts
    known = counts >= _KNOWN_PHOTOS
    split = Split(
        np.flatnonzero(known & (place < _GALLERY_PHOTOS)),
        np.flatnonzero(known & (place >= _GALLERY_PHOTOS)),
        np.flatnonzero(counts == 1),
    )
    if not len(split.gallery) or not len(split.strangers):
        raise EvaluationError(
            f"the protocol needs people with at least {_KNOWN_PHOTOS} photos (here {len(set(people[known].tolist()))}) "
            f"and people with one photo (here {len(split.strangers)})"
        )
    return split


def measure_identification(faces: CentralFaces, network: str) -> tuple[dict[str, Any], DetCurve]:
    """Measure with the same functions that `visavis who` uses.

    Args:
        network: name of the network, for its false alarm table.
    Returns:
        (the figures, the DET curve).
    Raises:
        EvaluationError: if the folder does not fit the protocol.
    """
    people, _ = people_of(faces.paths)
    split = split_people(people)
    gallery = build_gallery(faces.embeddings[split.gallery], people[split.gallery], faces.qualities[split.gallery])
    calibration = calibrate(network, gallery.counts, album_impostors(gallery))

    def name(photos: np.ndarray, false_alarm: float) -> Identities:
        settings = IdentifySettings(false_alarm=false_alarm, nearest=1)
        rows, quality = faces.embeddings[photos], faces.qualities[photos]
        return identify(gallery, calibration, rows, photos, quality=quality, settings=settings)

    known, strange = name(split.probes, _FARS[0]), name(split.strangers, _FARS[0])
    truth = people[split.probes]
    found = open_set_identification(known.similarity, known.best_person == truth, strange.similarity, _FARS)
    figures = {
        "rank1": round(float((known.best_person == truth).mean()), 5),
        "dir_at_far": {f"{far:g}": round(float(v), 5) for far, v in zip(_FARS, found.dir_at_far, strict=True)},
        "fnir_at_fpir": {f"{far:g}": round(1 - float(v), 5) for far, v in zip(_FARS, found.dir_at_far, strict=True)},
        "calibration": {
            f"{far:g}": {
                "strangers_named": round(float((name(split.strangers, far).person != UNKNOWN).mean()), 5),
                "rightly_named": round(float((name(split.probes, far).person == truth).mean()), 5),
                "threshold": round(calibration.threshold(far), 4),
            }
            for far in _FARS
        },
        "gallery_people": len(gallery.people),
        "probes": len(split.probes),
        "strangers": len(split.strangers),
        "missed_faces": len(faces.missed),
    }
    return figures, found.det
