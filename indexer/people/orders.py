"""Parts of what actions are called in the log, for humans. Opens no file."""

from indexer.people.facts import Facts, Pair, count

TAKING_BACK = ", and take back "
"""Stands in the text of an action before the facts that it takes back."""
_TOLD = 3  # pairs


def both(pair: Pair) -> str:
    """Name two faces."""
    return f"faces {pair[0]} and {pair[1]}"


def whole(faces: int, of: str | None) -> str:
    """Say how many faces, and of whom where it is known: ``group 3 (9 faces)``."""
    return count(faces, "face") if of is None else f"{of} ({count(faces, 'face')})"


def with_taken_back(order: str, facts: Facts, which: str = "the same person") -> str:
    """Add to an order, for humans, of which pairs of faces it takes back that they are ``which``."""
    if not facts.retracted:
        return order
    pairs = "; ".join(both(pair) for pair in facts.retracted[:_TOLD])
    more = f"; and {len(facts.retracted) - _TOLD} more" if len(facts.retracted) > _TOLD else ""
    return f"{order}{TAKING_BACK}that these are {which}: {pairs}{more}"
