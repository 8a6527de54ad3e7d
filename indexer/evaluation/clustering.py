"""Are the groups the people? What `visavis cluster` gives without any name, against the folders."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from indexer.evaluation.central_faces import CentralFaces, people_of
from indexer.grouping.archive_groups import settings_for
from indexer.grouping.cluster import cluster_faces
from indexer.grouping.face_constraints import no_facts
from indexer.grouping.neighbour_lists import new_lists
from trainer.metrics import PrecisionRecall, clicks_to_clean, clustering_figures

_SWEEP = np.linspace(-0.1, 0.1, 21)  # from the chosen threshold


def measure_clustering(faces: CentralFaces, network: str) -> tuple[dict[str, Any], np.ndarray]:
    """Group one face a photo and compare with who is in the folders.

    A sweep of thresholds around the chosen one shows what the choice loses.

    Returns:
        (the figures; the sweep, float (S, 3): threshold, BCubed F, pairwise F).
    Raises:
        EvaluationError: if there are not two people.
    """
    people, _ = people_of(faces.paths)
    facts, settings = no_facts(len(people)), settings_for(network, embeddings=faces.embeddings)
    started = time.monotonic()
    found_lists = new_lists(faces.embeddings)
    lists = found_lists.neighbours, found_lists.similarities
    chosen = cluster_faces(*lists, facts, settings, qualities=faces.qualities)
    seconds = time.monotonic() - started
    found = clustering_figures(people, chosen.labels)
    clicks = clicks_to_clean(people, chosen.labels)
    sweep = []
    for offset in _SWEEP:
        threshold = chosen.threshold.similarity + offset
        swept = replace(settings, threshold=threshold)
        other = clustering_figures(people, cluster_faces(*lists, facts, swept, qualities=faces.qualities).labels)
        sweep.append((threshold, other.bcubed.f, other.pairwise.f))
    curve = np.array(sweep)
    figures = {
        "pairwise": _triple(found.pairwise),
        "bcubed": _triple(found.bcubed),
        "nmi": round(found.nmi, 5),
        "groups": found.groups,
        "people": found.people,
        "threshold": round(chosen.threshold.similarity, 4),
        "threshold_from": str(chosen.threshold.evidence),
        "oracle": _oracle(curve),
        "clicks_to_clean": {"merge": clicks.merges, "split": clicks.splits, "move": clicks.moves},
        "photos": len(people),
        "missed_faces": len(faces.missed),
        "seconds": round(seconds, 2),
    }
    return figures, curve


def _oracle(curve: np.ndarray) -> dict[str, float]:
    best = int(curve[:, 1].argmax())
    return {
        "threshold": round(float(curve[best, 0]), 4),
        "bcubed_f": round(float(curve[best, 1]), 5),
        "pairwise_f": round(float(curve[:, 2].max()), 5),
    }


def _triple(figures: PrecisionRecall) -> dict[str, float]:
    return {
        "precision": round(figures.precision, 5),
        "recall": round(figures.recall, 5),
        "f": round(figures.f, 5),
    }
