"""The parts of the benchmarks of grouping that need no peer and no photo."""

from __future__ import annotations

import numpy as np

from benchmarks.grouping_crowds import CROWD, KNOWN, STRANGER, Mixture, joined, photos_of_some_people, some_photos
from benchmarks.grouping_crowds import measure as measure_crowds
from benchmarks.grouping_growth import measure as measure_growth
from benchmarks.grouping_large import measure as measure_size
from benchmarks.grouping_peers import thresholds
from benchmarks.grouping_quality import measure as measure_quality
from benchmarks.shared_photos import MOST_FACES, photos_of_lookalikes, random_photos
from benchmarks.synthetic import face_blocks, read_calibration


def _faces(count: int) -> tuple[np.ndarray, np.ndarray]:
    blocks = list(face_blocks(read_calibration(), count, seed=2))
    return np.concatenate([b.embeddings for b in blocks]), np.concatenate([b.people for b in blocks])


def test_random_photos_hold_one_to_four_people_and_nobody_twice() -> None:
    people = np.random.default_rng(0).integers(0, 30, 400)
    photo = random_photos(people, seed=3)
    sizes = np.bincount(photo)
    assert sizes.min() == 1 and sizes.max() == MOST_FACES
    assert len(set(zip(photo.tolist(), people.tolist(), strict=True))) == 400
    assert (random_photos(people, seed=3) == photo).all() and (random_photos(people, seed=4) != photo).any()


def test_photos_of_lookalikes_pair_the_most_similar_strangers() -> None:
    people = np.array([0, 0, 1, 2, 3])
    neighbours = np.array([[1, 2], [0, 3], [0, 3], [1, 2], [-1, -1]])
    similarities = np.array([[0.9, 0.8], [0.9, 0.7], [0.8, 0.6], [0.7, 0.6], [-1, -1]])
    photo = photos_of_lookalikes(people, neighbours, similarities)
    assert photo[0] == photo[2] >= 0 and photo[1] == photo[3] >= 0 and photo[0] != photo[1] and photo[4] == -1


def test_thresholds_lie_around_the_usual_one() -> None:
    assert 0.52 in thresholds(0.52) and all(0.4 < t < 0.7 for t in thresholds(0.52))


def test_an_archive_that_grows_ends_as_one_that_was_there_at_once() -> None:
    figures = measure_growth("sface", *_faces(600), steps=4)
    assert figures["grown against at once"] > 0.999 and figures["a tenth gone against never there"] > 0.99


def test_quality_is_told_for_each_way_to_share_photos() -> None:
    lines = list(measure_quality("sface", *_faces(500)))
    assert [line["photos"] for line in lines] == ["none", "random", "lookalikes"]
    assert all(line["chosen"]["bcubed"] > 0.9 for line in lines)


def test_a_size_is_measured_either_way() -> None:
    for by_cells in (False, True):
        figures = measure_size(2000, by_cells=by_cells)
        assert figures["BCubed F"] > 0.95 and figures["faces"] == 2000 and len(figures["CPU s"]) == 4


def test_crowds_stand_among_known_faces_as_people_of_their_own() -> None:
    embeddings, people = _faces(300)
    known = Mixture(embeddings, np.ones(300), np.arange(300), np.full(300, KNOWN), people.astype(np.int64))
    rng = np.random.default_rng(0)
    embeddings_of_crowd, _ = _faces(40)
    strangers = STRANGER + np.arange(40)
    crowd = Mixture(embeddings_of_crowd, np.full(40, 0.02), np.arange(40) // 5, np.full(40, CROWD), strangers)
    some = photos_of_some_people(known, photos=60, least=2, rng=rng)
    assert len(some.people) >= 60 and np.unique(some.people, return_counts=True)[1].min() >= 2
    mixed = joined(joined(some, some_photos(crowd, 2, rng)), some_photos(crowd, 3, rng))
    assert (mixed.kinds == CROWD).sum() == 25 and len(np.unique(mixed.people[mixed.kinds == CROWD])) == 25
    assert len(np.unique(mixed.photos)) == len(some.photos) + 5
    alike, distrusted = measure_crowds(mixed, "sface")
    assert alike["crowd"] == distrusted["crowd"] == 25
    assert alike["threshold"] == distrusted["threshold"] and alike["known_bcubed_f"] > 0.9
    assert distrusted["crowd_grouped"] <= alike["crowd_grouped"]
