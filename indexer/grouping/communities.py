"""Find the groups of a graph that make its map equation small, with nodes that must stay apart. Opens no file.

Two steps take turns, both made at many places at once: groups merge with their best partner until no union gains, and
single nodes at the edge of a group move to another one. On the neighbour graph of lfw-dev the description is at most
.0025 nats longer than Infomap's best of three (of 4.9), and the groups are as good.
"""

from dataclasses import replace
from itertools import count

import numpy as np

from indexer.grouping.community_moves import move_nodes
from indexer.grouping.map_equation import (
    MIN_GAIN,
    Floats,
    FlowGraph,
    Ints,
    Nodes,
    contract,
    contracted,
    exit_flows,
    first_of_each,
    highest,
    pair_places,
    plogp,
    sums,
)

MUTUAL_ROUNDS = 3
"""Rounds in which only pairs merge that are each other's best: time for the cores of the groups to form."""
RIVAL_SHARE = 0.05
"""Rivals that two groups may have, as a share of the smaller one's nodes, and still merge: about the share of wrong
faces in a group. On hard copies of lfw-dev, every face in a photo with one that looks like it: BCubed F .871 with 0,
.888 with .02, .908 with .05, .911 with .1."""
BLOCK = 1 << 20
"""Pairs looked at together: bounds the memory of the logarithms."""
SCATTER = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio, odd: a product with it, modulo 2^64, shuffles numbers and keeps them different."""


def find_communities(graph: FlowGraph, rivals: Ints, *, seed: int = 0, passes: int = 3, move_rounds: int = 8) -> Ints:
    """Group the nodes so that the map equation is small and no two that must stay apart share a group.

    Args:
        graph: what to group.
        rivals: int64 (R, 2), more pairs of nodes that share no group in the end. Unlike those of ``graph.apart``, few
            of them do not keep two large groups from merging, where one wrong node would else keep a group from its
            other half; the one of the two that has less flow to the group is then put out.
        seed: settles ties between equally good merges.
        passes: how often moving and merging follow the first merging, at most.
        move_rounds: how many rounds of moves a pass has, at most.
    Returns:
        int64 (U,): for each node the number of a node, the same for the whole group.
    """
    groups = merge_groups(graph, rivals, seed)
    strict = replace(graph, apart=np.concatenate([graph.apart, rivals]))
    groups = _put_out(strict, groups)
    for turn in range(passes):
        before = groups
        groups = move_nodes(strict, groups, move_rounds)
        groups = merge_groups(contracted(strict, groups), rivals[:0], seed + turn + 1)[groups]
        if np.array_equal(before, groups):
            break
    return groups


def _put_out(graph: FlowGraph, groups: Ints) -> Ints:
    """Leave alone the one of two nodes that must stay apart which has less flow to their group, unless it is named."""
    one, other = graph.apart[groups[graph.apart[:, 0]] == groups[graph.apart[:, 1]]].T
    if not len(one):
        return groups
    size = len(groups)
    inside = groups[graph.a] == groups[graph.b]
    hold = sums(graph.a[inside], graph.flow[inside], size) + sums(graph.b[inside], graph.flow[inside], size)
    hold[graph.owner >= 0] += 2
    out = np.where((hold[one] < hold[other]) | ((hold[one] == hold[other]) & (one > other)), one, other)
    key = groups.copy()
    key[out] = size + out
    return first_of_each(key)


def merge_groups(graph: FlowGraph, rivals: Ints, seed: int) -> Ints:
    """Join groups, nodes at first, with their best partner until no union gains: see ``find_communities``.

    At first only pairs that are each other's best partner join. Later a group joins its best partner whenever that one
    is larger and stays where it is: a large group would else take up its last members one in a round.
    """
    size = len(graph.visits)
    groups = np.arange(size)
    a, b, flow = graph.a, graph.b, graph.flow
    visits, owner, apart = graph.visits, graph.owner, graph.apart
    exits, members = exit_flows(graph, groups), np.ones(size)
    for turn in count():
        worth = _union_worth(a, b, flow, visits, exits)
        worth[_forbidden(a, b, owner, apart, rivals, members)] = 0.0
        partner = _best_partners(a, b, worth, size, np.uint64(seed + turn))
        del worth
        live = partner >= 0
        if not live.any():
            break
        step = _joins(partner, visits, turn < MUTUAL_ROUNDS)
        step = _without_clashes(step, visits, owner, apart)
        kept = live[a] | live[b]
        if not kept.all():
            a, b, flow = a[kept], b[kept], flow[kept]
        narrow = step.astype(np.int32)
        inside = np.flatnonzero(narrow[a] == narrow[b])
        exits = sums(step, exits, size) - 2 * sums(step[a[inside]], flow[inside], size)
        visits, members, owner = sums(step, visits, size), sums(step, members, size), highest(step, owner, size)
        groups, apart, rivals = step[groups], step[apart], step[rivals]
        rivals = rivals[rivals[:, 0] != rivals[:, 1]]
        a, b, flow = contract(a, b, flow, step, size)
    return groups


def _union_worth(a: Nodes, b: Nodes, flow: Floats, visits: Floats, exits: Floats) -> Floats:
    """Tell for each pair of groups what their union is worth; 0 where it does not shorten the description.

    The gain in nats, divided by the root of the product of their visits: large groups do not always go first.
    """
    total = max(float(exits.sum()), 1e-300)
    alone = plogp(exits + visits) - 2 * plogp(exits)
    worth = np.empty(len(a))
    for start in range(0, len(a), BLOCK):
        part = slice(start, start + BLOCK)
        i, j, shared = a[part], b[part], flow[part]
        left = exits[i] + exits[j] - 2 * shared
        here, there = visits[i], visits[j]
        gain = alone[i] + alone[j] + plogp(total)
        gain -= plogp(left + here + there) - 2 * plogp(left) + plogp(total - 2 * shared)
        worth[part] = np.where(gain > MIN_GAIN, gain / np.sqrt(np.maximum(here * there, 1e-300)), 0.0)
    return worth


def _forbidden(a: Nodes, b: Nodes, owner: Ints, apart: Ints, rivals: Ints, members: Floats) -> Ints:
    """List the pairs of groups that may not merge."""
    places, times = pair_places(a, b, rivals, len(owner))
    crowded = places[times > RIVAL_SHARE * np.minimum(members[a[places]], members[b[places]])]
    found = [pair_places(a, b, apart, len(owner))[0], crowded]
    if (owner >= 0).any():
        found.append(np.flatnonzero((owner[a] != owner[b]) & (owner[a] >= 0) & (owner[b] >= 0)))
    return np.concatenate(found)


def _best_partners(a: Nodes, b: Nodes, worth: Floats, size: int, salt: np.uint64) -> Ints:
    """Find for each group the one that it would best join; -1 for none. The salt settles ties."""
    best = np.full(size, 1e-300)
    np.maximum.at(best, a, worth)
    np.maximum.at(best, b, worth)
    from_a, from_b = np.flatnonzero(worth == best[a]), np.flatnonzero(worth == best[b])
    node, other = np.concatenate([a[from_a], b[from_b]]), np.concatenate([b[from_a], a[from_b]])
    ticket = (np.concatenate([from_a, from_b]).astype(np.uint64) + salt) * SCATTER
    first = np.full(size, np.iinfo(np.uint64).max)
    np.minimum.at(first, node, ticket)
    drawn = ticket == first[node]
    partner = np.full(size, -1, np.int64)
    partner[node[drawn]] = other[drawn]
    return partner


def _joins(partner: Ints, visits: Floats, mutual: bool) -> Ints:
    """Tell which group each one becomes: the lighter joins the heavier, if that one does not move itself."""
    nodes = np.flatnonzero(partner >= 0)
    target = partner[nodes]
    lighter = (visits[nodes] < visits[target]) | ((visits[nodes] == visits[target]) & (nodes > target))
    if mutual:
        lighter &= partner[target] == nodes
    moves = np.zeros(len(partner), np.bool_)
    moves[nodes[lighter]] = True
    lighter &= ~moves[target]
    step = np.arange(len(partner))
    step[nodes[lighter]] = target[lighter]
    return step


def _without_clashes(step: Ints, visits: Floats, owner: Ints, apart: Ints) -> Ints:
    """Let those joins wait that would bring a group together with one that joins the same target and must stay apart.

    The heaviest goes first.
    """
    here = np.arange(len(step))
    waits = np.zeros(len(step), np.bool_)
    one, other = apart[(step[apart[:, 0]] == step[apart[:, 1]]) & (apart[:, 0] != apart[:, 1])].T
    lighter = (visits[one] < visits[other]) | ((visits[one] == visits[other]) & (one > other))
    waits[np.where(lighter, one, other)] = True
    owned = np.flatnonzero((owner >= 0) & (step != here))
    owned = owned[np.lexsort((owned, -visits[owned]))]
    later = np.ones(len(owned), np.bool_)
    later[np.unique(step[owned], return_index=True)[1]] = False
    waits[owned[later]] = True
    return np.where(waits, here, step)
