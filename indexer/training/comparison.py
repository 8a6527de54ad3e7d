"""Is one model better than another on the people of an archive? Arrays in, figures out; opens no file.

Both models embed the same faces of people whom neither of them was trained on. Each figure is taken for both, and its
difference is set against what it would vary by with other people: one fifth of the people is left out at a time
(delete-a-group jackknife, Kott 2001). A difference below twice that spread shows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from indexer.grouping.archive_groups import settings_for
from indexer.grouping.cluster import ClusterSettings, cluster_faces
from indexer.grouping.face_constraints import no_facts
from indexer.grouping.neighbour_lists import new_lists
from indexer.naming.gallery import build_gallery, compare
from trainer.metrics import all_pairs_verification, clustering_figures, open_set_identification

Word = Literal["better", "worse", "same"]

_FARS = (1e-2, 1e-3, 1e-4)
_IMPOSTORS = 10  # that must lie above a threshold, for its rate to be measured
_SWEEP = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5)  # rates of false pairs, at which thresholds of groups are tried
_GROUPS = 5  # of people, of which one is left out at a time
_CLEAR = 2.0  # a difference that is so many times its spread counts
LEAST_PEOPLE = 10
"""With fewer people nothing is compared: a fifth of them is then a person or two."""


@dataclass(frozen=True)
class Figure:
    """One figure of both models.

    Attributes:
        name: what was measured.
        before, after: of the one model and of the other; higher is better.
        spread: of their difference, with other people of the same kind.
    """

    name: str
    before: float
    after: float
    spread: float

    @property
    def word(self) -> Word:
        """Whether the second model is better: "same" also where nothing can be told."""
        difference = self.after - self.before
        if abs(difference) <= _CLEAR * self.spread or difference == 0:
            return "same"
        return "better" if difference > 0 else "worse"


@dataclass(frozen=True)
class Comparison:
    """What two models are worth on the same faces.

    Attributes:
        figures: of verification, identification and clustering.
        people, faces: on whom.
    """

    figures: tuple[Figure, ...]
    people: int
    faces: int

    @property
    def word(self) -> Word:
        """Better or worse only if some figures are and none says the opposite."""
        words = {figure.word for figure in self.figures} - {"same"}
        return words.pop() if len(words) == 1 else "same"

    @property
    def sentence(self) -> str:
        """The verdict, for people."""
        words = {figure.word for figure in self.figures} - {"same"}
        if len(words) == 2:
            return "The new model is better in some figures and worse in others: keep the present one."
        return {
            "better": "The new model is better on these people.",
            "worse": "The new model is worse on these people: keep the present one.",
            "same": "No difference can be shown on these people: keep the present one.",
        }[self.word]


def compare_models(
    before: np.ndarray, after: np.ndarray, people: np.ndarray, photos: np.ndarray, names: tuple[str, str]
) -> Comparison:
    """Compare two models on the same faces.

    Args:
        before, after: float32 (N, D) and (N, E), unit rows: the faces as each of the models sees them.
        people: int64 (N,), the person of each face.
        photos: int64 (N,), the photo of each face, in the order in which they were taken or named.
        names: of the models, for the thresholds of groups.
    Raises:
        ValueError: if there are fewer than ``LEAST_PEOPLE`` people with two photos.
    """
    several = people_with_two_photos(people, photos)
    if several < LEAST_PEOPLE:
        raise ValueError(f"{several} people have two photos or more, {LEAST_PEOPLE} are needed to compare two models")
    fars = _measurable(people)
    both = (before, after)

    def measure(rows: np.ndarray) -> list[dict[str, float]]:
        chosen = people[rows], photos[rows]
        return [model_figures(e[rows], *chosen, name, fars) for e, name in zip(both, names, strict=True)]

    whole = measure(np.arange(len(people)))
    group = _groups(people)
    parts = [measure(np.flatnonzero(group != left_out)) for left_out in range(_GROUPS)]
    figures = [
        Figure(name, whole[0][name], whole[1][name], _spread([p[1][name] - p[0][name] for p in parts]))
        for name in whole[0]
    ]
    return Comparison(tuple(figures), len(np.unique(people)), len(people))


def model_figures(
    embeddings: np.ndarray, people: np.ndarray, photos: np.ndarray, name: str, fars: Sequence[float]
) -> dict[str, float]:
    """Measure one model: figure → value, the higher the better.

    Args:
        embeddings: float32 (N, D), unit rows.
        people, photos: as for ``compare_models``.
        name: of the model.
        fars: at which verification is measured.
    """
    found = all_pairs_verification(embeddings, people, (*fars, *_SWEEP))
    figures = {
        f"true pairs found at one false in {1 / far:,.0f}": float(tar)
        for far, tar in zip(fars, found.tar_at_far.tar, strict=False)
    }
    figures |= _identification(embeddings, people, photos)
    lists, facts = new_lists(embeddings), no_facts(len(people))

    def groups(settings: ClusterSettings) -> float:
        return clustering_figures(
            people, cluster_faces(lists.neighbours, lists.similarities, facts, settings).labels
        ).bcubed.f

    thresholds = found.tar_at_far.thresholds[len(fars) :]
    tried = [groups(ClusterSettings(prior=float(t), threshold=float(t))) for t in thresholds if np.isfinite(t)]
    figures["groups at the best threshold (BCubed F)"] = max(tried, default=0.0)
    figures["groups as `visavis cluster` makes them (BCubed F)"] = groups(settings_for(name, embeddings=embeddings))
    return figures


def _identification(embeddings: np.ndarray, people: np.ndarray, photos: np.ndarray) -> dict[str, float]:
    """Name the faces of the later half of each person's photos by those of the earlier half.

    Each of them is also a stranger once: compared with all people but the own one.
    """
    known, probes = halves(people, photos)
    gallery = build_gallery(embeddings[known], people[known])
    own = np.searchsorted(gallery.people, people[probes])
    rows = np.ascontiguousarray(embeddings[probes], np.float32)
    named = [(c.similarity.max(axis=0), c.similarity.argmax(axis=0) == own[c.probes]) for c in compare(gallery, rows)]
    strange = [c.similarity.max(axis=0) for c in compare(gallery, rows, own)]
    top, right = zip(*named, strict=True)
    far = 0.01
    result = open_set_identification(np.concatenate(top), np.concatenate(right), np.concatenate(strange), [far])
    return {
        "right name where 1 % of strangers get one": float(result.dir_at_far[0]),
        "most similar person is the right one": result.rank1,
    }


def halves(people: np.ndarray, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part the faces of each person with two photos or more: rows of the earlier photos, and of the later ones."""
    known, probes = [], []
    for person in np.unique(people):
        rows = np.flatnonzero(people == person)
        order = np.unique(photos[rows])
        early = np.isin(photos[rows], order[: len(order) // 2])
        if early.any():
            known.append(rows[early])
            probes.append(rows[~early])
    nobody = [np.empty(0, np.int64)]
    return np.concatenate(nobody + known), np.concatenate(nobody + probes)


def _measurable(people: np.ndarray) -> tuple[float, ...]:
    """Give the rates at which there are enough pairs of two people, also with a fifth of the people left out."""
    sizes = np.bincount(np.unique(people, return_inverse=True)[1])
    impostors = (len(people) ** 2 - int((sizes.astype(np.int64) ** 2).sum())) // 2
    share = (1 - 1 / _GROUPS) ** 2
    return tuple(far for far in _FARS if far * impostors * share >= _IMPOSTORS) or _FARS[:1]


def people_with_two_photos(people: np.ndarray, photos: np.ndarray) -> int:
    """Count the people who are on two photos or more; int64 (N,), person and photo of each face."""
    pairs = np.unique(np.stack([people, photos]), axis=1)
    return int((np.unique(pairs[0], return_counts=True)[1] >= 2).sum())


def _groups(people: np.ndarray) -> np.ndarray:
    """Deal the people into groups of like many faces: int64 (N,), the group of each face."""
    ids, numbers, counts = np.unique(people, return_inverse=True, return_counts=True)
    group = np.empty(len(ids), np.int64)
    group[np.argsort(-counts, kind="stable")] = np.arange(len(ids)) % _GROUPS
    return np.asarray(group[numbers])


def _spread(differences: Sequence[float]) -> float:
    """Standard error of a difference from those with one group left out."""
    values = np.array(differences)
    count = len(values)
    return float(np.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum()))
