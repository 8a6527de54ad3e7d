"""How alike do strangers look in this archive? Measured without any label.

Two faces of one photo are two people: their similarities are those of impostors. Faces at the same
place in frames taken within seconds are one person, and so are faces with one name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

from embedder.detect import overlaps
from indexer.archive import Archive
from indexer.evaluation.central_faces import EvaluationError
from indexer.naming.calibration import AlbumImpostors, Calibration, calibrate

_RATES = (0.1, 0.01, 0.001)
_FRAME_SECONDS = 2
_FRAME_OVERLAP = 0.5  # IoU of a face's boxes in two frames
_GOOD_QUALITY = 0.5
_MIN_PAIRS = 30  # fewer impostors tell nothing
_MOST_PAIRS = 200_000
_SURE = 0.01  # chance of so many impostors above the default threshold if the default were right


def measure_album(archive: Archive, seed: int = 0) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Compare the archive's own impostors with the default false alarm curve, one face against one.

    Args:
        archive: with photos that show several people.
        seed: chooses pairs where there are too many.
    Returns:
        (the figures; the impostors' similarities; those of the same person, perhaps none).
    Raises:
        EvaluationError: if too few faces share a photo.
    """
    shown = np.flatnonzero(~archive.ignored)
    strangers = _sample(_same_photo_pairs(archive, shown), seed)
    if len(strangers) < _MIN_PAIRS:
        raise EvaluationError(
            f"only {len(strangers)} pairs of faces share a photo, {_MIN_PAIRS} are needed: "
            "add photos that show several people"
        )
    same = _sample(np.concatenate([_frame_pairs(archive, shown), _named_pairs(archive)]), seed)
    impostors, genuine = _similarities(archive, strangers), _similarities(archive, same)
    good = archive.faces.qualities[strangers].min(axis=1) >= _GOOD_QUALITY
    empty = np.empty(0)
    default = calibrate(archive.album.model, np.ones(1, np.int64), AlbumImpostors(empty, np.empty(0, np.int64), empty))
    figures: dict[str, Any] = {
        "impostor_pairs": len(impostors),
        "genuine_pairs": len(genuine),
        "false_alarm": _against_default(impostors, genuine, default),
        "good_impostor_pairs": int(good.sum()),
        "false_alarm_good_faces": _against_default(impostors[good], genuine, default) if good.any() else {},
    }
    figures["warnings"] = [
        f"at the default threshold for {rate} ({row['default_threshold']:.3f}), "
        f"{row['share_here_above_it']:.2%} of the people who share a photo here look alike"
        for rate, row in figures["false_alarm"].items()
        if row["default_is_wrong"]
    ]
    return figures, impostors, genuine


def _against_default(impostors: np.ndarray, genuine: np.ndarray, default: Calibration) -> dict[str, dict[str, Any]]:
    rows = {}
    for rate in _RATES:
        usual = default.threshold(rate)
        here = float(np.quantile(impostors, 1 - rate)) if len(impostors) * rate >= 1 else None
        above = int((impostors >= usual).sum())
        rows[f"{rate:g}"] = {
            "default_threshold": round(usual, 4),
            "share_here_above_it": round(above / len(impostors), 5),
            "default_is_wrong": bool(above and binomtest(above, len(impostors), rate, "greater").pvalue < _SURE),
            "threshold_here": None if here is None else round(here, 4),
            "genuine_found": None if here is None or not len(genuine) else round(float((genuine >= here).mean()), 5),
        }
    return rows


def _same_photo_pairs(archive: Archive, rows: np.ndarray) -> np.ndarray:
    """All pairs of faces of one photo but those said to be the same: int64 (M, 2)."""
    order = rows[np.argsort(archive.photo_numbers[rows], kind="stable")]
    pairs = _pairs_within(order, archive.photo_numbers[order])
    said = {tuple(sorted(pair)) for pair in archive.people.same}
    faces = archive.faces.face_ids
    keep = [tuple(sorted((int(faces[a]), int(faces[b])))) not in said for a, b in pairs]
    return np.asarray(pairs[np.array(keep, bool)])


def _frame_pairs(archive: Archive, rows: np.ndarray) -> np.ndarray:
    """Faces at the same place in photos of the same size, taken within seconds: int64 (M, 2)."""
    dated = rows[~np.isnat(archive.taken_at[rows])]
    dated = dated[np.argsort(archive.taken_at[dated], kind="stable")]
    moment = archive.taken_at[dated].astype(np.int64) / 1000  # seconds
    pairs = []
    for place, a in enumerate(dated.tolist()):
        last = int(np.searchsorted(moment, moment[place] + _FRAME_SECONDS, side="right"))
        others = (b for b in dated[place + 1 : last].tolist() if archive.photo_numbers[a] != archive.photo_numbers[b])
        pairs += [(a, b) for b in others if _iou(archive, a, b) >= _FRAME_OVERLAP]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _named_pairs(archive: Archive) -> np.ndarray:
    rows = np.flatnonzero((archive.persons >= 0) & ~archive.ignored)
    order = rows[np.argsort(archive.persons[rows], kind="stable")]
    return _pairs_within(order, archive.persons[order])


def _pairs_within(rows: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """All pairs of rows whose block is the same; blocks rise: int64 (M, 2)."""
    _, starts, sizes = np.unique(blocks, return_index=True, return_counts=True)
    pairs = []
    for start, size in zip(starts.tolist(), sizes.tolist(), strict=True):
        a, b = np.triu_indices(size, 1)
        pairs.append(np.stack([rows[start + a], rows[start + b]], axis=1))
    return np.concatenate([np.empty((0, 2), np.int64), *pairs])


def _sample(pairs: np.ndarray, seed: int) -> np.ndarray:
    if len(pairs) <= _MOST_PAIRS:
        return pairs
    return np.asarray(pairs[np.random.default_rng(seed).choice(len(pairs), _MOST_PAIRS, replace=False)])


def _similarities(archive: Archive, pairs: np.ndarray) -> np.ndarray:
    first, second = archive.embeddings[pairs[:, 0]], archive.embeddings[pairs[:, 1]]
    return np.asarray(np.einsum("nd,nd->n", first, second), np.float64)


def _iou(archive: Archive, a: int, b: int) -> float:
    boxes = archive.faces.boxes_xywh
    return float(overlaps(boxes[a].astype(float), boxes[b : b + 1].astype(float))[0])
