"""Measure how faces are best cut out and viewed: place and size in the crop, resampling, mirror image, several views.

    python -m benchmarks.crop_choices ALBUM --network sface --out FILE.npz [--photos 1500] [--seed 20]

ALBUM holds photos in one folder for each person, as LFW has them. People with two to four photos count, with the face
nearest the centre of each photo, as it is and as a hard copy (``benchmarks.hard_copies``). Every way of cutting is
embedded, straight and mirrored, and kept in FILE, so that the table can be made again without computing.

TAR is at FAR 1e-4, over all pairs of clean faces, and over all pairs of a clean face and the hard copy of another
photo; the last columns are the same for each kind of hard copy, at the threshold of all. Spread: half the difference
of the second figure between two halves of the people. Two more lines tell how well the length of the network's
vectors and the agreement of the two views predict errors. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.hard_copies import KINDS, Copy, central_rows, degrade, draw_kinds, known_face
from embedder.align import Resampling, crop_faces
from embedder.device import choose_compute
from embedder.encode import FaceEncoder
from embedder.model import choose_model
from embedder.pretrained import locate
from indexer.album import open_album
from indexer.archive import Archive, read_archive
from trainer.metrics.verification import share_at_or_above, thresholds_at_far

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_FAR = 1e-4
_CHUNK = 256
_FACES = (2, 4)  # photos of a person who counts
# Way of cutting → factor of the template around the middle of the crop, shift of it downwards as a share of the crop,
# and resampling.
CUTS: dict[str, tuple[float, float, Resampling]] = {
    "as the template says": (1.0, 0.0, "bicubic"),
    "bilinear": (1.0, 0.0, "bilinear"),
    "6 % larger": (1.06, 0.0, "bicubic"),
    "3 % smaller": (0.97, 0.0, "bicubic"),
    "6 % smaller": (0.94, 0.0, "bicubic"),
    "3 % higher": (1.0, -0.03, "bicubic"),
}
_AS_IS = next(iter(CUTS))
_SIDES = ("straight", "mirrored")
_VISAVIS = "and its mirror image: visavis"
# Name → the cuts whose embeddings are averaged, and how many of the two sides.
CHOICES: dict[str, tuple[tuple[str, ...], int]] = {
    "one view": ((_AS_IS,), 1),
    _VISAVIS: ((_AS_IS,), 2),
    **{f"{name}, mirrored too": ((name,), 2) for name in CUTS if name != _AS_IS},
    "three sizes, one view each": ((_AS_IS, "6 % larger", "6 % smaller"), 1),
    "three sizes, mirrored too": ((_AS_IS, "6 % larger", "6 % smaller"), 2),
    "two heights, mirrored too": ((_AS_IS, "3 % higher"), 2),
}


def embed_cuts(archive: Archive, rows: Sequence[int], network: str, *, seed: int) -> dict[str, Floats]:
    """Embed faces in every way.

    Returns:
        "clean/CUT/SIDE" and "hard/CUT/SIDE" → float32 (N, D), unit rows; the same with "/length" → (N,), how long
        the network's vectors were.
    """
    spec = choose_model(network)
    encoder = FaceEncoder(locate(spec.network.weights), choose_compute(), spec.network)
    kinds = draw_kinds(len(rows), seed)
    parts: dict[str, list[Floats]] = {}
    for start in range(0, len(rows), _CHUNK):
        numbers = range(start, min(start + _CHUNK, len(rows)))
        clean = [known_face(archive, rows[i]) for i in numbers]
        hard = [
            degrade(copy, KINDS[kinds[i]], np.random.default_rng([seed, i]))
            for copy, i in zip(clean, numbers, strict=True)
        ]
        for state, copies in (("clean", clean), ("hard", hard)):
            for cut in CUTS:
                crops = _cut(copies, cut, spec.network.template, spec.network.input_size)
                for side in _SIDES:
                    seen = crops if side == "straight" else np.ascontiguousarray(crops[:, :, ::-1])
                    units, lengths = encoder.encode_views(seen)
                    parts.setdefault(f"{state}/{cut}/{side}", []).append(units)
                    parts.setdefault(f"{state}/{cut}/{side}/length", []).append(lengths)
        print(f"{numbers.stop} of {len(rows)} photos", file=sys.stderr)
    return {name: np.concatenate(some) for name, some in parts.items()}


def _cut(copies: Sequence[Copy], cut: str, template: Sequence[Sequence[float]], size: int) -> np.ndarray:
    factor, shift, resampling = CUTS[cut]
    moved = (np.asarray(template) - size / 2) * factor + size / 2 + [0, shift * size]
    return np.concatenate(
        [crop_faces(copy.photo, copy.landmarks[None], moved.tolist(), size, resampling) for copy in copies]
    )


def chosen(embedded: dict[str, Floats], state: str, choice: str) -> Floats:
    """Average the views of a choice: unit rows (N, D)."""
    cuts, sides = CHOICES[choice]
    total = np.sum([embedded[f"{state}/{cut}/{side}"] for cut in cuts for side in _SIDES[:sides]], axis=0)
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), np.float32)


def measure(clean: Floats, hard: Floats, labels: Ints, kinds: Ints) -> dict[str, float]:
    """Give TAR at FAR 1e-4 of all clean pairs, of clean with hard ones, and of these by kind; (N, D), (N,)."""
    same = labels[:, None] == labels[None]
    once = np.triu(np.ones_like(same), 1)
    other = ~np.eye(len(labels), dtype=bool)
    alike = clean @ clean.T
    threshold = thresholds_at_far(alike[~same & once], [_FAR])
    figures = {"clean": float(share_at_or_above(alike[same & once], threshold)[0])}
    alike = clean @ hard.T
    threshold = thresholds_at_far(alike[~same], [_FAR])
    figures["clean, hard"] = float(share_at_or_above(alike[same & other], threshold)[0])
    for number, kind in enumerate(KINDS):
        of_kind = same & other & (kinds == number)
        figures[kind] = float(share_at_or_above(alike[of_kind], threshold)[0]) if of_kind.any() else float("nan")
    return figures


def judge_quality(embedded: dict[str, Floats], labels: Ints) -> dict[str, dict[str, float]]:
    """Tell how well lengths and agreement of views predict how a hard copy fares with the person's other clean photos.

    Returns:
        for each: "rank correlation" with the mean similarity to them (Spearman), and "misses in the worst tenth", the
        share of the pairs missed at FAR 1e-4 that the tenth of least quality has; .1 would be chance.
    """
    clean, hard = (chosen(embedded, state, _VISAVIS) for state in ("clean", "hard"))
    same = (labels[:, None] == labels[None]) & ~np.eye(len(labels), dtype=bool)
    judged = np.flatnonzero(same.any(axis=1))
    alike = hard @ clean.T
    threshold = thresholds_at_far(alike[labels[:, None] != labels[None]], [_FAR])[0]
    fares = np.array([alike[i][same[i]].mean() for i in judged])
    misses = np.array([(alike[i][same[i]] < threshold).sum() for i in judged])
    views = [embedded[f"hard/{_AS_IS}/{side}"][judged] for side in _SIDES]
    lengths = np.mean([embedded[f"hard/{_AS_IS}/{side}/length"][judged] for side in _SIDES], axis=0)
    found = {}
    for name, quality in (("length", lengths), ("agreement", np.einsum("ij,ij->i", *views))):
        worst = np.argsort(quality, kind="stable")[: len(judged) // 10]
        correlation = float(spearmanr(quality, fares).statistic)
        share = float(misses[worst].sum() / max(1, misses.sum()))
        found[name] = {"rank correlation": correlation, "misses in the worst tenth": share}
    return found


def _print_table(embedded: dict[str, Floats], labels: Ints, kinds: Ints) -> None:
    columns = ["clean", "clean, hard", *KINDS]
    print("| | " + " | ".join([*columns[:2], "spread", *columns[2:]]) + " |")
    answers = {}
    for choice in CHOICES:
        clean, hard = (chosen(embedded, state, choice) for state in ("clean", "hard"))
        whole = measure(clean, hard, labels, kinds)
        halves = [
            measure(clean[half], hard[half], labels[half], kinds[half])["clean, hard"]
            for half in (labels % 2 == 0, labels % 2 == 1)
        ]
        spread = abs(halves[0] - halves[1]) / 2
        cells = [f"{whole[name]:.4f}" for name in columns]
        print(f"| {choice} | " + " | ".join([*cells[:2], f"{spread:.4f}", *cells[2:]]) + " |")
        answers[choice] = {**whole, "spread": spread}
    quality = judge_quality(embedded, labels)
    for name, figures in quality.items():
        print(f"{name}: " + ", ".join(f"{what} {figure:.3f}" for what, figure in figures.items()))
    print(json.dumps({"choices": answers, "quality": quality}))


def _people_that_count(archive: Archive, rows: Sequence[int]) -> list[int]:
    people = Counter(Path(archive.paths[row]).parent.name for row in rows)
    least, most = _FACES
    return [row for row in rows if least <= people[Path(archive.paths[row]).parent.name] <= most]


def main() -> None:
    """Read the command line, embed what is not there yet, print the table."""
    parser = argparse.ArgumentParser(description="Measure how faces are best cut out and viewed.")
    parser.add_argument("album", type=Path, metavar="ALBUM")
    parser.add_argument("--network", required=True, help="that embeds the faces")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="where embeddings are kept")
    parser.add_argument("--photos", type=int, default=1500, help="default: 1500")
    parser.add_argument("--seed", type=int, default=20, help="of the hard copies (default: 20)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.out.exists():
        archive = read_archive(open_album(options.album))
        rows = _people_that_count(archive, central_rows(archive))[: options.photos]
        people = [Path(archive.paths[row]).parent.name for row in rows]
        embedded = embed_cuts(archive, rows, options.network, seed=options.seed)
        labels = np.unique(people, return_inverse=True)[1].astype(np.int64)
        np.savez(options.out, labels=labels, kinds=draw_kinds(len(rows), options.seed), **embedded)  # type: ignore[arg-type]
    with np.load(options.out) as kept:
        arrays = {name: kept[name] for name in kept.files}
    _print_table(arrays, arrays.pop("labels"), arrays.pop("kinds"))


if __name__ == "__main__":
    main()
