"""The map equation against its definition, and the search for groups against all partitions."""

from __future__ import annotations

from itertools import combinations, product
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.grouping import communities
from indexer.grouping.communities import find_communities
from indexer.grouping.map_equation import FlowGraph, code_length, contracted

NO_PAIRS = np.empty((0, 2), np.int64)


def _graph(weights: np.ndarray, apart: np.ndarray = NO_PAIRS, owner: list[int] | None = None) -> FlowGraph:
    """Make the walk of a symmetric weight matrix with an empty diagonal."""
    a, b = np.nonzero(np.triu(weights, 1))
    visits = weights.sum(1) / weights.sum()
    names = np.full(len(weights), -1) if owner is None else np.array(owner)
    return FlowGraph(a.astype(np.int32), b.astype(np.int32), weights[a, b] / weights.sum(), visits, apart, names)


def _entropy(parts: list[float]) -> float:
    total = sum(parts)
    return -sum(part / total * np.log(part / total) for part in parts if part > 0)


def _code_length_by_definition(weights: np.ndarray, groups: np.ndarray) -> float:
    """Sum the entropies of the index codebook and of each group's codebook, by how often each is used."""
    step = weights / weights.sum()
    exits, within = [], 0.0
    for group in np.unique(groups):
        inside = groups == group
        leave = float(step[inside][:, ~inside].sum())
        words = [leave, *step[inside].sum(1).tolist()]
        within += sum(words) * _entropy(words)
        exits.append(leave)
    return within + (sum(exits) * _entropy(exits) if sum(exits) > 0 else 0.0)


def _random_weights(size: int, seed: int, share: float = 0.6) -> np.ndarray:
    random = np.random.default_rng(seed)
    upper = np.triu(random.random((size, size)) * (random.random((size, size)) < share), 1)
    upper[0, 1] = 1.0
    return upper + upper.T


@pytest.mark.parametrize("seed", range(5))
def test_code_length_is_the_definition(seed: int) -> None:
    weights = _random_weights(9, seed)
    groups = np.random.default_rng(seed).integers(0, 3, 9)
    assert code_length(_graph(weights), groups) == pytest.approx(_code_length_by_definition(weights, groups), abs=1e-12)


def test_contraction_keeps_the_code_length_up_to_the_nodes_own_words() -> None:
    """Two partitions differ by the same length whether nodes or units that both keep whole are described."""
    graph = _graph(_random_weights(8, 1))
    units = np.array([0, 0, 2, 2, 4, 4, 6, 6])
    small, large = units, np.array([0, 0, 0, 0, 4, 4, 4, 4])
    joined = contracted(graph, units)
    difference = code_length(graph, small) - code_length(graph, large)
    assert code_length(joined, small) - code_length(joined, large) == pytest.approx(difference, abs=1e-12)


def test_two_cliques_with_one_weak_link_are_two_groups() -> None:
    weights = np.zeros((8, 8))
    for nodes in (range(4), range(4, 8)):
        for i, j in combinations(nodes, 2):
            weights[i, j] = weights[j, i] = 1.0
    weights[3, 4] = weights[4, 3] = 0.1
    groups = find_communities(_graph(weights), NO_PAIRS)
    assert len(set(groups[:4])) == len(set(groups[4:])) == 1 and groups[0] != groups[4]


@pytest.mark.parametrize("seed", range(12))
def test_groups_are_nearly_as_short_as_the_best_of_all_partitions(seed: int) -> None:
    weights = _random_weights(6, seed, share=0.5)
    graph = _graph(weights)
    shortest = min(code_length(graph, np.array(groups)) for groups in product(range(6), repeat=6) if groups[0] == 0)
    found = code_length(graph, find_communities(graph, NO_PAIRS))
    assert shortest - 1e-9 <= found <= 1.03 * shortest


@pytest.mark.parametrize("mutual_rounds", [0, 3])
@settings(max_examples=60, deadline=None)
@given(st.integers(2, 14), st.integers(0, 10_000), st.data())
def test_what_must_stay_apart_stays_apart(mutual_rounds: int, size: int, seed: int, data: st.DataObject) -> None:
    node = st.integers(0, size - 1)
    pair = st.tuples(node, node).filter(lambda nodes: nodes[0] != nodes[1])
    apart = np.array(data.draw(st.lists(pair, max_size=6)), np.int64).reshape(-1, 2)
    rivals = np.array(data.draw(st.lists(pair, max_size=6)), np.int64).reshape(-1, 2)
    owner = data.draw(st.lists(st.integers(-1, 2), min_size=size, max_size=size))
    graph = _graph(_random_weights(size, seed), apart, owner)
    with mock.patch.object(communities, "MUTUAL_ROUNDS", mutual_rounds):
        groups = find_communities(graph, rivals)
    for one, other in np.concatenate([apart, rivals]):
        assert groups[one] != groups[other]
    for group in np.unique(groups):
        assert len({owner[i] for i in np.flatnonzero(groups == group) if owner[i] >= 0}) <= 1


def test_two_names_that_want_the_same_group_at_once_do_not_both_get_in() -> None:
    weights = np.zeros((3, 3))
    weights[0, 1] = weights[1, 0] = weights[0, 2] = weights[2, 0] = 1.0
    with mock.patch.object(communities, "MUTUAL_ROUNDS", 0):
        groups = find_communities(_graph(weights, owner=[-1, 4, 5]), NO_PAIRS)
    assert groups[1] != groups[2] and groups[0] in (groups[1], groups[2])


def test_one_wrong_node_does_not_keep_the_halves_of_a_person_apart() -> None:
    """Two cores of one person, nodes 0 and 30 rivals: they meet without one of them; a hard fact keeps them apart."""
    half = np.repeat([0, 1], 30)
    weights = np.where(half[:, None] == half, 1.0, 0.6)
    np.fill_diagonal(weights, 0.0)
    weights[0, 30] = weights[30, 0] = 0.0
    across = np.array([[0, 30]])
    groups = find_communities(_graph(weights), across)
    assert np.bincount(groups).max() == 59 and groups[0] != groups[30]
    assert np.bincount(find_communities(_graph(weights, across), NO_PAIRS)).max() == 30


def test_no_nodes_and_no_links() -> None:
    for size in (0, 3):
        nothing = np.empty(0, np.int32)
        graph = FlowGraph(nothing, nothing, np.empty(0), np.zeros(size), NO_PAIRS, np.full(size, -1))
        assert find_communities(graph, NO_PAIRS).tolist() == list(range(size))
