"""What a clustering changed against the one before. Arrays in, records out; opens no file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Changes:
    """What became of the groups. A former group that is still there with the same faces is not mentioned.

    Attributes:
        new: numbers of groups of which no face was in a group before.
        grown: number → faces that joined a group that was there, and came from no other group.
        shrunk: number → faces that left a group that is still there, and went into no other group.
        merged: number → the former groups, ascending, of which the greater part of the faces is now in this group too.
        split: former number → the groups, ascending, in which two or more of its faces are now; or one face where that
            is half of the former group.
        named: former groups, gone because most of their faces have a name now or are proposed for one.
        dissolved: former groups of which most faces now stand alone, are ignored, or are no longer there.
    """

    new: tuple[int, ...]
    grown: dict[int, int]
    shrunk: dict[int, int]
    merged: dict[int, tuple[int, ...]]
    split: dict[int, tuple[int, ...]]
    named: tuple[int, ...]
    dissolved: tuple[int, ...]


def changes(former: Ints, now: Ints, known: npt.NDArray[np.bool_]) -> Changes:
    """Compare two groupings of the same N faces.

    Args:
        former: (N,) the group of each face before; 0 for none, and for faces that were not there yet.
        now: (N,) the group now, under numbers that were kept (``indexer.grouping.groups.keep_numbers``); 0 for none.
        known: (N,) faces that have a name now, or for whom one is proposed.
    """
    table, shared = np.unique(np.stack([former, now]), axis=1, return_counts=True)
    went: dict[int, dict[int, int]] = {}
    for before, after, faces in zip(*table.tolist(), shared.tolist(), strict=True):
        went.setdefault(before, {})[after] = faces
    came = went.pop(0, {})
    there = set(now[now > 0].tolist())
    heirs = {before: _heir(parts) for before, parts in went.items()}
    merged: dict[int, list[int]] = {}
    for before, heir in heirs.items():
        if heir and heir != before:
            merged.setdefault(heir, []).append(before)
    gone = [before for before, heir in heirs.items() if not heir]
    known_of = np.bincount(former[known], minlength=int(former.max(initial=0)) + 1)
    named = {before for before in gone if 2 * int(known_of[before]) > sum(went[before].values())}
    parents = {after for parts in went.values() for after in parts}
    return Changes(
        new=tuple(sorted(there - parents)),
        grown={after: faces for after, faces in sorted(came.items()) if after in parents - {0}},
        shrunk={b: parts[0] for b, parts in sorted(went.items()) if parts.get(0) and heirs[b]},
        merged={heir: tuple(sorted(parts)) for heir, parts in sorted(merged.items())},
        split={b: split for b, parts in sorted(went.items()) if len(split := _parts(parts)) > 1},
        named=tuple(sorted(named)),
        dissolved=tuple(sorted(set(gone) - named)),
    )


def _heir(parts: dict[int, int]) -> int:
    """Say in which group most faces of a former group are now: the largest part, then the lowest number; 0 for none."""
    return max(parts, key=lambda after: (parts[after], -after))


def _parts(parts: dict[int, int]) -> tuple[int, ...]:
    half = sum(parts.values()) / 2
    return tuple(sorted(after for after, faces in parts.items() if after and (faces > 1 or faces >= half)))
