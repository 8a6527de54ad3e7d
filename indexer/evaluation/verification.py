"""Is this the same person? LFW's protocol over a list of pairs, and over every pair of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from indexer.evaluation.central_faces import CentralFaces, EvaluationError, people_of
from trainer.metrics import (
    Roc,
    accuracy_by_fold,
    all_pairs_verification,
    area_under,
    interleaved_halves,
    roc_curve,
    tar_at_far,
)

_LIST_FARS = (0.01, 0.001)
_ALL_FARS = (1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True)
class Pairs:
    """A list of pairs of photos.

    Attributes:
        first, second: paths relative to the folder of the images, without extension.
        same: bool (N,).
        folds: int64 (N,); all 0 in a list of one fold.
    """

    first: list[str]
    second: list[str]
    same: np.ndarray
    folds: np.ndarray


def read_pairs(path: Path) -> Pairs:
    """Read LFW's format: "folds⇥n" or "n", then for each fold n lines of the same and n of different people.

    Raises:
        EvaluationError: names the line that does not fit.
    """
    lines = path.read_text().splitlines()
    head = lines[0].split() if lines else []
    if not head or not all(part.isdecimal() for part in head) or len(head) > 2:
        raise EvaluationError(f"{path}, line 1: expected the number of pairs of each kind, as LFW's lists have it")
    folds, each = (int(head[0]), int(head[1])) if len(head) == 2 else (1, int(head[0]))
    rows = [line for line in lines[1:] if line.strip()]
    if len(rows) != 2 * folds * each or not rows:
        raise EvaluationError(f"{path}: line 1 promises {2 * folds * each} pairs, there are {len(rows)}")
    pairs = [_parse_pair(path, number, line) for number, line in enumerate(rows, 2)]
    same = np.array([pair[2] for pair in pairs])
    return Pairs([p[0] for p in pairs], [p[1] for p in pairs], same, np.repeat(np.arange(folds), 2 * each))


def verify_pairs(faces: CentralFaces, images: Path, pairs: Pairs) -> tuple[dict[str, Any], Roc]:
    """Measure on a list of pairs.

    With one fold the threshold is chosen on one half and used on the other, both ways.

    Returns:
        (the figures, the ROC curve).
    Raises:
        EvaluationError: names a pair whose photo is not there.
    """
    rows = {str(Path(p).relative_to(images.resolve()).with_suffix("")): i for i, p in enumerate(faces.paths)}
    first = [_find(rows, name, images, faces) for name in pairs.first]
    second = [_find(rows, name, images, faces) for name in pairs.second]
    similarities = np.einsum("nd,nd->n", faces.embeddings[first], faces.embeddings[second])
    folds = pairs.folds if pairs.folds.max() > 0 else interleaved_halves(pairs.same)
    accuracy = accuracy_by_fold(similarities, pairs.same, folds)
    tar = tar_at_far(similarities[pairs.same], similarities[~pairs.same], _LIST_FARS)
    roc = roc_curve(similarities, pairs.same)
    asked = {faces.paths[row] for row in (*first, *second)}
    figures = {
        "accuracy": round(float(accuracy.accuracies.mean()), 5),
        "accuracy_std": round(float(accuracy.accuracies.std()), 5),
        "threshold": round(float(accuracy.thresholds.mean()), 4),
        "auc": round(area_under(roc), 6),
        "tar_at_far": _by_far(_LIST_FARS, tar.tar),
        "pairs": len(similarities),
        "missed_faces": len(asked & set(faces.missed)),
    }
    return figures, roc


def verify_all_pairs(faces: CentralFaces) -> tuple[dict[str, Any], tuple[np.ndarray, np.ndarray]]:
    """Measure on every pair of the folder; people are told by the folders of the photos.

    Returns:
        (the figures, (FAR, TAR) at the rates that were asked for).
    """
    people, names = people_of(faces.paths)
    if len(people) == len(names):
        raise EvaluationError("no person has two photos: there is no pair of the same person")
    found = all_pairs_verification(faces.embeddings, people, _ALL_FARS)
    figures = {
        "auc": round(found.auc, 6),
        "tar_at_far": _by_far(_ALL_FARS, found.tar_at_far.tar),
        "threshold_at_far": _by_far(_ALL_FARS, found.tar_at_far.thresholds),
        "pairs": found.genuine_pairs + found.impostor_pairs,
        "genuine_pairs": found.genuine_pairs,
        "photos": len(people),
        "people": len(names),
        "missed_faces": len(faces.missed),
    }
    return figures, (np.array(_ALL_FARS), found.tar_at_far.tar)


def _parse_pair(path: Path, number: int, line: str) -> tuple[str, str, bool]:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal():
        return _photo(parts[0], parts[1]), _photo(parts[0], parts[2]), True
    if len(parts) == 4 and parts[1].isdecimal() and parts[3].isdecimal():
        return _photo(parts[0], parts[1]), _photo(parts[2], parts[3]), False
    raise EvaluationError(f"{path}, line {number}: expected NAME n m or NAME n OTHER m, found {line[:80]!r}")


def _photo(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}"


def _find(rows: dict[str, int], name: str, images: Path, faces: CentralFaces) -> int:
    if name not in rows:
        unreadable = next((p for p in faces.unreadable if p.startswith(str(images.resolve() / name))), None)
        what = f"{unreadable} cannot be read" if unreadable else f"{images / name}.* is not there"
        raise EvaluationError(f"a pair names a photo that cannot be used: {what}")
    return rows[name]


def _by_far(fars: tuple[float, ...], values: np.ndarray) -> dict[str, float]:
    return {f"{far:g}": round(float(value), 5) for far, value in zip(fars, values, strict=True)}
