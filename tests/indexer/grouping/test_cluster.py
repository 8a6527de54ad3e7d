"""Grouping keeps every fact, whatever the similarities say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.grouping.cluster import ClusterSettings, calibrate, cluster_faces
from indexer.grouping.face_constraints import Facts, no_facts
from indexer.grouping.neighbour_lists import new_lists, updated_lists

SETTINGS = ClusterSettings(prior=0.5)


def _lists(embeddings: np.ndarray, k: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Find each face's k most similar other faces by comparing all with all."""
    similarity = embeddings @ embeddings.T
    np.fill_diagonal(similarity, -np.inf)
    k = min(k, max(len(embeddings) - 1, 0))
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return order.astype(np.int64), np.take_along_axis(similarity, order, axis=1).astype(np.float32)


def _people(sizes: list[int], seed: int, spread: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    """Make people far apart: (unit rows, who each is)."""
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(len(sizes)), sizes)
    rows = random.standard_normal((len(sizes), 64))[who] / 8 + spread * random.standard_normal((len(who), 64))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), who


def _same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    alone = (a < 0) == (b < 0)
    together = (a[:, None] == a) & (a[:, None] >= 0)
    return bool(alone.all() and (together == ((b[:, None] == b) & (b[:, None] >= 0))).all())


def test_people_far_apart_are_found_and_loners_stay_alone() -> None:
    embeddings, who = _people([30, 12, 5, 2, 1, 1, 1], seed=0)
    found = cluster_faces(*_lists(embeddings), no_facts(len(who)), SETTINGS)
    expected = np.where(np.bincount(who)[who] > 1, who, -1)
    assert _same_partition(found.labels, expected)
    sizes = np.bincount(found.labels[found.labels >= 0])
    assert (np.diff(sizes) <= 0).all(), "groups are numbered from the largest on"
    assert len(found.cohesion) == len(found.isolation) == len(sizes)
    assert (found.cohesion > 0).all() and ((found.isolation >= 0) & (found.isolation <= 1)).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_facts_hold_without_exception(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=6))
    embeddings, who = _people(sizes, seed=data.draw(st.integers(0, 99)), spread=0.15)
    count = len(who)
    face = st.integers(0, count - 1)
    photo = np.array(data.draw(st.lists(st.integers(0, count // 2), min_size=count, max_size=count)), np.int64)
    same = data.draw(st.lists(st.tuples(face, face).filter(lambda p: p[0] != p[1]), max_size=3))
    different = data.draw(st.lists(st.tuples(face, face).filter(lambda p: p[0] != p[1]), max_size=4))
    person = np.full(count, -1, np.int64)
    for row in data.draw(st.lists(face, max_size=4)):
        person[row] = data.draw(st.integers(0, 1))
    facts = Facts(photo, np.array(same, np.int64).reshape(-1, 2), np.array(different, np.int64).reshape(-1, 2), person)
    qualities = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.3, 0.9]), min_size=count, max_size=count)))
    one_person = _joined(facts)
    impossible = any(len(set(person[whole]) - {-1}) > 1 for whole in one_person)
    impossible |= any(one_person[a][b] for a, b in different)
    try:
        labels = cluster_faces(*_lists(embeddings), facts, SETTINGS, qualities=qualities).labels
    except ValueError:
        assert impossible
        return
    assert not impossible
    together = (labels[:, None] == labels) & (labels[:, None] >= 0)
    assert together[one_person & ~np.eye(count, dtype=bool)].all()
    for a, b in different:
        assert not together[a, b]
    named = [set(person[labels == group].tolist()) - {-1} for group in set(labels[labels >= 0].tolist())]
    assert all(len(names) <= 1 for names in named), "a group never holds two names"
    of_one_photo = (photo[:, None] == photo) & ~one_person
    assert not (together & of_one_photo).any(), "nobody is in a photo twice, unless it was said"


def _joined(facts: Facts) -> np.ndarray:
    """Spell out which faces are one person by names and facts: bool (N, N)."""
    joined = np.eye(len(facts.person), dtype=bool)
    joined |= (facts.person[:, None] == facts.person) & (facts.person[:, None] >= 0)
    joined[facts.same[:, 0], facts.same[:, 1]] = joined[facts.same[:, 1], facts.same[:, 0]] = True
    for _ in facts.person:
        joined = joined @ joined
    return joined


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_a_permutation_of_the_faces_permutes_the_groups(seed: int) -> None:
    embeddings, who = _people([8, 5, 3, 2, 1], seed=seed)
    order = np.random.default_rng(seed).permutation(len(who))
    first = cluster_faces(*_lists(embeddings), no_facts(len(who)), SETTINGS).labels
    second = cluster_faces(*_lists(embeddings[order]), no_facts(len(who)), SETTINGS).labels
    assert _same_partition(first[order], second)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000))
def test_a_permutation_permutes_the_groups_under_facts_too(seed: int) -> None:
    embeddings, who = _people([8, 6, 4, 3, 2, 1], seed=seed, spread=0.15)
    random = np.random.default_rng(seed)
    count = len(who)
    person = np.where(random.random(count) < 0.2, who % 3, -1)
    person[(person >= 0) & (who > 2)] = -1
    photo = random.integers(0, 2 * count, count)
    photo[[np.count_nonzero((photo == p) & (who == w)) > 1 for p, w in zip(photo, who, strict=True)]] = -1
    apart = random.integers(0, count, (3, 2))
    facts = Facts(photo, np.array([[0, 7]]), apart[who[apart[:, 0]] != who[apart[:, 1]]], person)
    order = random.permutation(count)
    where = np.argsort(order)
    moved = Facts(photo[order], where[facts.same], where[facts.different], person[order])
    first = cluster_faces(*_lists(embeddings), facts, SETTINGS).labels
    second = cluster_faces(*_lists(embeddings[order]), moved, SETTINGS).labels
    assert _same_partition(first[order], second)


@pytest.mark.parametrize("seed", range(3))
def test_growing_step_by_step_or_at_once_ends_in_nearly_the_same_groups(seed: int) -> None:
    """Lists that are brought up to date at each step give what lists of all faces give."""
    embeddings, who = _people([12, 9, 7, 5, 4, 3, 3, 2, 2] + [1] * 20, seed=seed, spread=0.12)
    order = np.random.default_rng(seed).permutation(len(who))
    lists = new_lists(embeddings[order[:10]], 20)
    for end in (25, 40, 60, len(order)):
        lists = updated_lists(lists, np.arange(len(lists.neighbours)), embeddings[order[:end]])
    grown = cluster_faces(lists.neighbours, lists.similarities, no_facts(len(who)), SETTINGS).labels
    at_once = cluster_faces(*_lists(embeddings), no_facts(len(who)), SETTINGS).labels
    assert _same_partition(grown, at_once[order])


def test_the_same_input_gives_the_same_labels() -> None:
    embeddings, who = _people([9, 7, 4, 4, 2], seed=3, spread=0.2)
    runs = [cluster_faces(*_lists(embeddings), no_facts(len(who)), SETTINGS).labels for _ in range(3)]
    assert (runs[0] == runs[1]).all() and (runs[0] == runs[2]).all()


def test_what_was_calibrated_once_serves_again() -> None:
    embeddings, who = _people([9, 7, 4, 4, 2, *[1] * 40], seed=3, spread=0.12)
    lists, facts = _lists(embeddings), no_facts(len(who))
    whole = cluster_faces(*lists, facts, SETTINGS)
    background, threshold = calibrate(*lists, facts, SETTINGS)
    assert (cluster_faces(*lists, facts, SETTINGS, calibrated=(background, threshold)).labels == whole.labels).all()
    nothing_links = replace(threshold, similarity=0.999)
    assert (cluster_faces(*lists, facts, SETTINGS, calibrated=(background, nothing_links)).labels == -1).all()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_faces(count: int) -> None:
    embeddings = np.ones((count, 4), np.float32) / 2
    labels = cluster_faces(*_lists(embeddings), no_facts(count), SETTINGS).labels
    assert labels.tolist() == ([0, 0] if count == 2 else [-1] * count)


def test_identical_faces_are_one_group_unless_they_share_a_photo() -> None:
    embeddings = np.ones((6, 4), np.float32) / 2
    facts = no_facts(6)
    assert set(cluster_faces(*_lists(embeddings), facts, SETTINGS).labels.tolist()) == {0}
    shared = Facts(np.zeros(6, np.int64), facts.same, facts.different, facts.person)
    assert (cluster_faces(*_lists(embeddings), shared, SETTINGS).labels == -1).all()


def test_a_similarity_that_is_no_number_is_named() -> None:
    neighbours, similarities = _lists(_people([3, 3], seed=0)[0], k=2)
    similarities[4, 1] = np.nan
    with pytest.raises(ValueError, match="faces 4 and"):
        cluster_faces(neighbours, similarities, no_facts(6), SETTINGS)


def test_facts_that_contradict_each_other_are_refused_by_name() -> None:
    embeddings, _ = _people([3], seed=0)
    pairs = np.array([[0, 1], [1, 2]]), np.array([[0, 2]])
    facts = Facts(np.full(3, -1), pairs[0], pairs[1], np.full(3, -1))
    with pytest.raises(ValueError, match=r"0 and 2|2 and 0"):
        cluster_faces(*_lists(embeddings), facts, SETTINGS)


def test_poor_faces_are_linked_by_a_greater_similarity_only() -> None:
    """Two pairs of one similarity, a little above the threshold: the poor one stays apart, the good one does not."""
    angle = np.arccos(0.55)
    rows = np.zeros((24, 32))
    rows[np.arange(20), np.arange(20)] = 1  # strangers to all
    for pair, axis in ((20, 20), (22, 22)):
        rows[pair, axis] = 1
        rows[pair + 1, axis : axis + 2] = np.cos(angle), np.sin(angle)
    qualities = np.full(24, 0.8)
    qualities[22:] = 0.1
    embeddings, facts = rows.astype(np.float32), no_facts(24)
    given = replace(SETTINGS, threshold=0.5)
    alike = cluster_faces(*_lists(embeddings), facts, given).labels
    assert alike[20] == alike[21] >= 0 and alike[22] == alike[23] >= 0
    found = cluster_faces(*_lists(embeddings), facts, given, qualities=qualities).labels
    assert found[20] == found[21] >= 0 and found[22] == found[23] == -1
    first = calibrate(*_lists(embeddings), facts, given, qualities)
    again = cluster_faces(*_lists(embeddings), facts, given, calibrated=first).labels
    assert (again == found).all()
