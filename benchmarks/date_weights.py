"""What it would cost to trust dates: faces of a person weighted by how near in time they are, where time tells nothing.

    python -m benchmarks.date_weights ALBUM [--draws 5]

A child at 4 is nearer to herself at 5 than at 15, so that a photo's date might say which of her faces to compare with.
Photos of adults over a few years, such as LFW's, cannot show that gain; they can show the price. Each photo is given a
date drawn at random from 20 years, and a face of the gallery counts half for each ``half-life`` between its date and
that of the photo in question. ALBUM holds photos in one folder for each person: those with six photos or more are
known, four of them the gallery; people with one photo are strangers. DIR is the share of probes that get their right
name where 1 % and 0.1 % of the strangers get one, by mean templates. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.fit_false_alarms import left_out
from benchmarks.hard_copies import central_rows
from indexer.album import open_album
from indexer.archive import read_archive
from trainer.metrics.verification import thresholds_at_far

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

_KNOWN, _GALLERY, _YEARS = 6, 4, 20.0
_HALF_LIVES = (None, 20.0, 5.0, 2.0)  # years; None: dates count for nothing
_FLOOR = 0.05  # weight of a face from another time at least, so that every person has a mean
_FARS = (0.01, 0.001)


def likeness(probes: Floats, gallery: Floats, years_apart: Floats, half_life: float | None) -> Floats:
    """Compare each probe with each person's mean, as it is for the probe's date.

    Args:
        probes: (N, D) unit rows; gallery: (P, G, D), G faces of each person.
        years_apart: (N, P, G), at least 0.
    Returns:
        cosines (N, P).
    """
    weights = np.ones_like(years_apart) if half_life is None else 2.0 ** (-years_apart / half_life) + _FLOOR
    alike = np.einsum("nd,pgd->npg", probes, gallery)
    among = np.einsum("pgd,phd->pgh", gallery, gallery)
    lengths = np.sqrt(np.einsum("npg,pgh,nph->np", weights, among, weights))
    return np.asarray((weights * alike).sum(axis=2) / lengths)


def measure(embeddings: Floats, people: Ints, half_life: float | None, draws: int) -> list[float]:
    """Give DIR at each of ``_FARS``, the mean over draws of dates, for faces (N, D) of people (N,)."""
    counts = np.bincount(people)[people]
    order = np.argsort(people, kind="stable")
    place = np.empty(len(people), np.int64)
    place[order] = np.arange(len(people)) - np.searchsorted(people[order], people[order], "left")
    known, first = counts >= _KNOWN, place < _GALLERY
    shown = order[known[order] & first[order]]
    ids, gallery = people[shown][::_GALLERY], embeddings[shown].reshape(-1, _GALLERY, embeddings.shape[1])
    probes, strangers = np.flatnonzero(known & ~first), np.flatnonzero(counts == 1)
    shares = []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        dates = rng.uniform(0, _YEARS, len(people))
        then = dates[shown].reshape(-1, _GALLERY)
        asked, strange = (
            likeness(embeddings[rows], gallery, np.abs(dates[rows][:, None, None] - then), half_life)
            for rows in (probes, strangers)
        )
        right = ids[asked.argmax(axis=1)] == people[probes]
        thresholds = thresholds_at_far(strange.max(axis=1), list(_FARS))
        shares.append([float((right & (asked.max(axis=1) >= threshold)).mean()) for threshold in thresholds])
    return [round(float(share), 4) for share in np.mean(shares, axis=0)]


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure what trusting dates costs where they tell nothing.")
    parser.add_argument("album", type=Path)
    parser.add_argument("--draws", type=int, default=5, help="of the dates; the mean is printed (default: 5)")
    options = parser.parse_args()
    archive = read_archive(open_album(options.album))
    rows = np.array(central_rows(archive))
    paths = np.array([archive.paths[row] for row in rows])
    rows, paths = rows[~left_out(paths)], paths[~left_out(paths)]
    people = np.unique([Path(path).parent.name for path in paths.tolist()], return_inverse=True)[1].astype(np.int64)
    embeddings = np.asarray(archive.embeddings[rows], np.float32)
    found = {}
    for half_life in _HALF_LIVES:
        name = "no dates" if half_life is None else f"half-life {half_life:g} years"
        found[name] = measure(embeddings, people, half_life, 1 if half_life is None else options.draws)
        print(
            f"{name:20}" + "".join(f"  DIR at FAR {far:.1%} {v:.4f}" for far, v in zip(_FARS, found[name], strict=True))
        )
    print(json.dumps({"network": archive.album.model, "fars": _FARS, "dir": found}))


if __name__ == "__main__":
    main()
