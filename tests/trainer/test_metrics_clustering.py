from collections import deque
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import pair_confusion_matrix

from trainer.metrics import Clicks, PrecisionRecall, clicks_to_clean, clustering_figures, contingency
from trainer.metrics.clicks import _maximum_matching

CLUSTERINGS = st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 5)), min_size=1, max_size=40)


def columns(rows):
    return np.array([p for p, _ in rows]), np.array([g for _, g in rows])


def lone_faces_named(groups):
    """Give each face of group -1 a group of its own."""
    return np.array([1000 + row if group == -1 else group for row, group in enumerate(groups)])


def bcubed_by_definition(people, groups):
    """Face by face, as Bagga and Baldwin wrote it."""
    faces = range(len(people))
    precision, recall = [], []
    for i in faces:
        group = [j for j in faces if groups[j] == groups[i]]
        person = [j for j in faces if people[j] == people[i]]
        both = [j for j in group if people[j] == people[i]]
        precision.append(len(both) / len(group))
        recall.append(len(both) / len(person))
    return np.mean(precision), np.mean(recall)


def pairwise_by_definition(people, groups):
    pairs = list(combinations(range(len(people)), 2))
    together = {(i, j) for i, j in pairs if groups[i] == groups[j]}
    belonging = {(i, j) for i, j in pairs if people[i] == people[j]}
    right = len(together & belonging)
    return right / len(together) if together else 1, right / len(belonging) if belonging else 1


@given(CLUSTERINGS)
def test_figures_agree_with_their_definitions(rows):
    people, groups = columns(rows)
    found = clustering_figures(people, groups)
    groups = lone_faces_named(groups)
    assert (found.bcubed.precision, found.bcubed.recall) == pytest.approx(bcubed_by_definition(people, groups))
    assert (found.pairwise.precision, found.pairwise.recall) == pytest.approx(pairwise_by_definition(people, groups))
    assert found.nmi == pytest.approx(normalized_mutual_info_score(people, groups), abs=1e-9)
    assert (found.groups, found.people) == (len(set(groups)), len(set(people)))


def test_pairwise_is_scikit_learns_pair_confusion():
    rng = np.random.default_rng(0)
    people, groups = rng.integers(0, 40, 2000), rng.integers(0, 60, 2000)
    (_, wrong), (missed, right) = pair_confusion_matrix(people, groups)
    found = clustering_figures(people, groups).pairwise
    assert found.precision == pytest.approx(right / (right + wrong))
    assert found.recall == pytest.approx(right / (right + missed))


def test_f_is_the_harmonic_mean():
    assert PrecisionRecall(0.5, 1.0).f == pytest.approx(2 / 3)
    assert PrecisionRecall(0.0, 0.0).f == 0


@given(CLUSTERINGS, st.randoms(use_true_random=False))
def test_names_and_order_change_nothing(rows, random):
    people, groups = columns(rows)
    names, places = random.sample(range(100), 6), list(range(len(rows)))
    group_names = [*random.sample(range(100), 6), -1]  # -1, the last, stays
    random.shuffle(places)
    renamed = np.array([names[p] for p in people])[places], np.array([group_names[g] for g in groups])[places]
    first, second = clustering_figures(people, groups), clustering_figures(*renamed)
    assert (first.pairwise, first.groups, first.people) == (second.pairwise, second.groups, second.people)
    assert (first.bcubed.f, first.nmi) == pytest.approx((second.bcubed.f, second.nmi), abs=1e-12)
    assert clicks_to_clean(people, groups) == clicks_to_clean(*renamed)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_the_people_themselves_are_perfect(people):
    found = clustering_figures(people, np.array(people) + 7)
    assert (found.pairwise.f, found.bcubed.f, found.nmi) == (1, pytest.approx(1), pytest.approx(1))
    assert clicks_to_clean(people, np.array(people) + 7) == Clicks(0, 0, 0)


def test_one_group_of_all_has_the_analytic_values():
    sizes = np.array([1, 2, 4, 13])
    found = clustering_figures(np.repeat(np.arange(4), sizes), np.zeros(20, dtype=int))
    assert found.bcubed.recall == pytest.approx(1)
    assert found.bcubed.precision == pytest.approx(np.sum(sizes**2) / 20**2)
    assert (found.pairwise.recall, found.pairwise.precision) == (1, pytest.approx((1 + 6 + 78) / 190))
    assert found.nmi == 0
    assert clicks_to_clean(np.repeat(np.arange(4), sizes), np.zeros(20, dtype=int)) == Clicks(0, splits=2, moves=1)


@pytest.mark.parametrize("groups", [np.full(20, -1), np.arange(20)])
def test_lone_faces_have_the_analytic_values(groups):
    found = clustering_figures(np.repeat(np.arange(4), [1, 2, 4, 13]), groups)
    assert found.bcubed.precision == 1
    assert found.bcubed.recall == pytest.approx(4 / 20)
    assert (found.pairwise.precision, found.pairwise.recall, found.pairwise.f) == (1, 0, 0)
    assert found.groups == 20
    assert clicks_to_clean(np.repeat(np.arange(4), [1, 2, 4, 13]), groups) == Clicks(0, 0, moves=16)


def test_six_million_faces_do_not_overflow():
    people = np.repeat(np.arange(2), 3_000_000)
    found = clustering_figures(people, np.zeros_like(people))
    assert found.pairwise.precision == pytest.approx(0.5, abs=1e-6)
    assert found.bcubed.precision == pytest.approx(0.5)


def test_contingency_holds_the_cells_that_are_not_empty():
    table = contingency([5, 5, 5, 9, 9], [3, 3, -1, 3, -1])
    cells = sorted(zip(table.cell_person.tolist(), table.cell_faces.tolist(), strict=True))
    assert cells == [(0, 1), (0, 2), (1, 1), (1, 1)]
    assert sorted(table.group_faces.tolist()) == [1, 1, 3]
    assert table.person_faces.tolist() == [3, 2]


def test_bad_labels_are_named():
    with pytest.raises(ValueError, match="people holds 2 faces, but groups holds 1"):
        contingency([1, 2], [1])
    with pytest.raises(ValueError, match=r"people\[1\] is -1, below 0"):
        contingency([1, -1], [1, 1])
    with pytest.raises(ValueError, match=r"groups\[0\] is -2, below -1"):
        contingency([1], [-2])
    with pytest.raises(ValueError, match="groups holds float64, not whole numbers"):
        contingency([1], [0.5])
    with pytest.raises(ValueError, match="at least one face"):
        contingency([], [])


def groups_after_one_action(groups, people):
    """Every state that one split, move or merge leads to; a state is a frozenset of frozensets of faces."""
    for group in groups:
        others = groups - {group}
        for size in range(2, len(group)):
            for taken in map(frozenset, combinations(group, size)):
                if len({people[face] for face in taken}) == 1:
                    yield others | {taken, group - taken}
        for face in group:
            rest = {group - {face}} - {frozenset()}
            yield others | rest | {frozenset([face])}
            for target in others:
                yield (others - {target}) | rest | {target | {face}}
        for other in others:
            if len({people[face] for face in group | other}) == 1:
                yield (others - {other}) | {group | other}


def fewest_actions(people, groups):
    """Breadth-first search over everything a human could do."""
    start = frozenset(frozenset(np.flatnonzero(groups == g).tolist()) for g in set(groups.tolist()))
    clean = frozenset(frozenset(np.flatnonzero(people == p).tolist()) for p in set(people.tolist()))
    distance, waiting = {start: 0}, deque([start])
    while clean not in distance:
        state = waiting.popleft()
        for following in groups_after_one_action(state, people):
            if following not in distance:
                distance[following] = distance[state] + 1
                waiting.append(following)
    return distance[clean]


def test_no_human_needs_fewer_actions():
    rng = np.random.default_rng(0)
    totals = set()
    for _ in range(60):
        people, groups = rng.integers(0, 3, 6), rng.integers(-1, 3, 6)
        expected = fewest_actions(people, lone_faces_named(groups))
        assert clicks_to_clean(people, groups).total == expected, (people, groups)
        totals.add(expected)
    assert totals >= {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("aaa|bb", Clicks(0, 0, 0)),
        ("aa|aa|aa", Clicks(merges=2, splits=0, moves=0)),
        ("aaabb", Clicks(0, splits=1, moves=0)),  # b becomes a group of its own
        ("aaabb|bb", Clicks(merges=1, splits=1, moves=0)),
        ("aaab|bb", Clicks(0, 0, moves=1)),
        ("aaa|a", Clicks(0, 0, moves=1)),
        ("ab|ab", Clicks(0, 0, moves=2)),  # a keeps one group, b the other
        ("ab|bc", Clicks(0, 0, moves=2)),  # were b to keep one, the other is still c's or a's
        ("abc|a|b", Clicks(0, 0, moves=2)),
        ("aabb|aabb", Clicks(merges=2, splits=2, moves=0)),
    ],
)
def test_clicks_of_hand_made_groups(state, expected):
    letters = [(ord(person), number) for number, group in enumerate(state.split("|")) for person in group]
    people, groups = columns(letters)
    assert clicks_to_clean(people, groups) == expected
    assert expected.total == fewest_actions(people, groups)


@pytest.mark.parametrize("people", [8, 40, 100])
def test_matching_is_as_large_as_scipys(people):
    rng = np.random.default_rng(people)
    for _ in range(60):
        wanted = rng.random((rng.integers(1, 60), people)) < rng.uniform(0.5, 3) / people
        candidates = {group: np.flatnonzero(row).tolist() for group, row in enumerate(wanted)}
        expected = np.count_nonzero(maximum_bipartite_matching(csr_matrix(wanted)) >= 0)
        assert _maximum_matching(candidates) == expected
