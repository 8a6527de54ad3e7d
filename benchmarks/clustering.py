"""Claim: visavis groups faces into people better than its peers do at their best setting.

python -m benchmarks.clustering [--quick] [--json] [--cache DIR]

Groups one face of each photo of LFW's development people, embedded by visavis (SFace, face and mirror
image) into an album that is kept in the cache folder: the first run takes minutes to fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contender import Job
from benchmarks.frame import Comparison, Contender
from benchmarks.script import Plan, Settings, run_script

CLAIM = (
    "visavis groups the faces of LFW better than its peers, chooses its threshold itself, and takes a fraction of the "
    "time of dlib's Chinese whispers and of HDBSCAN. The peers are given the best of a few settings, found by looking "
    "at the names, which nobody has who wants to group unknown faces; finding it is not counted. All group the same "
    "embeddings (SFace, face and mirror image)."
)
_NETWORK = "sface"
_QUICK_PHOTOS = 1500
# For unit vectors a distance of 1 is a cosine of .5.
_DISTANCES = (0.95, 1.0, 1.05)
CHINESE_WHISPERS = Contender("dlib Chinese whispers", "benchmarks.clustering:chinese_whispers", packages=("dlib-bin",))
DBSCAN = Contender("scikit-learn DBSCAN", "benchmarks.clustering:dbscan", packages=("scikit-learn",))
HDBSCAN = Contender("scikit-learn HDBSCAN", "benchmarks.clustering:hdbscan", packages=("scikit-learn",))
OURS = Contender("visavis", "benchmarks.clustering:visavis", "visavis", packages=("faiss-cpu", "scipy"))
_CONTENDERS = (CHINESE_WHISPERS, DBSCAN, HDBSCAN, OURS)


def chinese_whispers(folder: Path) -> Job:
    """Group as dlib's face clustering example does."""
    import dlib

    faces = [dlib.vector(row.tolist()) for row in np.load(folder / "embeddings.npy")]
    return _best_job(folder, lambda distance: dlib.chinese_whispers_clustering(faces, distance), _DISTANCES)


def dbscan(folder: Path) -> Job:
    """Group by density: two faces make a group."""
    from sklearn import cluster

    faces = np.load(folder / "embeddings.npy")
    return _best_job(
        folder, lambda distance: cluster.DBSCAN(eps=distance, min_samples=2).fit_predict(faces), _DISTANCES
    )


def hdbscan(folder: Path) -> Job:
    """Group by density at every scale: two faces make a group; the setting is ``min_samples``."""
    from sklearn import cluster

    faces = np.load(folder / "embeddings.npy")

    def group(samples: int) -> Any:
        return cluster.HDBSCAN(min_cluster_size=2, min_samples=samples, copy=True).fit_predict(faces)

    return _best_job(folder, group, (1, 2))


def visavis(folder: Path) -> Job:
    """Group as ``visavis cluster`` does, from embeddings to groups."""
    from indexer.grouping.archive_groups import settings_for
    from indexer.grouping.cluster import cluster_faces
    from indexer.grouping.face_constraints import no_facts
    from indexer.grouping.neighbour_lists import new_lists

    faces = np.load(folder / "embeddings.npy")

    def group() -> np.ndarray:
        lists = new_lists(faces)
        facts, chosen = no_facts(len(faces)), settings_for(_NETWORK)
        return cluster_faces(lists.neighbours, lists.similarities, facts, chosen).labels

    return _job(folder, group)


def _best_job(folder: Path, group: Callable[[Any], Any], settings: Sequence[float]) -> Job:
    """Make a job of the setting with the best BCubed F."""
    people = np.load(folder / "people.npy")
    best = max(settings, key=lambda setting: _figures(people, group(setting))["BCubed F"])
    return _job(folder, lambda: group(best), {"best setting": best})


def _job(folder: Path, group: Callable[[], Any], more: dict[str, float] | None = None) -> Job:
    people = np.load(folder / "people.npy")
    # The sweep has warmed the peers up; for visavis it is a grouping like any other.
    warm_up = (lambda: None) if more else group
    return Job(group, len(people), warm_up, lambda groups: _figures(people, groups) | (more or {}))


def _figures(people: np.ndarray, groups: Any) -> dict[str, float]:
    from trainer.metrics import clustering_figures

    found = clustering_figures(people, np.asarray(groups, np.int64))
    return {"BCubed F": found.bcubed.f, "pairwise F": found.pairwise.f, "groups": found.groups}


def _prepare(settings: Settings, folder: Path) -> Plan:
    images = settings.data / "lfw-dev" / "images"
    if not images.is_dir():
        raise ValueError(f"{images} is not there: clustering needs photos of people who are known by name")
    people = sorted(images.iterdir())
    if settings.quick:
        ends = np.cumsum([sum(1 for _ in person.iterdir()) for person in people])
        people = people[: int(np.searchsorted(ends, _QUICK_PHOTOS))]
    number, names = _write_embeddings(images, people, settings.cache, folder)
    title = f"{number:,} photos of {names:,} people of LFW (development people)"
    left_out = ["HDBSCAN's cluster_selection_epsilon: scikit-learn 1.9 fails with it on numpy 2.4"]
    return Plan([(Comparison(title, "face", _CONTENDERS), folder)], left_out)


def _write_embeddings(images: Path, people: list[Path], cache: Path, folder: Path) -> tuple[int, int]:
    """Embed the photos into an album of the cache, or take them from there; gives how many photos and people."""
    from embedder.model import choose_model
    from embedder.pipeline import EmbedSettings
    from indexer.commands.embedding import add_photos, load_model
    from indexer.evaluation.central_faces import central_faces, people_of

    album = cache / f"lfw-{len(people)}-people-{_NETWORK}-{choose_model(_NETWORK).fingerprint()}"
    roots = [images.resolve()] if len(people) == len(list(images.iterdir())) else people
    _, archive = add_photos(roots, album, model=_NETWORK, device="cpu", settings=EmbedSettings())
    faces = central_faces(archive, images.resolve(), load_model(archive.album, "cpu"))
    numbers, names = people_of(faces.paths)
    np.save(folder / "embeddings.npy", faces.embeddings)
    np.save(folder / "people.npy", numbers)
    return len(numbers), len(names)


if __name__ == "__main__":
    run_script("clustering", CLAIM, _prepare)
