"""The map equation of a weighted graph: how well groups describe a walk on it. Opens no file.

A random walk is described shortest when groups that it seldom leaves get codewords of their own: the two-level map
equation of Rosvall, Axelsson and Bergstrom 2009 (arXiv 0906.1405), for an undirected graph without teleportation.
``communities`` looks for the groups.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Nodes = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MIN_GAIN = 1e-12
"""Nats by which a step must shorten the description: above the rounding of sums that have millions of terms."""


@dataclass(frozen=True)
class FlowGraph:
    """An undirected weighted graph, and what may not be joined in it.

    Args:
        a, b: int32 (E,), the two nodes of each pair, a < b, each pair once, ordered by a and then b.
        flow: float64 (E,), > 0, the share of the walk's steps that go from a to b; as many go back.
        visits: float64 (U,), the share of the walk's time at each node, 1 in all; not less than its flow.
        apart: int64 (C, 2), pairs of nodes that never share a group.
        owner: int64 (U,), nodes of different owners never share a group; -1 belongs to nobody.
    """

    a: Nodes
    b: Nodes
    flow: Floats
    visits: Floats
    apart: Ints
    owner: Ints


def code_length(graph: FlowGraph, groups: Ints) -> float:
    """Measure how many nats describe a step of the walk when it is told by these groups."""
    exits = exit_flows(graph, groups)
    visits = sums(groups, graph.visits, len(exits))
    terms = plogp(exits + visits).sum() - 2 * plogp(exits).sum() - plogp(graph.visits).sum()
    return float(plogp(exits.sum()) + terms)


def sums(index: Ints | Nodes, values: npt.NDArray[np.floating], size: int) -> Floats:
    """Sum the values that have the same index: float64 (size,), also for no values at all."""
    result: Floats = np.bincount(index, values, minlength=size).astype(np.float64, copy=False)
    return result


def plogp(x: npt.ArrayLike) -> Floats:
    """Multiply each number with its logarithm: 0 for 0, and for what rounding left below it."""
    positive = np.maximum(np.asarray(x, np.float64), 1e-300)
    result: Floats = positive * np.log(positive)
    return result


def exit_flows(graph: FlowGraph, groups: Ints) -> Floats:
    """Sum, for each group, the flow out of it."""
    out = np.flatnonzero(groups[graph.a] != groups[graph.b])
    flow, size = graph.flow[out], len(graph.visits)
    result: Floats = sums(groups[graph.a[out]], flow, size) + sums(groups[graph.b[out]], flow, size)
    return result


def contract(
    a: Nodes, b: Nodes, flow: npt.NDArray[np.floating], groups: Ints, size: int
) -> tuple[Nodes, Nodes, Floats]:
    """Give pairs of nodes to the groups of these nodes, sum what coincides, drop what is inside a group.

    Args:
        a, b: int32 (E,), nodes, in any order.
        flow: floats (E,).
        groups: int64 (nodes,), 0..size-1.
    Returns:
        (a, b, flow): groups a < b, each pair once, ordered by a and then b.
    """
    narrow = groups.astype(np.int32)
    a, b = narrow[a], narrow[b]
    out = a != b
    low, high = np.minimum(a, b)[out], np.maximum(a, b)[out]
    del a, b
    entries = flow[out].astype(np.float64, copy=False), (low, high)
    table = sparse.coo_array(entries, shape=(size, size)).tocsr()
    table.sum_duplicates()
    rows = np.repeat(np.arange(size, dtype=np.int32), np.diff(table.indptr))
    return rows, table.indices, table.data


def contracted(graph: FlowGraph, groups: Ints) -> FlowGraph:
    """Make each group one node, under the number of the group; numbers that name no group become empty nodes."""
    size = len(graph.visits)
    a, b, flow = contract(graph.a, graph.b, graph.flow, groups, size)
    owner = highest(groups, graph.owner, size)
    return FlowGraph(a, b, flow, sums(groups, graph.visits, size), groups[graph.apart], owner)


def highest(groups: Ints, numbers: Ints, size: int) -> Ints:
    """Take the highest number in each group: int64 (size,), -1 where there is none."""
    result = np.full(size, -1, np.int64)
    np.maximum.at(result, groups, numbers)
    return result


def pair_places(a: Nodes, b: Nodes, wanted: Ints, size: int) -> tuple[Ints, Ints]:
    """Find pairs of nodes in a list of pairs, and count how often they are wanted.

    Args:
        a, b: int32 (E,), a < b, each pair once, ordered by a and then b.
        wanted: int64 (W, 2), pairs in any order; some may not be in the list.
        size: the number of nodes.
    Returns:
        (places, times): of each pair that is in the list and wanted its place there, and how often it is wanted.
    """
    if not len(a) or not len(wanted):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    keys = a.astype(np.int64) * size + b
    wanted_keys, times = np.unique(wanted.min(1) * size + wanted.max(1), return_counts=True)
    places = np.minimum(np.searchsorted(keys, wanted_keys), len(keys) - 1)
    there = keys[places] == wanted_keys
    return places[there], times[there]


def first_of_each(key: Ints) -> Ints:
    """Name each set of equal keys by the place of its first member."""
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    result: Ints = first[inverse]
    return result
