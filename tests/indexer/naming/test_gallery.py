import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.naming import gallery as module
from indexer.naming.gallery import build_gallery, compare, nearest_faces, top_places, unit_rows


def _unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _faces(rng, people, faces, dimensions=16, spread=0.15):
    """Rows of ``faces`` faces each of ``people`` people, and whose they are."""
    centres = _unit(rng.normal(size=(people, dimensions)) + 0.4)  # people have something in common, as faces do
    owner = np.repeat(np.arange(people), faces)
    return _unit(centres[owner] + spread * rng.normal(size=(len(owner), dimensions))), owner


def _similarity(gallery, probes, own=None):
    return np.concatenate([block.similarity for block in compare(gallery, probes, own)], axis=1)


@pytest.fixture
def rivals_count(monkeypatch):
    """Let rivals count in full, as they do where there are many people."""
    monkeypatch.setattr(module, "_RIVAL_PEOPLE", (0.5, 1))


def _slow_similarity(rows, owner, probes, taken=0.25):
    """The definition, face by face and person by person: people of fewer than six faces, so one look each."""
    ids = np.unique(owner)
    means = {p: rows[owner == p].mean(axis=0) for p in ids}
    centres = {p: mean / np.linalg.norm(mean) ** 0.75 for p, mean in means.items()}

    def share(likenesses):
        return sum(sorted((max(x, 0.0) for x in likenesses), reverse=True)[:3]) / 3

    rivals = {p: share([means[p] @ centres[q] / np.linalg.norm(means[p]) for q in ids if q != p]) for p in ids}
    usual = np.mean(list(rivals.values()))
    answer = np.zeros((len(ids), len(probes)))
    for i, x in enumerate(probes):
        alike = [0.75 * (x @ centres[p]) + 0.25 * max(x @ row for row in rows[owner == p]) for p in ids]
        face = share(sorted(alike, reverse=True)[1:])
        answer[:, i] = [a - taken * (rivals[p] + face - 2 * usual) for a, p in zip(alike, ids, strict=True)]
    return answer


@pytest.mark.parametrize(("people", "faces"), [(1, 2), (2, 1), (3, 3), (9, 4)])
def test_similarity_matches_the_definition(people, faces, rivals_count):
    rng = np.random.default_rng(people)
    rows, owner = _faces(rng, people, faces)
    shuffled = rng.permutation(len(rows))
    probes = _unit(rng.normal(size=(7, 16)) + 0.4)
    gallery = build_gallery(rows[shuffled], owner[shuffled] * 10)
    assert gallery.people.tolist() == [p * 10 for p in range(people)]
    np.testing.assert_allclose(_similarity(gallery, probes), _slow_similarity(rows, owner, probes), atol=2e-6)


@pytest.mark.parametrize(("people", "taken"), [(20, 0), (50, 0), (122, 0.125), (300, 0.25), (320, 0.25)])
def test_the_more_people_the_more_rivals_count(people, taken):
    rng = np.random.default_rng(people)
    rows, owner = _faces(rng, people, 1)
    probes = _unit(rng.normal(size=(3, 16)) + 0.4)
    expected = _slow_similarity(rows, owner, probes, taken)
    np.testing.assert_allclose(_similarity(build_gallery(rows, owner), probes), expected, atol=1e-3)


def test_rivals_of_very_many_people_are_an_even_choice(monkeypatch):
    monkeypatch.setattr(module, "_COHORT", 4)
    rows, owner = _faces(np.random.default_rng(10), 9, 8, spread=0.5)  # several looks
    gallery = build_gallery(rows, owner)
    assert set(gallery.neighbours[:2].ravel().tolist()) == {0, 3, 6}
    units = _unit(gallery.centres)
    looks = np.split(np.arange(len(units)), gallery.centre_starts[1:])
    for person in range(9):
        alike = {q: (gallery.centres[looks[q]] @ units[looks[person]].T).max() for q in {0, 3, 6} - {person}}
        best = sorted(alike, key=alike.__getitem__, reverse=True)[:2]
        assert gallery.neighbours[:2, person].tolist() == best
        np.testing.assert_allclose(gallery.neighbour_likeness[:2, person], [max(alike[q], 0) for q in best], atol=1e-6)


def test_a_person_left_out_is_as_if_never_named(rivals_count):
    """Held-out similarities are those of a gallery without the person; only the common offset differs."""
    rows, owner = _faces(np.random.default_rng(3), 8, 3)
    gallery = build_gallery(rows, owner)
    left_out = _similarity(gallery, rows, owner)
    for person in range(8):
        mine = owner == person
        without = build_gallery(rows[~mine], owner[~mine])
        offset = 0.5 * (gallery.usual - without.usual)
        expected = _similarity(without, rows[mine]) + offset
        np.testing.assert_allclose(np.delete(left_out[:, mine], person, axis=0), expected, atol=2e-6)
        assert np.isneginf(left_out[person, mine]).all()


def test_blocks_do_not_show(monkeypatch):
    rng = np.random.default_rng(4)
    rows, owner = _faces(rng, 12, 4)
    rows, owner = np.concatenate([rows, rows[:9]]), np.concatenate([owner, np.full(9, 5)])  # one with many faces
    probes = _unit(rng.normal(size=(11, 16)))
    whole = _similarity(build_gallery(rows, owner), probes)
    monkeypatch.setattr(module, "_ROWS", 5)
    monkeypatch.setattr(module, "_PROBES", 3)
    np.testing.assert_allclose(_similarity(build_gallery(rows, owner), probes), whole, atol=2e-6)


def test_several_looks_are_known_apart():
    """Someone with two looks is found by either; the mean of both looks is like neither."""
    rng = np.random.default_rng(5)
    looks, which = _faces(rng, 2, 6, dimensions=64, spread=0.05)
    others, owner = _faces(rng, 20, 2, dimensions=64, spread=0.05)
    gallery = build_gallery(np.concatenate([looks, others]), np.concatenate([np.zeros(12, int), owner + 1]))
    assert len(gallery.centres) == 22
    assert gallery.centre_starts.tolist() == [0, *range(2, 22)]
    probes = np.stack([looks[which == k].mean(axis=0) for k in (0, 1)])
    assert _similarity(gallery, _unit(probes)).argmax(axis=0).tolist() == [0, 0]
    assert _similarity(gallery, _unit(probes))[0].min() > 0.9


def test_faces_of_little_quality_count_less():
    rng = np.random.default_rng(6)
    good, bad = _unit(rng.normal(size=(2, 16)))
    gallery = build_gallery(np.stack([good, bad]), np.zeros(2, int), np.array([0.9, 0.0]))
    likeness = gallery.centres[0] @ good, gallery.centres[0] @ bad
    assert likeness[0] > 0.95 > likeness[1]
    even = build_gallery(np.stack([good, bad]), np.zeros(2, int), np.array([0.9, 0.9])).centres[0]
    assert even @ good == pytest.approx(even @ bad, abs=1e-6)
    weighed = build_gallery(np.stack([good, bad]), np.zeros(2, int), np.array([0.8, 0.4])).centres[0]
    assert _unit(weighed[None])[0] == pytest.approx(_unit((0.8 * good + 0.4 * bad)[None])[0], abs=1e-6)


def test_nearest_faces_match_a_full_sort():
    rng = np.random.default_rng(7)
    rows, owner = _faces(rng, 6, 5, spread=0.6)
    shuffled = rng.permutation(len(rows))
    probes = _unit(rng.normal(size=(9, 16)))
    gallery = build_gallery(rows[shuffled], owner[shuffled])
    (block,) = compare(gallery, probes)
    found = nearest_faces(gallery, probes, block.nearest, 4)
    np.testing.assert_array_equal(found, np.argsort(-(probes @ rows[shuffled].T), axis=1)[:, :4])
    few = nearest_faces(gallery, probes, block.nearest, 40)
    assert (few[:, :30] >= 0).all()
    assert (few[:, 30:] == -1).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_an_orthogonal_person_changes_no_ones_best(seed, people, faces):
    rng = np.random.default_rng(seed)
    rows, owner = _faces(rng, people, faces, dimensions=8, spread=0.4)
    probes = _unit(np.abs(rng.normal(size=(5, 8))))
    wide = [np.pad(vectors, ((0, 0), (0, 1))) for vectors in (rows, probes)]
    newcomer = np.eye(9, dtype=np.float32)[8:]
    before = _similarity(build_gallery(wide[0], owner), wide[1])
    after = _similarity(build_gallery(np.concatenate([wide[0], newcomer]), np.append(owner, people)), wide[1])
    best = before.argmax(axis=0)
    # Below a quarter of its person's likeness to their rivals a face is like nobody, and may be called the newcomer's.
    alike = [(probe @ rows[owner == p].T).min() > 0.25 for probe, p in zip(probes, best, strict=True)]
    ahead = np.sum(before > before.max(axis=0) - 1e-5, axis=0) == 1
    assert (after.argmax(axis=0) == best)[ahead & alike].all()


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 3.0])
def test_rows_that_are_no_unit_vectors_are_named(value):
    rows = np.eye(6, 8, dtype=np.float32)
    rows[4] = value
    with pytest.raises(ValueError, match="gallery face 4;"):
        build_gallery(rows, np.arange(6))


def test_a_long_list_of_bad_rows_is_cut():
    with pytest.raises(ValueError, match=r"face 0, 1, 2, 3, 4, 5, 6, 7 and 12 more"):
        unit_rows(np.zeros((20, 4)), "face")


@pytest.mark.parametrize(
    ("people", "quality"),
    [([0, 1], None), ([0, 1, -1], None), ([0, 1, 2], [0.5, np.nan, 1]), ([0, 1, 2], [0.5, 1.5, 1]), ([0, 1, 2], [1])],
)
def test_labels_and_qualities_are_checked(people, quality):
    with pytest.raises(ValueError, match=r"people|quality"):
        build_gallery(np.eye(3), np.array(people), None if quality is None else np.array(quality))


def test_opposite_faces_of_a_person_have_no_nan():
    rows = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    assert np.isfinite(_similarity(build_gallery(rows, np.array([0, 0, 1])), rows)).all()


def test_half_precision_rows_are_taken():
    rows, owner = _faces(np.random.default_rng(8), 4, 2)
    exact, half = (_similarity(build_gallery(r, owner), rows) for r in (rows, rows.astype(np.float16)))
    np.testing.assert_allclose(exact, half, atol=2e-3)


def test_top_places_match_a_sort():
    values = np.random.default_rng(9).normal(size=(20, 6)).astype(np.float32)
    values[3:7, 2] = values[11, 2]  # of equals the first comes first
    values[0, 1] = -np.inf
    for k in (1, 4, 5, 20, 30):
        np.testing.assert_array_equal(top_places(values, k), np.argsort(-values, axis=0, kind="stable")[:k])
    assert top_places(values[:0], 3).shape == (0, 6)
