import json
import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.calibrate import _spectra, calibrate
from benchmarks.likeness import likeness_figures, open_set
from benchmarks.synthetic import (
    PEOPLE_PER_BLOCK,
    QUANTILE_LEVELS,
    SFACE_LFW,
    Block,
    Calibration,
    face_blocks,
    face_blocks_of_sizes,
    person_directions,
    read_calibration,
    write_calibration,
)


def joined(blocks):
    columns = list(zip(*blocks, strict=True))
    return Block(*(np.concatenate(column) for column in columns))


@pytest.fixture(scope="module")
def calibration():
    return read_calibration()


@pytest.fixture(scope="module")
def faces(calibration):
    """More than one block of people."""
    return joined(face_blocks(calibration, 20_000, seed=1))


@pytest.fixture(scope="module")
def known():
    """A calibration that is made up."""
    return Calibration(
        mean=(0.3, *[0.0] * 99),
        between_std=tuple(np.linspace(0.05, 0.12, 100)),
        within_std=tuple(np.linspace(0.12, 0.08, 100)),
        radius_quantiles=tuple(np.exp(np.log(0.5) + 0.2 * np.linspace(-3.5, 3.5, 57))),
        radius_spread=0.1,
        looks=250,
        look_share=0.5,
        double_share=0.0,
        occasion_chance=0.0,
        occasion_share=0.0,
        size_exponent=1.6,
        largest_size=60,
        faces_per_photo=(0.5, 0.3, 0.2),
    )


def test_rows_are_as_many_as_asked_unit_and_float32(faces):
    assert faces.embeddings.shape == (20_000, 128)
    assert faces.embeddings.dtype == np.float32
    assert (faces.people.dtype, faces.photos.dtype) == (np.int64, np.int64)
    np.testing.assert_allclose(np.linalg.norm(faces.embeddings, axis=1), 1, atol=1e-5)
    assert list(face_blocks(read_calibration(), 0, seed=1)) == []


def test_the_same_seed_gives_the_same_faces_and_more_rows_the_same_blocks(calibration, faces):
    whole, _ = face_blocks(calibration, 12_345, seed=1)
    for column, longer in zip(whole, faces, strict=True):
        np.testing.assert_array_equal(column, longer[: len(column)])
    for column, again in zip(joined(face_blocks(calibration, 20_000, seed=1)), faces, strict=True):
        np.testing.assert_array_equal(column, again)
    other = next(face_blocks(calibration, 100, seed=2))
    assert not np.allclose(other.embeddings, faces.embeddings[:100], atol=0.01)


def test_blocks_hold_different_people_faces_and_photos(calibration):
    first, second = face_blocks_of_sizes(calibration, np.ones(2 * PEOPLE_PER_BLOCK, dtype=np.int64), seed=1)
    assert first.people.max() < PEOPLE_PER_BLOCK <= second.people.min()
    assert first.photos.max() < second.photos.min()
    one, other = (block.embeddings[np.argsort(block.people)] for block in (first, second))
    assert np.sum(one * other, axis=1).mean() == pytest.approx(0.092, abs=0.02)


def test_nobody_stands_in_a_photo_twice_and_photos_hold_several(calibration, faces):
    together = np.stack([faces.photos, faces.people], axis=1)
    assert len(np.unique(together, axis=0)) == len(together)
    in_photo = np.unique(faces.photos, return_counts=True)[1]
    expected = np.dot(calibration.faces_per_photo, np.arange(1, len(calibration.faces_per_photo) + 1))
    assert in_photo.mean() == pytest.approx(expected, rel=0.1)
    assert (np.diff(faces.photos) >= 0).all()


def test_people_of_neighbouring_numbers_meet_again(calibration):
    block = joined(face_blocks_of_sizes(calibration, np.full(300, 10), seed=0))
    meetings = {}
    for photo in np.unique(block.photos):
        people = sorted(block.people[block.photos == photo])
        for pair in pairwise(people):
            meetings[pair] = meetings.get(pair, 0) + 1
    assert np.mean(list(meetings.values())) > 3
    assert all(second - first == 1 for first, second in meetings)


def test_people_have_as_many_faces_as_zipf_gives_or_as_is_asked(calibration, faces):
    whole = faces.people[faces.people < PEOPLE_PER_BLOCK]
    sizes = np.unique(whole, return_counts=True)[1]
    law = np.arange(1, calibration.largest_size + 1.0) ** -calibration.size_exponent
    assert len(sizes) == PEOPLE_PER_BLOCK
    assert np.mean(sizes == 1) == pytest.approx(law[0] / law.sum(), abs=0.02)
    assert np.mean(sizes == 2) == pytest.approx(law[1] / law.sum(), abs=0.02)
    asked = np.random.default_rng(0).integers(0, 4, PEOPLE_PER_BLOCK + 50)
    given = joined(face_blocks_of_sizes(calibration, asked, seed=0)).people
    np.testing.assert_array_equal(np.bincount(given, minlength=len(asked)), asked)


def test_a_person_follows_from_the_seed_and_the_number(calibration):
    sizes = np.zeros(PEOPLE_PER_BLOCK + 8, dtype=np.int64)
    sizes[[7, PEOPLE_PER_BLOCK + 7]] = 400
    for number, block in enumerate(face_blocks_of_sizes(calibration, sizes, seed=3)):
        mean = block.embeddings.mean(axis=0)
        directions = person_directions(calibration, number, seed=3)
        similarity = directions @ (mean / np.linalg.norm(mean))
        assert np.argmax(similarity) == 7
        assert similarity[7] > 0.98


def test_memory_is_that_of_a_block(calibration):
    tracemalloc.start()
    rows = sum(len(block.people) for block in face_blocks(calibration, 150_000, seed=0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 150_000
    assert peak < 150_000 * 128 * 4 / 2


def test_strangers_are_as_alike_as_on_lfw(faces):
    """The mean and the spread that SFace has on LFW's development photos, people at random."""
    rows = faces.embeddings[np.unique(faces.people, return_index=True)[1]][:3000]
    similarity = (rows @ rows.T)[np.triu_indices(len(rows), k=1)]
    assert similarity.mean() == pytest.approx(0.092, abs=0.006)
    assert similarity.std() == pytest.approx(0.088, abs=0.003)


def test_doubles_and_looks_make_strangers_alike(known):
    sizes = np.ones(2000, dtype=np.int64)

    def neighbours_and_tail(calibration):
        block = joined(face_blocks_of_sizes(calibration, sizes, seed=0))
        rows = block.embeddings[np.argsort(block.people)]
        similarity = (rows @ rows.T)[np.triu_indices(2000, k=1)]
        return np.mean(np.sum(rows[1:] * rows[:-1], axis=1) > 0.45), np.quantile(similarity, 0.9999)

    plain = replace(known, look_share=0.0)
    assert neighbours_and_tail(plain)[0] < 0.01
    assert neighbours_and_tail(replace(plain, double_share=0.2))[0] == pytest.approx(0.2, abs=0.06)
    assert neighbours_and_tail(replace(plain, look_share=0.8))[1] > neighbours_and_tail(plain)[1] + 0.05


def test_faces_of_one_occasion_are_more_alike(known):
    def mean_similarity(calibration):
        rows = joined(face_blocks_of_sizes(calibration, np.full(1, 200), seed=0)).embeddings
        return np.mean((rows @ rows.T)[np.triu_indices(200, k=1)])

    together = replace(known, occasion_chance=1.0, occasion_share=0.9)
    assert mean_similarity(together) > mean_similarity(known) + 0.1


def test_calibrate_finds_what_the_faces_were_made_from(known):
    made_from = replace(known, occasion_chance=0.15, occasion_share=0.6)
    block = joined(face_blocks(made_from, 6000, seed=5))
    found = calibrate(block.embeddings, block.people, photos_by_faces=(50, 30, 20))
    middle = slice(8, -8)  # beyond 2.5 sigma there are but a few faces
    np.testing.assert_allclose(found.radius_quantiles[middle], made_from.radius_quantiles[middle], rtol=0.12)
    assert found.radius_spread == pytest.approx(made_from.radius_spread, abs=0.03)
    assert found.size_exponent == pytest.approx(made_from.size_exponent, abs=0.06)
    assert found.occasion_chance == pytest.approx(made_from.occasion_chance, abs=0.05)
    assert found.occasion_share == pytest.approx(made_from.occasion_share, abs=0.15)
    assert found.faces_per_photo == made_from.faces_per_photo
    assert found.largest_size == np.bincount(block.people).max()
    assert found.look_share == pytest.approx(made_from.look_share, abs=0.1)
    again = joined(face_blocks_of_sizes(found, np.bincount(block.people), seed=6))
    for faces in (block, again):  # one face of each person, so that nobody counts more
        rows = faces.embeddings[np.unique(faces.people, return_index=True)[1]]
        similarity = (rows @ rows.T)[np.triu_indices(len(rows), k=1)]
        assert np.quantile(similarity, 0.5) == pytest.approx(0.085, abs=0.01)
        assert np.quantile(similarity, 0.999) == pytest.approx(0.485, abs=0.035)


def test_spectra_are_those_of_people_and_of_faces_around_them():
    rng = np.random.default_rng(0)
    between, within, mean = np.array([1.0, 2.0, 3.0]), np.array([0.9, 0.6, 0.3]), np.array([5.0, 6.0, 7.0])
    sizes = np.array([1, 2, 3] * 1000)
    person = np.repeat(np.arange(3000), sizes)
    rows = mean + (between * rng.normal(size=(3000, 3)))[person] + within * rng.normal(size=(6000, 3))
    found = _spectra(rows, person, sizes)
    for numbers, expected in zip(found, (mean, between, within), strict=True):
        np.testing.assert_allclose(np.abs(numbers), expected, rtol=0.06)


def test_calibrate_wants_people_with_many_faces(known):
    rows = joined(face_blocks_of_sizes(known, np.array([8] * 9 + [1] * 50), seed=0))
    with pytest.raises(ValueError, match="only 9 people have 8 faces or more"):
        calibrate(rows.embeddings, rows.people)
    with pytest.raises(ValueError, match="labels holds 3 people, but embeddings has 122 rows"):
        calibrate(rows.embeddings, [1, 2, 3])


def test_a_calibration_is_a_few_kilobytes_of_numbers_and_comes_back(known, tmp_path):
    assert SFACE_LFW.stat().st_size < 8192
    path = tmp_path / "c.json"
    write_calibration(known, path)
    again = read_calibration(path)
    np.testing.assert_allclose(again.between_std, known.between_std, rtol=1e-4)
    assert replace(again, between_std=(), within_std=(), radius_quantiles=()) == replace(
        known, between_std=(), within_std=(), radius_quantiles=()
    )
    assert len(again.radius_quantiles) == len(QUANTILE_LEVELS)
    stored = json.loads(path.read_text())
    del stored["looks"]
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"c\.json is not a calibration"):
        read_calibration(path)


def test_bad_sizes_are_named(calibration):
    with pytest.raises(ValueError, match="rows and seed are not negative, but they are -1 and 0"):
        list(face_blocks(calibration, -1, seed=0))
    with pytest.raises(ValueError, match="sizes and seed are not negative"):
        list(face_blocks_of_sizes(calibration, np.array([1, -1]), seed=0))


def test_open_set_protocol_on_people_that_are_apart():
    """Three people with four photos are known, one with one is a stranger, one with two is left out."""
    labels = np.array([2, 0, 1, 0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4, 4])
    rows = np.eye(5, dtype=np.float32)[labels]
    found = open_set(rows, labels)
    assert (found.probes, found.strangers, found.rank1) == (6, 1, 1)
    figures = likeness_figures(rows, labels)
    assert set(figures.values()) == {1.0}


def test_people_are_known_by_both_of_their_first_photos():
    rows = np.eye(4, dtype=np.float32)[[0, 1, 1, 1, 2, 2, 2, 2, 3]]
    found = open_set(rows, np.array([0, 0, 0, 0, 1, 1, 1, 1, 2]))
    assert (found.rank1, found.probes) == (1, 4)
    assert found.dir_at_far[0] == 1
