"""Turn what is known for certain about faces into units that stay whole and pairs that stay apart. Opens no file."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Facts:
    """What is known for certain about N faces.

    Args:
        photo: int64 (N,), faces of one number stand in one photo: different people, unless a fact says that they are
            the same; -1 stands in no photo with others.
        same: int64 (M, 2), rows of faces that show one person.
        different: int64 (C, 2), rows of faces that show two.
        person: int64 (N,), the named person; -1 has no name. All faces of a person belong together.
    """

    photo: Ints
    same: Ints
    different: Ints
    person: Ints


@dataclass(frozen=True)
class Units:
    """Faces that belong together for certain, joined to units.

    Args:
        unit: int64 (N,), the unit of each face, 0..U-1.
        owner: int64 (U,), the named person of each unit; -1 has no name.
        apart: int64 (C, 2), units that are different people by a fact. Those of one photo come from ``photo_pairs``.
    """

    unit: Ints
    owner: Ints
    apart: Ints


def no_facts(faces: int) -> Facts:
    """Know nothing about N faces."""
    nobody, no_pairs = np.full(faces, -1, np.int64), np.empty((0, 2), np.int64)
    return Facts(nobody, no_pairs, no_pairs, nobody)


def _check_facts(facts: Facts, faces: int) -> None:
    """Refuse facts whose arrays have another shape, or whose pairs name a row that is not there."""
    for name, column in (("photo", facts.photo), ("person", facts.person)):
        if column.shape != (faces,):
            raise ValueError(f"{name} has the shape {column.shape}, not one number for each of {faces} faces")
    for name, pairs in (("same", facts.same), ("different", facts.different)):
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"{name} has the shape {pairs.shape}, not (pairs, 2)")
        if ((pairs < 0) | (pairs >= faces)).any():
            first, second = pairs[((pairs < 0) | (pairs >= faces)).any(1)][0]
            raise ValueError(f"{name} joins faces {first} and {second}, but there are {faces} faces")


def join_units(facts: Facts, faces: int) -> Units:
    """Join the faces that belong together, and check that nothing contradicts it.

    Returns:
        Units numbered by their first face.
    Raises:
        ValueError: if the facts are not about this many faces; or naming two rows that are one person by some facts and
            two by others.
    """
    _check_facts(facts, faces)
    named = np.flatnonzero(facts.person >= 0)
    named = named[np.argsort(facts.person[named], kind="stable")]
    follows = np.flatnonzero(facts.person[named[1:]] == facts.person[named[:-1]])
    one = np.concatenate([facts.same[:, 0], named[follows]])
    other = np.concatenate([facts.same[:, 1], named[follows + 1]])
    links = sparse.coo_array((np.ones(len(one), bool), (one, other)), shape=(faces, faces))
    unit = connected_components(links, directed=False)[1].astype(np.int64) if faces else np.empty(0, np.int64)
    units = int(unit.max(initial=-1)) + 1
    owner = np.full(units, -1, np.int64)
    np.maximum.at(owner, unit, facts.person)
    clash = np.flatnonzero((facts.person >= 0) & (facts.person != owner[unit]))
    if len(clash):
        row = clash[0]
        partner = np.flatnonzero((unit == unit[row]) & (facts.person == owner[unit[row]]))[0]
        raise ValueError(
            f"faces {row} and {partner} are the persons {facts.person[row]} and {facts.person[partner]}, "
            "but facts say that they are the same"
        )
    apart = unit[facts.different]
    clash = np.flatnonzero(apart[:, 0] == apart[:, 1])
    if len(clash):
        first, second = facts.different[clash[0]]
        raise ValueError(f"faces {first} and {second} are different by one fact, but the same by a name or other facts")
    return Units(unit, owner, apart)


def photo_pairs(photo: Ints, unit: Ints, region: Ints) -> Ints:
    """List the pairs of units that stand in one photo, and so show two people.

    Args:
        photo: int64 (N,), see ``Facts``.
        unit: int64 (N,), see ``Units``.
        region: int64 (U,): only units of the same region can meet; pairs of others are left out. A photo of a crowd
            has thousands of pairs, and few of them are alike.
    Returns:
        int64 (C, 2), units, in each row two different ones; a pair may come twice.
    """
    rows = np.flatnonzero(photo >= 0)
    rows = rows[np.lexsort((unit[rows], region[unit[rows]], photo[rows]))]
    place = np.stack([photo[rows], region[unit[rows]]])
    starts = np.flatnonzero((np.diff(place, prepend=-1) != 0).any(0))
    sizes = np.diff(starts, append=len(rows))
    pairs = [np.empty((0, 2), np.int64)]
    for size in np.unique(sizes[sizes > 1]):
        members = unit[rows[starts[sizes == size][:, None] + np.arange(size)]]
        one, other = np.triu_indices(int(size), 1)
        pairs.append(np.stack([members[:, one].ravel(), members[:, other].ravel()], axis=1))
    found = np.concatenate(pairs)
    result: Ints = found[found[:, 0] != found[:, 1]]
    return result
