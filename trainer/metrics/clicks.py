"""Clicks-to-clean: how many actions a human needs to make groups of faces into people.

The actions are those of a review page:

- *split*: take two or more faces of one person out of a group, in one action; they become a group.
- *move*: take a single face out of a group into another group, or into a new one.
- *merge*: join two groups that each hold only faces of the same person.

Clean means: one group for each person, and nobody else in it. ``clicks_to_clean`` counts the fewest
actions. They follow from the table of people and groups, cell by cell (a cell: the faces of one person
in one group). A group with a cell of two or more faces stays with the person of its largest cell, and
each other cell of two or more is split off. A person with k such cells, kept or split off, needs k - 1
merges. Each single face is moved home, unless it can *be* the home: its group holds single faces only,
and its person has no larger cell anywhere. A group can be the home of one person and a person needs
one home, so most faces are spared by a maximum matching of such people and groups. Which of equally
large cells stays, or which of several matchings is taken, changes no count.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.metrics.clustering import Contingency, contingency


@dataclass(frozen=True)
class Clicks:
    """Actions that make the groups perfect."""

    merges: int
    splits: int
    moves: int

    @property
    def total(self) -> int:
        """All actions."""
        return self.merges + self.splits + self.moves


def clicks_to_clean(people: ArrayLike, groups: ArrayLike) -> Clicks:
    """Count the fewest merge, split and move actions that turn the groups into the people.

    Args:
        people: int (N,), N >= 1, the true person of each face.
        groups: int (N,), the group of each face; -1: alone, a group of one.
    Raises:
        ValueError: as ``contingency``.
    """
    table = contingency(people, groups)
    large = table.cell_faces >= 2
    large_of_person = np.bincount(table.cell_person[large], minlength=len(table.person_faces))
    groups_with_large = len(np.unique(table.cell_group[large]))
    return Clicks(
        merges=int(np.maximum(large_of_person - 1, 0).sum()),
        splits=int(large.sum()) - groups_with_large,
        moves=int((~large).sum()) - _homes(table, large, large_of_person),
    )


def _homes(table: Contingency, large: NDArray[np.bool_], large_of_person: NDArray[np.int64]) -> int:
    """Count the single faces that may stay: the size of the maximum matching of the module's docstring."""
    singles_only = np.ones(len(table.group_faces), dtype=np.bool_)
    singles_only[table.cell_group[large]] = False
    free = singles_only[table.cell_group] & (large_of_person[table.cell_person] == 0)
    # A group of one face is the best home of its person: nobody else can use it.
    lone = free & (table.group_faces[table.cell_group] == 1)
    settled = np.zeros(len(table.person_faces), dtype=np.bool_)
    settled[table.cell_person[lone]] = True
    rest = free & ~settled[table.cell_person]
    candidates: dict[int, list[int]] = {}
    for group, person in zip(table.cell_group[rest].tolist(), table.cell_person[rest].tolist(), strict=True):
        candidates.setdefault(group, []).append(person)
    return int(settled.sum()) + _maximum_matching(candidates)


def _maximum_matching(candidates: dict[int, list[int]]) -> int:
    """Give each group at most one of its candidates, each candidate to at most one group; count the pairs.

    Breadth-first augmenting paths (Kuhn 1955); groups are tried from the one with fewest candidates on.
    """
    home_of: dict[int, int] = {}
    guest_of: dict[int, int] = {}
    for first in sorted(candidates, key=lambda group: len(candidates[group])):
        reached_from: dict[int, int] = {}  # person: the group from which the search came to that person
        waiting = deque([first])
        person: int | None = None
        while waiting and person is None:
            group = waiting.popleft()
            for candidate in candidates[group]:
                if candidate in reached_from:
                    continue
                reached_from[candidate] = group
                if candidate not in home_of:
                    person = candidate
                    break
                waiting.append(home_of[candidate])
        # Walk back: each person moves into the group from which it was reached, and frees its own for the next.
        while person is not None:
            group = reached_from[person]
            home_of[person] = group
            guest_of[group], person = person, guest_of.get(group)
    return len(home_of)
