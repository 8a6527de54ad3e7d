"""The log of what humans said: actions appended to people.sqlite with their facts, and the state that follows.

What the facts mean is for the replay, and which may be said is for the store.
"""

import getpass
import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from indexer.album import write_whole
from indexer.people.anchors import FaceRef
from indexer.people.facts import Facts, PeopleError
from indexer.people.refusals import contradicted
from indexer.people.replay import Replay
from indexer.people.schema import open_people_file, transaction
from indexer.people.seal import Seal, carried_on, closed_file, read_seal, seal_bytes, seal_file

FACT_TABLES = {
    "created": ("person_id", "name"),
    "renamed": ("person_id", "name"),
    "merged": ("person_id", "into_person_id"),
    "assigned": ("face_id", "person_id"),
    "rejected": ("face_id", "person_id"),
    "ignored": ("face_id",),
    "same": ("face_id", "other_face_id"),
    "different": ("face_id", "other_face_id"),
    "retracted": ("face_id", "other_face_id"),
    "reanchored": ("face_id", "new_face_id"),
}
"""Fact table -> its columns after action_id, in the order that the rows have in ``Facts``."""


@dataclass(frozen=True)
class Action:
    """One thing that a human did."""

    action_id: int
    at: str
    """ISO 8601, UTC"""
    who: str
    kind: str
    text: str
    """What was done, for humans, as an order: ``name 3 faces "Ann Lee"``."""
    undone: bool = False
    undoes: int | None = None
    """The action_id that an undo took back."""


class PeopleLog:
    """An open people file, and the state as far as it was replayed.

    All but ``close`` is done inside ``reading`` or ``writing``.
    """

    def __init__(self, path: Path, *, who: str | None, clock: Callable[[], datetime]) -> None:
        self._connection = open_people_file(path)
        self._path = path
        self._who = _login_name() if who is None else who
        self._clock = clock
        self._wrote = False
        self._forget_replay()

    def close(self) -> None:
        """Close the file; if something was said, bring its seal up to date."""
        seal = self._new_seal() if self._wrote else None
        self._connection.close()
        if seal is not None:
            with suppress(
                OSError
            ):  # on a full disk what was said is there, and the former seal still holds for its part
                write_whole(seal_file(self._path), seal_bytes(closed_file(self._path, seal)))

    def _new_seal(self) -> Seal | None:
        """Cover what was said; None where the seal is damaged, which is for `visavis verify` to tell."""
        try:
            return carried_on(read_seal(self._path) or Seal(), self._connection, FACT_TABLES)
        except (ValueError, sqlite3.DatabaseError):
            return None

    @contextmanager
    def reading(self) -> Iterator[Replay]:
        """Give the state as it is now, and keep it from changing."""
        with transaction(self._connection, self._path, "DEFERRED"):
            yield self._caught_up()

    @contextmanager
    def writing(self) -> Iterator[Replay]:
        """Give the state as it is now, and keep others from changing it; an exception takes back what was written."""
        written = False
        try:
            with transaction(self._connection, self._path, "IMMEDIATE"):
                yield self._caught_up()
            written = True
        finally:
            if not written:
                self._forget_replay()  # it may hold facts that the file does not

    def append(
        self, kind: str, order: str, facts: Facts, refs: Mapping[int, FaceRef], *, undoes: int | None = None
    ) -> Action:
        """Write an action with its facts, and replay it.

        Args:
            kind: one word.
            order: what is done, for humans: ``name 3 faces "Ann Lee"``.
            facts: none of them standing already.
            refs: face_id -> place, for the faces of ``facts`` at least.
            undoes: the action_id that an undo takes back.
        Raises:
            Conflict: if the facts contradict each other or what holds.
            PeopleError: if a face is known with another photo or box, or was re-anchored to another.
        """
        replay, touched = self._replay, facts.faces()
        for face in touched:
            if (now := replay.face_now(face)) != face and not facts.reanchored:
                raise PeopleError(f"face {face} is face {now} since the photos were looked at anew: list them again")
        replay.apply(facts)
        if against := replay.contradiction(touched.union(*(replay.faces_of[into] for _, into in facts.merged))):
            self._forget_replay()
            raise contradicted(order, against, facts, self._caught_up())
        self._write_faces({face: refs[face] for face in touched})
        at = self._clock().astimezone(UTC).isoformat(timespec="seconds")
        cursor = self._connection.execute(
            "INSERT INTO actions (at, who, kind, text, undoes) VALUES (?, ?, ?, ?, ?)",
            (at, self._who, kind, order, undoes),
        )
        assert cursor.lastrowid is not None, "an INSERT gives its row a number"
        self._write_facts(cursor.lastrowid, facts)
        self._wrote = True
        if undoes is None:  # an undo is left to the next catching up, which starts anew for it
            self._replayed = cursor.lastrowid
        return Action(cursor.lastrowid, at, self._who, kind, order, undoes=undoes)

    def actions(self, limit: int | None) -> list[Action]:
        """Read the latest actions, latest first; all of them if ``limit`` is None."""
        rows = self._connection.execute(
            "SELECT action_id, at, who, kind, text, action_id IN (SELECT undoes FROM actions), undoes FROM actions"
            " ORDER BY action_id DESC LIMIT ?",
            (-1 if limit is None else limit,),
        )
        return [
            Action(number, at, by, kind, text, bool(undone), undoes)
            for number, at, by, kind, text, undone, undoes in rows
        ]

    def last_word(self) -> Action | None:
        """Find the latest action of a human that is not undone."""
        row = self._connection.execute(
            "SELECT action_id, at, who, kind, text FROM actions WHERE kind NOT IN ('undo', 'reanchor')"
            " AND action_id NOT IN (SELECT undoes FROM actions WHERE undoes IS NOT NULL)"
            " ORDER BY action_id DESC LIMIT 1"
        ).fetchone()
        return None if row is None else Action(*row)

    def faces(self, face_ids: Iterable[int] | None = None) -> dict[int, FaceRef]:
        """Read the faces ever spoken of: those of the given ids, all if None."""
        query = "SELECT face_id, photo_id, x, y, w, h FROM faces"
        if face_ids is None:
            rows = self._connection.execute(query)
        else:
            wanted = json.dumps(list(face_ids))
            rows = self._connection.execute(f"{query} WHERE face_id IN (SELECT value FROM json_each(?))", (wanted,))
        return {row[0]: FaceRef(row[0], row[1], row[2:]) for row in rows}

    def current_faces(self) -> dict[int, FaceRef]:
        """Read the faces ever spoken of, but for those whose facts were carried over to another."""
        return {face: ref for face, ref in self.faces().items() if self._replay.face_now(face) == face}

    def next_person(self) -> int:
        """Find a person_id that was never given."""
        return int(self._connection.execute("SELECT coalesce(max(person_id), 0) + 1 FROM created").fetchone()[0])

    def _write_faces(self, refs: Mapping[int, FaceRef]) -> None:
        known = self.faces(refs)
        for face_id, face in known.items():
            if refs[face_id] != face:
                raise PeopleError(
                    f"face {face_id} is known as {face}, but now stands for {refs[face_id]}. An id stands for one"
                    " place: these faces come from an album that numbers them in another way"
                )
        new = (refs[face] for face in sorted(refs.keys() - known.keys()))  # in order: a third of the time
        rows = ((face.face_id, face.photo_id, *face.box) for face in new)
        self._connection.executemany("INSERT INTO faces VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _write_facts(self, action_id: int, facts: Facts) -> None:
        for table, columns in FACT_TABLES.items():
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            rows = ((action_id, *row) for row in sorted(getattr(facts, table)))
            self._connection.executemany(f"INSERT INTO {table} (action_id, {names}) VALUES (?, {marks})", rows)

    def _forget_replay(self) -> None:
        self._replay, self._replayed = Replay(), 0

    def _caught_up(self) -> Replay:
        """Replay what was written since the last time; all from the start if something was undone."""
        last, undone = self._connection.execute(
            "SELECT max(action_id), count(undoes) FROM actions WHERE action_id > ?", (self._replayed,)
        ).fetchone()
        if undone:
            self._forget_replay()
        if last is not None:
            for facts in self._facts(after=self._replayed):
                self._replay.apply(facts)
            self._replayed = last
        return self._replay

    def _facts(self, *, after: int) -> Iterator[Facts]:
        """Read the facts of each later action that is not undone, earliest first."""
        rows_of: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        for table, columns in FACT_TABLES.items():
            rows = self._connection.execute(
                f"SELECT action_id, {', '.join(columns)} FROM {table} WHERE action_id > ? ORDER BY action_id", (after,)
            )
            for action_id, group in groupby(rows, key=itemgetter(0)):
                rows_of[action_id][table] = tuple(row[1:] for row in group)
        live = self._connection.execute(
            "SELECT action_id FROM actions WHERE action_id > ? AND kind <> 'undo'"
            " AND action_id NOT IN (SELECT undoes FROM actions WHERE undoes IS NOT NULL) ORDER BY action_id",
            (after,),
        )
        for (action_id,) in live:
            yield Facts(**rows_of[action_id])


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, ImportError, OSError):  # an account without an entry, as in some containers
        return f"user {os.getuid()}"
