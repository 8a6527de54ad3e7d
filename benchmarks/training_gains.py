"""What training gives on people that it never saw: runs `visavis train` as documented, and measures before and after.

    visavis crops ../shared/data/lfw-dev/images --network dlib --face central --out CROPS
    python -m benchmarks.training_gains CROPS --out FOLDER --experiment improve-dlib [--seed 0 --seed 1 --seed 2]
                                        [--epochs 3] [--people-folder ../shared/data/photos/dlib/johns]
    python -m benchmarks.training_gains CROPS --measure RUN/last.safetensors [--space dlib]    # nothing is trained

Each experiment is one command, ``EXPERIMENTS``; its runs lie in FOLDER and go on where they were interrupted. Measured
are the weights that it began with and the best ones that came out, on the people of CROPS that are held out: all pairs
(TAR), open-set identification (DIR at FAR 1 %), grouping (BCubed F), and pairs of a clean crop with a hard copy of
another, where each of the people's crops is spoilt in one of the ways of ``benchmarks.hard_copies``. The face's box is
taken as the middle two thirds of the crop. ``--people-folder`` holds a folder of photos for each person: every face is
compared with all others, and counted if the nearest is of the same person. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.hard_copies import KINDS, Copy, degrade, draw_kinds
from embedder.align import crop_faces
from embedder.decode import DecodeError, decode
from embedder.detect import FaceDetector
from embedder.device import choose_compute
from embedder.pretrained import NETWORKS, WEIGHT_FILES, locate
from indexer.evaluation.clustering import cluster_faces, no_facts, settings_for
from indexer.grouping.neighbour_lists import new_lists
from trainer.crops import CropsFolder, CropsSettings, inner, read_crop, read_crops_folder
from trainer.evaluate import held_out_figures, prepared
from trainer.metrics import clustering_figures, share_at_or_above, thresholds_at_far
from trainer.run_folder import BEST
from trainer.start import read_network

Crops = NDArray[np.uint8]
Floats = NDArray[np.float32]

EXPERIMENTS = {
    "improve-dlib": (
        "--init dlib --teacher sface --rate 1e-4 --people 16 --crops-each 4 "
        "--spoil .2 --average .98 --relation-weight 5"
    ),
    "harden-sface": (
        "--init sface --teacher sface --network sface --rate 3e-5 --people 8 --crops-each 4 --spoil .9 --turn 10 "
        "--average .98 --relation-weight 5 --freeze 8"
    ),
    "improve-dlib-by-names": (
        "--init dlib --recipe batch-hard --loss margin=none --loss sharpness=20 --rate 3e-5 --average .95 --spoil .2"
    ),
}
_FAR = 1e-4
_BATCH = 16


def read_held_out(folder: CropsFolder, seed: int) -> tuple[Crops, Crops, NDArray[np.int64]]:
    """Read the crops of the people who are held out.

    Returns:
        (clean crops, hard copies of them, each uint8 RGB (H, size, size, 3), and the person of each).
    """
    rows = np.flatnonzero(folder.held_out() & (folder.labels >= 0))
    cut, kinds = folder.settings, draw_kinds(len(rows), seed)
    clean = np.empty((len(rows), cut.size, cut.size, 3), np.uint8)
    hard = clean.copy()
    for place, row in enumerate(rows.tolist()):
        crop = read_crop(folder.path(row), cut.side)
        clean[place] = inner(crop, cut)
        spoilt = degrade(_as_photo(crop, cut), KINDS[kinds[place]], np.random.default_rng([seed, place]))
        hard[place] = crop_faces(spoilt.photo, spoilt.landmarks[None], cut.template, cut.size)[0]
    return clean, hard, folder.labels[rows]


def _as_photo(crop: Crops, cut: CropsSettings) -> Copy:
    corner, side = cut.margin + cut.size / 6, cut.size * 2 / 3
    landmarks = np.asarray(cut.template, np.float32) + np.float32(cut.margin)
    return Copy(crop, np.array([corner, corner, side, side], np.float32), landmarks)


def embed(weights: Path, cut: CropsSettings, crops: Crops) -> Floats:
    """Embed crops as the embedder does, face and mirror image averaged: float32 (N, D), unit rows."""
    compute = choose_compute("cpu")
    network = read_network(weights).network
    ready = prepared(network, compute.device, bfloat16=compute.dtype == torch.bfloat16)
    views = []
    for view in (crops, crops[:, :, ::-1]):
        batches = (np.ascontiguousarray(view[start : start + _BATCH]) for start in range(0, len(view), _BATCH))
        views.append(torch.cat([torch.nn.functional.normalize(compute.run(ready, batch)) for batch in batches]))
    return np.asarray(torch.nn.functional.normalize(views[0] + views[1]).numpy(), np.float32)


def measure(clean: Floats, hard: Floats, people: NDArray[np.int64], space: str) -> dict[str, float]:
    """Give the figures of one network, by name.

    Args:
        clean, hard: embeddings (H, D) of crops and of their hard copies.
        people: (H,).
        space: the network whose likeness the similarities are measured by, for the grouping.
    """
    found = held_out_figures(clean, people)
    assert found is not None
    labels = np.unique(people, return_inverse=True)[1]
    lists, nothing = new_lists(clean), no_facts(len(labels))
    groups = cluster_faces(lists.neighbours, lists.similarities, nothing, settings_for(space)).labels
    across, same = clean @ hard.T, labels[:, None] == labels[None]
    threshold = thresholds_at_far(across[~same], [_FAR])
    genuine = across[same & ~np.eye(len(labels), dtype=np.bool_)]
    return {
        "TAR at FAR 1e-3": found.tar[0],
        "TAR at FAR 1e-4": found.tar[1],
        "DIR at FAR 1 %": float("nan") if found.dir is None else found.dir,
        "BCubed F": clustering_figures(labels, groups).bcubed.f,
        "hard copies, TAR at FAR 1e-4": float(share_at_or_above(genuine, threshold)[0]),
    }


def read_people(folder: Path, cut: CropsSettings) -> tuple[Crops, NDArray[np.int64]]:
    """Find the surest face of each photo of a folder of people: (crops, the person of each)."""
    detector = FaceDetector(locate(WEIGHT_FILES["centerface"]), choose_compute("cpu"))
    crops, people = [], []
    for number, person in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for path in sorted(path for path in person.iterdir() if path.is_file()):
            try:
                photo = decode(path.read_bytes()).pixels
            except DecodeError:
                continue
            faces = detector.detect([photo])[0]
            if len(faces):
                crops.append(crop_faces(photo, faces.landmarks[:1], cut.template, cut.size)[0])
                people.append(number)
    return np.stack(crops), np.array(people, np.int64)


def nearest_is_right(embeddings: Floats, people: NDArray[np.int64]) -> float:
    """Give the share of the faces whose most similar other face is of the same person."""
    alike = embeddings @ embeddings.T
    np.fill_diagonal(alike, -np.inf)
    return float((people[alike.argmax(axis=1)] == people).mean())


def train(crops: Path, run: Path, options: list[str]) -> Path:
    """Run the product's command, or let it go on; gives the weights of the best epoch."""
    command = [sys.executable, "-c", "from indexer.cli import cli; cli()", "train", str(crops), "--out", str(run)]
    subprocess.run([*command, *options], check=True, stdout=sys.stderr)
    return run / BEST


def main() -> None:
    """Read the command line, train, measure, print."""
    parser = argparse.ArgumentParser(description="Measure what training gives on people who were not trained on.")
    parser.add_argument("crops", type=Path, help="made by `visavis crops`")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--out", type=Path, metavar="FOLDER", help="of the runs")
    wanted.add_argument("--measure", type=Path, action="append", metavar="FILE", help="weights; repeatable")
    parser.add_argument("--space", default="sface", help="with --measure: the network whose likeness counts")
    parser.add_argument("--experiment", choices=sorted(EXPERIMENTS), default="improve-dlib")
    parser.add_argument("--seed", type=int, action="append", help="of a run; give several for the spread (default: 0)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--people-folder", type=Path, action="append", default=[], help="photos by person; repeatable")
    options = parser.parse_args()
    folder = read_crops_folder(options.crops)
    words = EXPERIMENTS[options.experiment].split()
    before, teacher = words[words.index("--init") + 1], "sface" if "--teacher" in words else None
    clean, hard, people = read_held_out(folder, seed=20)
    others = {path: read_people(path, folder.settings) for path in options.people_folder}

    def figures(weights: Path, space: str) -> dict[str, float]:
        found = [embed(weights, folder.settings, part) for part in (clean, hard)]
        result = measure(found[0], found[1], people, space)
        for path, (faces, persons) in others.items():
            result[f"nearest is right, {path.name}"] = nearest_is_right(embed(weights, folder.settings, faces), persons)
        return result

    if options.measure:
        for weights in options.measure:
            print(json.dumps({"weights": str(weights), "figures": figures(weights, options.space)}), flush=True)
        return
    runs = []
    for seed in options.seed or [0]:
        run = options.out / f"{options.experiment}-{seed}"
        best = train(options.crops, run, [*words, "--epochs", str(options.epochs), "--seed", str(seed)])
        runs.append(figures(best, teacher or before))
    _print(options.experiment, figures(locate(NETWORKS[before].weights), before), runs, len(np.unique(people)))


def _print(experiment: str, before: dict[str, float], runs: list[dict[str, float]], people: int) -> None:
    print(f"{experiment}, {people} people held out, {len(runs)} runs\n\n{'':36}{'before':>9}{'after':>9}{'spread':>9}")
    result: dict[str, Any] = {}
    for name, value in before.items():
        after = np.array([run[name] for run in runs])
        spread = float(after.max() - after.min())
        print(f"{name:36}{value:9.4f}{after.mean():9.4f}{spread:9.4f}")
        result[name] = {"before": round(value, 5), "after": [round(float(one), 5) for one in after]}
    print(json.dumps({"experiment": experiment, "people": people, "figures": result}))


if __name__ == "__main__":
    main()
