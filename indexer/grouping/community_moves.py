"""Move single nodes between the groups of a graph, where that makes its map equation smaller. Opens no file."""

import numpy as np
from scipy import sparse

from indexer.grouping.map_equation import (
    MIN_GAIN,
    Bools,
    Floats,
    FlowGraph,
    Ints,
    code_length,
    exit_flows,
    first_of_each,
    highest,
    plogp,
    sums,
)


def move_nodes(graph: FlowGraph, groups: Ints, rounds: int) -> Ints:
    """Let nodes at the edge of their group change to another group, or be alone, where that shortens the description.

    Args:
        graph: with ``apart`` and ``owner``, which the groups keep to before and after.
        groups: int64 (U,), for each node the number of a node, the same for the whole group.
        rounds: how often each node may move, at most; neighbours do not move in one round.
    Returns:
        The new groups, in the same form.
    """
    shortest, best = code_length(graph, groups), groups
    for _ in range(rounds):
        nodes, targets, gains = _wanted_moves(graph, best)
        chosen = _independent(graph, nodes, targets, gains)
        if not len(chosen):
            break
        moved = best.copy()
        moved[nodes[chosen]] = targets[chosen]
        moved = first_of_each(moved)
        length = code_length(graph, moved)
        if length >= shortest - MIN_GAIN:
            break
        shortest, best = length, moved
    return best


def _wanted_moves(graph: FlowGraph, groups: Ints) -> tuple[Ints, Ints, Floats]:
    """Find each node's best move, if it has one: (nodes, targets, gains); target U + node is to be alone."""
    size = len(groups)
    out = np.flatnonzero(groups[graph.a] != groups[graph.b])
    edge = np.zeros(size, np.bool_)
    edge[graph.a[out]] = edge[graph.b[out]] = True
    from_a, from_b = np.flatnonzero(edge[graph.a]), np.flatnonzero(edge[graph.b])
    rows = np.concatenate([graph.a[from_a], graph.b[from_b]])
    columns = groups[np.concatenate([graph.b[from_a], graph.a[from_b]])].astype(np.int32)
    entries = np.concatenate([graph.flow[from_a], graph.flow[from_b]]), (rows, columns)
    table = sparse.coo_array(entries, shape=(size, size)).tocsr()
    table.sum_duplicates()
    nodes, others, flow = np.repeat(np.arange(size), np.diff(table.indptr)), table.indices.astype(np.int64), table.data
    all_flow = sums(nodes, flow, size)
    own = others == groups[nodes]
    own_flow = sums(nodes[own], flow[own], size)
    lonely = np.flatnonzero(edge & (np.bincount(groups, minlength=size)[groups] > 1))
    nodes = np.concatenate([nodes[~own], lonely])
    targets = np.concatenate([others[~own], lonely + size])
    flow = np.concatenate([flow[~own], np.zeros(len(lonely))])
    gains = _move_gains(graph, groups, nodes, targets, flow, own_flow[nodes], all_flow[nodes])
    gains[_barred(graph, groups, nodes, targets)] = 0.0
    order = np.lexsort((targets, -gains, nodes))
    order = order[np.diff(nodes[order], prepend=-1) > 0]
    order = order[gains[order] > MIN_GAIN]
    return nodes[order], targets[order], gains[order]


def _move_gains(
    graph: FlowGraph, groups: Ints, nodes: Ints, targets: Ints, flow: Floats, own_flow: Floats, all_flow: Floats
) -> Floats:
    """Tell by how many nats each move alone would shorten the description.

    Args:
        flow, own_flow, all_flow: float64 (M,), what goes from the node to its target, to the rest of its group, in all.
    """
    size = len(groups)
    exits = np.concatenate([exit_flows(graph, groups), np.zeros(size)])
    visits = np.concatenate([sums(groups, graph.visits, size), np.zeros(size)])
    home, mine = groups[nodes], graph.visits[nodes]
    total = exits.sum()
    term = plogp(exits + visits) - 2 * plogp(exits)
    home_exits = exits[home] - all_flow + 2 * own_flow
    target_exits = exits[targets] + all_flow - 2 * flow
    after = plogp(home_exits + visits[home] - mine) - 2 * plogp(home_exits)
    after += plogp(target_exits + visits[targets] + mine) - 2 * plogp(target_exits)
    after += plogp(total + 2 * own_flow - 2 * flow)
    result: Floats = term[home] + term[targets] + plogp(total) - after
    return result


def _barred(graph: FlowGraph, groups: Ints, nodes: Ints, targets: Ints) -> Bools:
    """Mark the moves into a group that holds something which must stay apart from the node."""
    size = len(groups)
    mine, theirs = graph.owner[nodes], highest(groups, graph.owner, 2 * size)[targets]
    result: Bools = (mine != theirs) & (mine >= 0) & (theirs >= 0)
    if len(graph.apart):
        one, other = graph.apart.T
        banned = np.concatenate([one * 2 * size + groups[other], other * 2 * size + groups[one]])
        result |= np.isin(nodes * 2 * size + targets, banned)
    return result


def _independent(graph: FlowGraph, nodes: Ints, targets: Ints, gains: Floats) -> Ints:
    """Choose moves that can be made at once: of two neighbours, and of two owners at one target, the better one."""
    size = len(graph.visits)
    rank = np.full(size, len(nodes))
    order = np.lexsort((nodes, -gains))
    rank[nodes[order]] = np.arange(len(nodes))
    blocked = np.zeros(size, np.bool_)
    for one, other in ((graph.a, graph.b), graph.apart.T):
        blocked[one[rank[one] > rank[other]]] = True
        blocked[other[rank[other] > rank[one]]] = True
    owned = order[graph.owner[nodes[order]] >= 0]
    later = np.ones(len(owned), np.bool_)
    later[np.unique(targets[owned], return_index=True)[1]] = False
    blocked[nodes[owned[later]]] = True
    result: Ints = np.flatnonzero(~blocked[nodes])
    return result
