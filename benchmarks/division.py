"""Claim: `visavis split` parts two people who were taken for one, nearly always.

    python -m benchmarks.division EMBEDDINGS.npz --network sface

The file holds ``embeddings`` (float, N × D, unit rows) and ``labels`` (int, N: the person of each row). Everybody with
two photos or more is put together with one other person, once a random one and once the most similar one, and divided
again without the names: as `visavis split` does, by 2-means, and by grouping more strictly. Prints how often the two
people came out whole, and what share of the faces fell to the wrong side. The last line is JSON. A minute of one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from indexer.grouping.archive_groups import settings_for
from indexer.grouping.cluster import cluster_faces
from indexer.grouping.division import divide
from indexer.grouping.face_constraints import no_facts

Divide = Callable[[np.ndarray], np.ndarray]
_STEPS = 20  # thresholds from the usual one on, until a group comes apart
_SEED = 0


@dataclass(frozen=True)
class Parted:
    """How well one way to divide parts two people.

    Attributes:
        method: which way.
        partner: "random" or "nearest".
        pairs: of people.
        whole: share of the pairs that came out as the two people, to the last face.
        wrong: share of all faces that are in a part where the other person has more.
    """

    method: str
    partner: str
    pairs: int
    whole: float
    wrong: float


def average_linkage(faces: np.ndarray) -> np.ndarray:
    """Divide as ``visavis split`` does."""
    return divide(faces, np.arange(len(faces)), np.empty((0, 2), np.int64))


def two_means(faces: np.ndarray) -> np.ndarray:
    """Divide with scikit-learn's KMeans, the best of ten beginnings."""
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(2, n_init=10, random_state=_SEED).fit_predict(faces))


def stricter(network: str) -> Divide:
    """Give a function that groups faces as ``visavis cluster`` does, more strictly until there are two groups."""

    def divide_so(faces: np.ndarray) -> np.ndarray:
        similarities = faces @ faces.T
        neighbours = np.argsort(-similarities, axis=1)[:, :65]
        lists = neighbours.astype(np.int64), np.take_along_axis(similarities, neighbours, 1).astype(np.float32)
        usual = settings_for(network)
        for threshold in np.linspace(usual.prior, 0.2 * usual.prior + 0.8, _STEPS):
            labels = cluster_faces(*lists, no_facts(len(faces)), replace(usual, threshold=float(threshold))).labels
            alone = labels < 0
            labels = np.where(alone, labels.max() + np.cumsum(alone), labels)
            if labels.max() > 0:
                break
        return labels

    return divide_so


def pairs_of_people(
    embeddings: np.ndarray, labels: np.ndarray, partner: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows of each person with two photos or more, and those of one other such person."""
    people, sizes = np.unique(labels, return_counts=True)
    rows = [np.flatnonzero(labels == person) for person in people[sizes > 1]]
    means = np.stack([embeddings[some].mean(0) for some in rows])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    rng = np.random.default_rng(_SEED)
    for number, some in enumerate(rows):
        similarity = rng.random(len(rows)) if partner == "random" else means @ means[number]
        similarity[number] = -np.inf
        yield [some, rows[int(similarity.argmax())]]


def measure(embeddings: np.ndarray, labels: np.ndarray, partner: str, method: str, way: Divide) -> Parted:
    """Put people together and divide them again."""
    pairs = whole = wrong = faces = 0
    for one, other in pairs_of_people(embeddings, labels, partner):
        parts = way(embeddings[np.concatenate([one, other])])
        table = np.stack([np.bincount(parts[: len(one)], minlength=parts.max() + 1),
                          np.bincount(parts[len(one) :], minlength=parts.max() + 1)])  # fmt: skip
        pairs += 1
        wrong += int(table.min(0).sum())
        whole += int((table > 0).sum() == 2 == table.shape[1])
        faces += len(parts)
    return Parted(method, partner, pairs, whole / pairs, wrong / faces)


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings", type=Path, help="a .npz with embeddings and labels")
    parser.add_argument("--network", default="sface", help="what made them: its usual threshold is where to begin")
    chosen = parser.parse_args()
    with np.load(chosen.embeddings) as file:
        embeddings, labels = file["embeddings"].astype(np.float32), file["labels"]
    ways = {
        "average linkage (visavis)": average_linkage,
        "2-means": two_means,
        "grouping more strictly": stricter(chosen.network),
    }
    found = [
        measure(embeddings, labels, partner, name, way)
        for partner in ("random", "nearest")
        for name, way in ways.items()
    ]
    for line in found:
        print(
            f"{line.partner:8} {line.method:26} {line.pairs:6,} pairs  whole {line.whole:.3f}  wrong {line.wrong:.4f}"
        )
    print(json.dumps([asdict(line) for line in found]))


if __name__ == "__main__":
    main()
