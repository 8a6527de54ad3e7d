"""The file people.sqlite: its tables, how it is made and opened, and who may write when.

Actions and their facts are only ever added; triggers refuse anything else. WAL lets readers go on while somebody
writes, and writers wait for each other, so that two processes at once lose nothing.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from indexer.people.facts import PeopleError

FILE_FORMAT = 1
"""Kept in ``PRAGMA user_version``; grows with every change that an older visavis would misread."""
WAIT_SECONDS = 30.0
"""How long a writer waits for the one before it. An action takes milliseconds, a large import seconds."""

_TABLES = """
CREATE TABLE faces (
    face_id  INTEGER PRIMARY KEY,
    photo_id TEXT NOT NULL CHECK (photo_id <> ''),
    x        INTEGER NOT NULL,  -- x, y, w, h: pixels of the upright photo
    y        INTEGER NOT NULL,
    w        INTEGER NOT NULL CHECK (w > 0),
    h        INTEGER NOT NULL CHECK (h > 0)
) STRICT;

CREATE TABLE actions (
    action_id INTEGER PRIMARY KEY,
    at        TEXT NOT NULL,  -- ISO 8601, UTC
    who       TEXT NOT NULL,
    kind      TEXT NOT NULL,
    text      TEXT NOT NULL,  -- for humans
    undoes    INTEGER UNIQUE REFERENCES actions,
    CHECK ((kind = 'undo') = (undoes IS NOT NULL))
) STRICT;

CREATE TABLE created (
    action_id INTEGER NOT NULL REFERENCES actions,
    person_id INTEGER PRIMARY KEY,
    name      TEXT NOT NULL CHECK (name <> '')
) STRICT;

CREATE TABLE renamed (
    action_id INTEGER NOT NULL REFERENCES actions,
    person_id INTEGER NOT NULL REFERENCES created (person_id),
    name      TEXT NOT NULL CHECK (name <> ''),
    PRIMARY KEY (action_id, person_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE merged (
    action_id      INTEGER NOT NULL REFERENCES actions,
    person_id      INTEGER NOT NULL REFERENCES created (person_id),
    into_person_id INTEGER NOT NULL REFERENCES created (person_id),
    PRIMARY KEY (action_id, person_id),
    CHECK (person_id <> into_person_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE assigned (
    action_id INTEGER NOT NULL REFERENCES actions,
    face_id   INTEGER NOT NULL REFERENCES faces,
    person_id INTEGER NOT NULL REFERENCES created (person_id),
    PRIMARY KEY (action_id, face_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE rejected (
    action_id INTEGER NOT NULL REFERENCES actions,
    face_id   INTEGER NOT NULL REFERENCES faces,
    person_id INTEGER NOT NULL REFERENCES created (person_id),
    PRIMARY KEY (action_id, face_id, person_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE ignored (
    action_id INTEGER NOT NULL REFERENCES actions,
    face_id   INTEGER NOT NULL REFERENCES faces,
    PRIMARY KEY (action_id, face_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE same (
    action_id     INTEGER NOT NULL REFERENCES actions,
    face_id       INTEGER NOT NULL REFERENCES faces,
    other_face_id INTEGER NOT NULL REFERENCES faces,
    PRIMARY KEY (action_id, face_id, other_face_id),
    CHECK (face_id < other_face_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE different (
    action_id     INTEGER NOT NULL REFERENCES actions,
    face_id       INTEGER NOT NULL REFERENCES faces,
    other_face_id INTEGER NOT NULL REFERENCES faces,
    PRIMARY KEY (action_id, face_id, other_face_id),
    CHECK (face_id < other_face_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE retracted (  -- neither same nor different is said of the two any more
    action_id     INTEGER NOT NULL REFERENCES actions,
    face_id       INTEGER NOT NULL REFERENCES faces,
    other_face_id INTEGER NOT NULL REFERENCES faces,
    PRIMARY KEY (action_id, face_id, other_face_id),
    CHECK (face_id < other_face_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE reanchored (  -- what was said of one face holds for another from now on
    action_id   INTEGER NOT NULL REFERENCES actions,
    face_id     INTEGER NOT NULL REFERENCES faces,
    new_face_id INTEGER NOT NULL REFERENCES faces,
    PRIMARY KEY (action_id, face_id),
    UNIQUE (action_id, new_face_id),
    CHECK (face_id <> new_face_id)
) STRICT, WITHOUT ROWID;
"""


def open_people_file(path: Path) -> sqlite3.Connection:
    """Open the file, or make it, readable to nobody but its owner.

    Raises:
        PeopleError: if it cannot be made or read, is no people file, or one of a newer visavis.
    """
    try:
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
    except (OSError, sqlite3.OperationalError) as error:
        raise PeopleError(f"{path} cannot be opened ({error}): is its folder an album, and yours?") from error
    try:
        with transaction(connection, path, "DEFERRED"):
            found = _known_format(connection, path)
        if found == 0:
            with transaction(connection, path, "IMMEDIATE"):
                if _format_of(connection) == 0:  # else another process was faster
                    _create_tables(connection)
        with _explained(path):
            _switch_to_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")  # what was said outlasts a power cut
            connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path, mode: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[None]:
    """Read one consistent state (DEFERRED), or write all or nothing with nobody in between (IMMEDIATE).

    Raises:
        PeopleError: if another process keeps writing for ``WAIT_SECONDS``, or SQLite fails.
    """
    with _explained(path):
        connection.execute(f"BEGIN {mode}")
        try:
            yield
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _create_tables(connection: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";\n"):
        connection.execute(statement)
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    for (table,) in tables:
        for change in ("UPDATE", "DELETE"):
            connection.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table}"
                " BEGIN SELECT RAISE(ABORT, 'what was said is never changed: append an action'); END"
            )
    connection.execute(f"PRAGMA user_version = {FILE_FORMAT}")


def _format_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _known_format(connection: sqlite3.Connection, path: Path) -> int:
    found = _format_of(connection)
    if found > FILE_FORMAT:
        raise PeopleError(
            f"{path} is of format {found}, and this visavis knows formats up to {FILE_FORMAT}: a newer visavis wrote"
            " it. Install that one or a later one; the file was not touched"
        )
    if found == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise PeopleError(f"{path} is a database, but not one of visavis: move it away, or choose another album")
    return found


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Try until it is done: where two processes switch at the same moment, SQLite does not wait by itself."""
    give_up_at = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if _kind(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.005)


def _kind(error: sqlite3.DatabaseError) -> int:
    """Give SQLite's primary result code: the low byte of the full one."""
    return error.sqlite_errorcode & 0xFF


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise  # not the file's fault, but a mistake in the code above
    except sqlite3.DatabaseError as error:
        if _kind(error) == sqlite3.SQLITE_BUSY:
            why = f"another process has been writing for {WAIT_SECONDS:.0f} s: let it finish, then try again"
        elif _kind(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            why = "it is no people file, or a damaged one: put back a copy, or move it away to begin anew"
        else:
            why = f"SQLite says: {error}"
        raise PeopleError(f"{path} cannot be used: {why}") from error
