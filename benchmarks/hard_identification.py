"""Identify people by hard copies of their photos, adding one part of the likeness after the other.

    python -m benchmarks.hard_identification FOLDER --network sface [--gallery 2] [--known 4] [--people 30 --draws 12]
        [--far 0.001]

FOLDER is what ``python -m benchmarks.hard_copies`` wrote. The open-set protocol: people with ``--known`` photos or
more are known, their first ``--gallery`` clean photos are the gallery, hard copies of the rest are probes; people
with one photo are strangers, from clean photos and from hard copies. ``--people`` takes so many known people at
random, several times, for the mean of them: a family's album is no list of 430. DIR is the share of probes that get
their right name where 1 % of the strangers (``--far``) get one. Photos of LFW under a wrong name are left out of the
strangers. What was tried and is not in visavis: rivals that count in full however few people there are; the
directions in which spoiling moves every face, fitted on people who are neither known nor strangers, taken off; a
threshold for each kind, as if the kind were known. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fit_false_alarms import left_out
from indexer.naming.gallery import build_gallery, compare, top_places
from trainer.metrics.verification import thresholds_at_far

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Scores = tuple[Floats, Ints]  # of each face: similarity to the most similar person, and who that is

_DIRECTIONS = 2
# As in ``indexer.naming.gallery``, spelt out here so that each can be left out.
_RIVALS, _RIVAL_SHARE, _NEAREST_SHARE, _LENGTH_POWER = 3, 0.25, 0.25, 0.75
_RIVAL_PEOPLE = (50, 300)


@dataclass(frozen=True)
class Faces:
    """Embeddings (N, D), unit rows, and qualities (N,)."""

    embeddings: Floats
    qualities: Floats

    def at(self, rows: Ints) -> Faces:
        """Give some of them."""
        return Faces(self.embeddings[rows], self.qualities[rows])


@dataclass(frozen=True)
class Material:
    """What is identified: ``people`` (G,) and ``truth`` (P,) are labels; ``kinds`` (P,) and ``stranger_kinds`` too."""

    gallery: Faces
    people: Ints
    probes: dict[str, Faces]
    truth: Ints
    kinds: Ints
    strangers: dict[str, Faces]
    stranger_kinds: Ints


Method = Callable[[Faces, Ints, Faces], Scores]


def nearest(gallery: Faces, people: Ints, probes: Faces) -> Scores:
    """Score by the most similar single face."""
    alike = probes.embeddings @ gallery.embeddings.T
    return alike.max(axis=1), people[alike.argmax(axis=1)]


def means(*, rivals: float | None, nearest_share: float = 0.0, length_power: float = 1.0) -> Method:
    """Score by the mean of each person's faces, with or without the nearest face.

    Args:
        rivals: share of their likeness that is taken off; None for the one that fits the number of people.
    """

    def method(gallery: Faces, people: Ints, probes: Faces) -> Scores:
        ids, starts = np.unique(people, return_index=True)
        sums = np.add.reduceat(gallery.embeddings, starts) / np.diff(starts, append=len(people))[:, None]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres, units = sums / lengths**length_power, sums / lengths
        best = np.maximum.reduceat(probes.embeddings @ gallery.embeddings.T, starts, axis=1)
        alike = (1 - nearest_share) * probes.embeddings @ centres.T + nearest_share * best
        share = rival_share(len(ids)) if rivals is None else rivals
        if share:
            others = units @ centres.T
            np.fill_diagonal(others, -np.inf)
            person = np.maximum(np.sort(others, axis=1)[:, -_RIVALS:], 0).mean(axis=1)
            face = np.maximum(np.sort(alike, axis=1)[:, -1 - _RIVALS : -1], 0).mean(axis=1)
            alike = alike - share * (person[None, :] + face[:, None])
        return alike.max(axis=1), ids[alike.argmax(axis=1)]

    return method


def rival_share(people: int) -> float:
    """Give the share that is taken off for rivals among so many people."""
    none, most = np.log(_RIVAL_PEOPLE)
    return _RIVAL_SHARE * float(np.clip((np.log(people) - none) / (most - none), 0, 1))


def visavis(*, quality: bool) -> Method:
    """Score as ``visavis who`` does."""

    def method(gallery: Faces, people: Ints, probes: Faces) -> Scores:
        known = build_gallery(gallery.embeddings, people, gallery.qualities if quality else None)
        blocks = [(b.similarity.max(axis=0), top_places(b.similarity, 1)[0]) for b in compare(known, probes.embeddings)]
        return np.concatenate([s for s, _ in blocks]), known.people[np.concatenate([p for _, p in blocks])]

    return method


def without(directions: Floats, method: Method) -> Method:
    """Take directions (D, K), orthonormal columns, off every face first."""

    def cleared(faces: Faces) -> Faces:
        rows = faces.embeddings - faces.embeddings @ directions @ directions.T
        return replace(faces, embeddings=rows / np.linalg.norm(rows, axis=1, keepdims=True))

    return lambda gallery, people, probes: method(cleared(gallery), people, cleared(probes))


def rates(material: Material, method: Method, far: float = 0.01) -> dict[str, list[float]]:
    """Measure one method.

    Returns:
        "strangers of/probes of" → DIR over all probes, then by kind; "own threshold": strangers of each kind alone
        choose the threshold for it.
    """
    found = {name: method(material.gallery, material.people, probes) for name, probes in material.probes.items()}
    strange = {name: method(material.gallery, material.people, faces)[0] for name, faces in material.strangers.items()}
    kinds = range(int(material.kinds.max()) + 1)
    result = {}
    for probes, (best, who) in found.items():
        right = who == material.truth
        for strangers, similarity in strange.items():
            named = right & (best >= thresholds_at_far(similarity, [far])[0])
            result[f"{strangers}/{probes}"] = _by_kind(named, material.kinds)
    best, who = found["hard"]
    own = [thresholds_at_far(strange["hard"][material.stranger_kinds == kind], [far])[0] for kind in kinds]
    right = who == material.truth
    result["own threshold"] = _by_kind(right & (best >= np.array(own)[material.kinds]), material.kinds)
    result["rank 1"] = _by_kind(right, material.kinds)
    return result


def read_material(
    folder: Path, network: str, *, known: int, gallery: int, people: int | None = None, draw: int = 0
) -> tuple[Material, list[str], Floats]:
    """Read hard and clean copies.

    Args:
        known: photos of a known person, at least; gallery: so many of them stand in the gallery.
        people: so many known people, drawn at random; all if None.
        draw: number of the draw.
    Returns:
        (material, the names of the kinds, directions (D, K) in which spoiling moves the faces of everybody else).
    """
    hard, clean = (np.load(folder / f"{network}{kind}.npz", allow_pickle=False) for kind in ("", "_clean"))
    faces = {"clean": clean, "hard": hard}
    both = {name: Faces(_unit(part["embeddings"]), part["qualities"]) for name, part in faces.items()}
    labels, kinds = clean["labels"], hard["kinds"]
    counts = np.bincount(labels)[labels]
    order = np.argsort(labels, kind="stable")
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order], "left")
    chosen = np.unique(labels[counts >= known])
    if people is not None:
        chosen = np.random.default_rng(draw).choice(chosen, people, replace=False)
    member = np.isin(labels, chosen)
    shown = np.flatnonzero(member & (place < gallery))
    shown = shown[np.argsort(labels[shown], kind="stable")]
    asked = np.flatnonzero(member & (place >= gallery))
    strange = np.flatnonzero((counts == 1) & ~left_out(clean["paths"]))
    moved = (both["hard"].embeddings - both["clean"].embeddings)[(counts > 1) & (counts < known)]
    directions = np.linalg.eigh((moved.T @ moved).astype(np.float64))[1][:, -_DIRECTIONS:].astype(np.float32)
    material = Material(
        both["clean"].at(shown), labels[shown], {name: part.at(asked) for name, part in both.items()}, labels[asked],
        kinds[asked], {name: part.at(strange) for name, part in both.items()}, kinds[strange],
    )  # fmt: skip
    return material, hard["kind_names"].tolist(), directions


def _by_kind(named: NDArray[np.bool_], kinds: Ints) -> list[float]:
    shares = np.bincount(kinds, named) / np.maximum(np.bincount(kinds), 1)
    return [round(float(share), 4) for share in (named.mean(), *shares)]


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _methods(directions: Floats) -> dict[str, Method]:
    """Give the methods in the order in which each adds to the one before; then those that were tried."""
    mixed = {"nearest_share": _NEAREST_SHARE, "length_power": _LENGTH_POWER}
    return {
        "nearest face": nearest,
        "mean templates": means(rivals=0.0),
        "+ cohort (rivals)": means(rivals=None),
        "+ nearest face, lengths": means(rivals=None, **mixed),
        "+ several looks": visavis(quality=False),
        "+ quality = visavis": visavis(quality=True),
        "tried: rivals in full": means(rivals=_RIVAL_SHARE, **mixed),
        "tried: without directions": without(directions, visavis(quality=True)),
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Identify people by hard copies of their photos.")
    parser.add_argument("folder", type=Path, help="written by `python -m benchmarks.hard_copies`")
    parser.add_argument("--network", required=True)
    parser.add_argument("--known", type=int, default=4, help="photos of a known person, at least (default: 4)")
    parser.add_argument("--gallery", type=int, default=2, help="of them in the gallery (default: 2)")
    parser.add_argument("--people", type=int, help="known people, drawn at random (default: all)")
    parser.add_argument("--draws", type=int, default=1, help="of people; the mean is printed (default: 1)")
    parser.add_argument("--far", type=float, default=0.01, help="strangers that get a name (default: 0.01)")
    options = parser.parse_args()
    found: dict[str, dict[str, list[list[float]]]] = {}
    for draw in range(options.draws):
        material, kinds, directions = read_material(
            options.folder, options.network,
            known=options.known, gallery=options.gallery, people=options.people, draw=draw,
        )  # fmt: skip
        for name, method in _methods(directions).items():
            for column, shares in rates(material, method, options.far).items():
                found.setdefault(name, {}).setdefault(column, []).append(shares)
    results: dict[str, dict[str, Any]] = {
        name: {column: np.round(np.mean(shares, axis=0), 4).tolist() for column, shares in columns.items()}
        for name, columns in found.items()
    }
    people, strangers = len(np.unique(material.people)), len(material.stranger_kinds)
    print(f"{people} people, {len(material.truth)} probes, {strangers} strangers; DIR at FAR {options.far:.1%}")
    columns = ("clean/clean", "clean/hard", "hard/hard", "own threshold", "rank 1")
    print(f"{'strangers/probes':26}" + "".join(f"{name:>14}" for name in columns))
    for name, result in results.items():
        print(f"{name:26}" + "".join(f"{result[column][0]:14.4f}" for column in columns))
    print(f"\n{'clean/hard by kind':26}" + "".join(f"{name:>11}" for name in kinds))
    for name, result in results.items():
        print(f"{name:26}" + "".join(f"{share:11.4f}" for share in result["clean/hard"][1:]))
    print(json.dumps({"network": options.network, "far": options.far, "kinds": kinds, "dir": results}))


if __name__ == "__main__":
    main()
