"""What humans said about faces: an append-only store of facts, in the album's `people.sqlite`."""

from indexer.people.anchors import FaceRef
from indexer.people.answers import Answer
from indexer.people.facts import Conflict, NameTaken, NoSuchPerson, PeopleError, PeopleState, clean_name, name_key
from indexer.people.log import Action
from indexer.people.store import PeopleStore

__all__ = [
    "Action",
    "Answer",
    "Conflict",
    "FaceRef",
    "NameTaken",
    "NoSuchPerson",
    "PeopleError",
    "PeopleState",
    "PeopleStore",
    "clean_name",
    "name_key",
]
