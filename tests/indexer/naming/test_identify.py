from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.naming.assignment import Reason
from indexer.naming.calibration import AlbumImpostors, Calibration, calibrate
from indexer.naming.gallery import build_gallery, compare
from indexer.naming.identify import (
    UNKNOWN,
    IdentifySettings,
    album_impostors,
    identify,
    impostor_limit,
    similarity_to,
)


def _unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _around(rng, centres, spread):
    return _unit(centres + spread * _unit(rng.normal(size=centres.shape)))


def _people(rng, people, dimensions=32):
    return _unit(rng.normal(size=(people, dimensions)))


def _curve(threshold, min_margin=0.02):
    """A calibration that asks for ``threshold`` at 1 %."""
    rates = np.array([1, 0.01, 1e-9])
    return Calibration(np.array([-1, threshold, 1]), rates, min_margin, "a test", None)


def _reasons(found):
    return [Reason(reason).name for reason in found.reason]


def _one_person_each(people, faces=2, seed=0):
    rng = np.random.default_rng(seed)
    centres = _people(rng, people)
    owner = np.repeat(np.arange(people), faces)
    return centres, build_gallery(_around(rng, centres[owner], 0.3), owner + 100)


def test_known_people_get_their_names_and_strangers_none():
    rng = np.random.default_rng(1)
    centres, gallery = _one_person_each(30)
    probes = np.concatenate([_around(rng, centres, 0.3), _people(rng, 20)])
    found = identify(gallery, _curve(0.7), probes, np.arange(50))
    assert found.person.tolist() == [*range(100, 130), *[UNKNOWN] * 20]
    assert _reasons(found) == ["NAMED"] * 30 + ["NOBODY_NEAR"] * 20
    assert (found.nearest[:30, 0] // 2 == np.arange(30)).all()
    assert found.nearest.shape == (50, 5)
    assert (found.similarity[:30] > 0.7).all()
    np.testing.assert_allclose(found.probability, _curve(0.7).probability(found.similarity))


def test_best_and_second_person_and_margin_are_those_of_the_comparison():
    rng = np.random.default_rng(2)
    _, gallery = _one_person_each(12)
    probes = _people(rng, 300)  # more than a block
    found = identify(gallery, _curve(0.9), probes, np.arange(300), settings=IdentifySettings(nearest=0))
    alike = np.concatenate([block.similarity for block in compare(gallery, probes)], axis=1)
    order = np.argsort(-alike, axis=0)
    np.testing.assert_array_equal(found.best_person, gallery.people[order[0]])
    np.testing.assert_array_equal(found.second_person, gallery.people[order[1]])
    top = np.sort(alike, axis=0)[::-1]
    np.testing.assert_allclose(found.similarity, top[0], atol=1e-6)
    np.testing.assert_allclose(found.margin, top[0] - top[1], atol=1e-6)
    assert found.nearest.shape == (300, 0)


def test_one_name_in_a_photo():
    rng = np.random.default_rng(3)
    centres, gallery = _one_person_each(10)
    probes = np.concatenate([centres[[4]], _around(rng, centres[[4, 7]], 0.4)])
    found = identify(gallery, _curve(0.6), probes, np.zeros(3, np.int64))
    assert found.person.tolist() == [104, UNKNOWN, 107]
    assert _reasons(found) == ["NAMED", "TAKEN", "NAMED"]
    apart = identify(gallery, _curve(0.6), probes, np.array([5, 3, 5]))
    assert apart.person.tolist() == [104, 104, 107]


def test_the_same_face_under_two_names_is_ambiguous():
    rows = np.repeat(_people(np.random.default_rng(4), 1), 2, axis=0)
    found = identify(build_gallery(rows, np.array([8, 3])), _curve(0.3), rows[:1], np.zeros(1, np.int64))
    assert _reasons(found) == ["AMBIGUOUS"]
    assert found.person.tolist() == [UNKNOWN]
    assert {found.best_person[0], found.second_person[0]} == {3, 8}
    assert found.margin[0] == 0


def test_a_poor_face_is_told_from_a_stranger_and_may_still_have_a_name():
    rng = np.random.default_rng(5)
    centres, gallery = _one_person_each(10)
    probes = np.concatenate([_people(rng, 2), centres[:1]])
    found = identify(gallery, _curve(0.7), probes, np.arange(3), quality=np.array([0.1, 0.9, 0.1]))
    assert _reasons(found) == ["POOR_FACE", "NOBODY_NEAR", "NAMED"]


def test_barred_people_are_not_given():
    centres, gallery = _one_person_each(10)
    photo = np.arange(2)
    found = identify(gallery, _curve(0.6), centres[:2], photo, barred=np.array([[1, 101], [0, 105]]))
    assert found.person.tolist() == [100, UNKNOWN]
    assert _reasons(found) == ["NAMED", "TAKEN"]
    assert found.best_person.tolist() == [100, 101]
    with pytest.raises(ValueError, match="not among the 2 faces"):
        identify(gallery, _curve(0.6), centres[:2], photo, barred=np.array([[-1, 101]]))


def test_a_barred_person_who_is_not_in_the_gallery_bars_nobody():
    centres, gallery = _one_person_each(10)
    barred = np.array([[0, 99], [1, 110], [1, 10**9]])
    assert identify(gallery, _curve(0.6), centres[:2], np.arange(2), barred=barred).person.tolist() == [100, 101]


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_no_face_gets_a_barred_name_and_nobody_is_twice_in_a_photo(seed, people, pairs):
    rng = np.random.default_rng(seed)
    centres, gallery = _one_person_each(people, seed=seed % 1000)
    faces = 30
    probes = _around(rng, centres[rng.integers(0, people, faces)], 0.5)
    photo = rng.integers(0, 8, faces)
    barred = np.stack([rng.integers(0, faces, pairs), rng.integers(98, 102 + people, pairs)], axis=1)
    found = identify(gallery, _curve(0.3, min_margin=0.3), probes, photo, barred=barred)
    named = np.flatnonzero(found.person != UNKNOWN)
    given_names = set(zip(named.tolist(), found.person[named].tolist(), strict=True))
    assert not given_names & set(map(tuple, barred.tolist()))
    places = list(zip(photo[named].tolist(), found.person[named].tolist(), strict=True))
    assert len(places) == len(set(places))


def test_an_empty_gallery_names_nobody():
    gallery = build_gallery(np.empty((0, 32), np.float32), np.empty(0, np.int64))
    calibration = calibrate("sface", gallery.counts, album_impostors(gallery))
    found = identify(gallery, calibration, _people(np.random.default_rng(6), 2), np.zeros(2, np.int64))
    assert found.person.tolist() == found.best_person.tolist() == found.second_person.tolist() == [UNKNOWN] * 2
    assert found.similarity.tolist() == [-1, -1]
    assert found.probability.tolist() == [0, 0]
    assert (found.nearest == -1).all()


def test_one_person_is_enough_to_be_named():
    rng = np.random.default_rng(7)
    centres, gallery = _one_person_each(1)
    calibration = calibrate("sface", gallery.counts, album_impostors(gallery))
    found = identify(gallery, calibration, np.concatenate([centres, _people(rng, 1)]), np.arange(2))
    assert found.person.tolist() == [100, UNKNOWN]
    assert found.second_person.tolist() == [UNKNOWN] * 2
    assert found.margin[0] == pytest.approx(found.similarity[0])


def test_no_faces():
    _, gallery = _one_person_each(3)
    found = identify(gallery, _curve(0.5), np.empty((0, 32), np.float32), np.empty(0, np.int64))
    assert found.person.shape == found.reason.shape == found.probability.shape == (0,)
    assert found.nearest.shape == (0, 5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_no_numbers_are_named(value):
    centres, gallery = _one_person_each(9)
    broken = centres.copy()
    broken[[2, 6]] = value
    with pytest.raises(ValueError, match="face 2, 6;"):
        identify(gallery, _curve(0.5), broken, np.arange(9))


def test_arrays_that_do_not_fit_are_refused():
    centres, gallery = _one_person_each(3)
    with pytest.raises(ValueError, match="photo must be 3 numbers"):
        identify(gallery, _curve(0.5), centres, np.arange(2))
    with pytest.raises(ValueError, match="quality must be 3 numbers"):
        identify(gallery, _curve(0.5), centres, np.arange(3), quality=np.array([1, 1, np.nan]))
    with pytest.raises(ValueError, match="faces have 5 dimensions, but the gallery 32"):
        identify(gallery, _curve(0.5), np.eye(5), np.arange(5))


def test_album_impostors_leave_the_own_person_out():
    rng = np.random.default_rng(8)
    centres = _people(rng, 6)
    owner = np.repeat(np.arange(6), [4, 1, 2, 3, 1, 2])
    rows = _around(rng, centres[owner], 0.2)
    gallery = build_gallery(rows, owner)
    impostors = album_impostors(gallery, shared_photo=np.array([0.25], np.float32))
    assert impostors.best.max() < 0.75  # with their own person all would be above
    assert sorted(impostors.people.tolist()) == owner.tolist()
    assert impostors.shared_photo.tolist() == [0.25]
    limited = album_impostors(gallery, limit=8)
    assert len(limited.people) == 8
    assert set(np.bincount(limited.people, minlength=6).tolist()) == {1, 2}
    few = album_impostors(gallery, limit=3)
    assert few.people.tolist() == [0, 2, 5]  # spread over all people
    assert len(album_impostors(_one_person_each(1)[1]).best) == 0


def test_the_larger_the_album_the_fewer_of_its_faces_are_taken_for_strangers():
    _, gallery = _one_person_each(700, faces=3)
    assert impostor_limit(gallery) == 1000
    assert len(album_impostors(gallery).best) == 1000
    large, huge = (replace(gallery, rows=np.zeros(faces, np.int8)) for faces in (250_000, 10_000_000))
    assert [impostor_limit(large), impostor_limit(huge)] == [800, 500]


def test_similarity_to_a_person_is_what_identify_compares():
    rng = np.random.default_rng(9)
    centres, gallery = _one_person_each(10)
    probes = _around(rng, centres, 0.5)
    found = identify(gallery, _curve(0.5), probes, np.arange(10))
    np.testing.assert_allclose(similarity_to(gallery, probes, found.best_person), found.similarity, atol=1e-6)
    assert similarity_to(gallery, probes[:0], np.empty(0, np.int64)).shape == (0,)
    with pytest.raises(ValueError, match=r"\[7, 500\]"):
        similarity_to(gallery, probes[:3], np.array([100, 7, 500]))


@pytest.mark.parametrize("false_alarm", [0.01, 0.1])
def test_as_many_strangers_are_named_as_asked_for(false_alarm):
    """Synthetic people that no table knows: what the album shows is enough, and errs to the careful side."""
    rng = np.random.default_rng(10)
    _, gallery = _one_person_each(400, faces=3, seed=11)
    calibration = calibrate("unheard of", gallery.counts, album_impostors(gallery))
    asked = IdentifySettings(false_alarm=false_alarm, nearest=0)
    found = identify(gallery, calibration, _people(rng, 3000), np.arange(3000), settings=asked)
    assert false_alarm / 3 < (found.person != UNKNOWN).mean() < false_alarm * 1.5


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 24), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_properties_of_every_answer(seed, people, faces, photos):
    rng = np.random.default_rng(seed)
    centres = _people(rng, people, dimensions=12)
    owner = rng.integers(0, people, 3 * people)
    gallery = build_gallery(_around(rng, centres[owner], 0.5), owner)
    probes = _around(rng, centres[rng.integers(0, people, faces)], 0.9)
    photo = rng.integers(0, photos, faces)
    calibration = calibrate("sface", gallery.counts, album_impostors(gallery))
    found = identify(gallery, calibration, probes, photo)
    named = found.person != UNKNOWN
    pairs = list(zip(photo[named].tolist(), found.person[named].tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    assert (named == (found.reason == Reason.NAMED)).all()
    assert ((found.probability >= 0) & (found.probability <= 1)).all()
    assert (np.diff(found.probability[np.argsort(found.similarity, kind="stable")]) >= 0).all()
    assert (found.margin >= 0).all()
    assert np.isin(found.best_person, gallery.people).all()
    order = rng.permutation(faces)
    again = identify(gallery, calibration, probes[order], photo[order])
    np.testing.assert_array_equal(again.person, found.person[order])
    np.testing.assert_array_equal(again.reason, found.reason[order])
    np.testing.assert_allclose(again.similarity, found.similarity[order], atol=1e-6)


def test_empty_album_impostors_are_taken():
    nothing = AlbumImpostors(np.empty(0), np.empty(0, np.int64), np.empty(0))
    assert calibrate("dlib", np.array([2, 3]), nothing).source == "the table for dlib"
