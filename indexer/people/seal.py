"""A checksum of what humans said, beside people.sqlite: SQLite has none of its own, and would believe a flipped bit.

    people.sqlite.sha256    JSON: how many actions, a digest of them and their facts, one of the file, one of itself

Actions are only ever added, so that the digest of the first ones holds for good; it is a chain, and is carried on when
a process that said something closes the file. If that process is killed, what it said last is not covered until the
next one closes it.
"""

import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_FACE_COLUMNS = ("face_id", "other_face_id", "new_face_id")


@dataclass(frozen=True)
class Seal:
    """What is known of a people file.

    Attributes:
        actions: the last action_id that the digest covers.
        digest: of the actions up to it, with their facts and faces.
        file_sha256: of the whole file when it was closed; None if another process had it open.
    """

    actions: int = 0
    digest: str = ""
    file_sha256: str | None = None


def read_seal(people: Path) -> Seal | None:
    """Read the seal of a people file; None if there is none.

    Raises:
        ValueError: if it is not what was written.
    """
    try:
        body = seal_file(people).read_bytes()
    except FileNotFoundError:
        return None
    try:
        content = json.loads(body)
        content.pop("own_sha256")
        seal = Seal(**content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{seal_file(people)} is damaged") from error
    if seal_bytes(seal) != body:
        raise ValueError(f"{seal_file(people)} is damaged")
    return seal


def seal_bytes(seal: Seal) -> bytes:
    """Give the content of a seal's file."""
    own = hashlib.sha256(json.dumps(asdict(seal), sort_keys=True).encode()).hexdigest()
    return (json.dumps({**asdict(seal), "own_sha256": own}) + "\n").encode()


def carried_on(seal: Seal, connection: sqlite3.Connection, tables: Mapping[str, tuple[str, ...]]) -> Seal:
    """Cover the actions that came since.

    Args:
        seal: of the former ones.
        connection: to the people file.
        tables: fact table → its columns after action_id.
    """
    last = last_action(connection)
    return Seal(last, digest_of(connection, tables, after=seal.actions, last=last, digest=seal.digest))


def last_action(connection: sqlite3.Connection) -> int:
    """Give the last action_id, 0 if nothing was said yet."""
    return int(connection.execute("SELECT coalesce(max(action_id), 0) FROM actions").fetchone()[0])


def digest_of(
    connection: sqlite3.Connection, tables: Mapping[str, tuple[str, ...]], *, after: int, last: int, digest: str
) -> str:
    """Carry the digest of the actions up to ``after`` on to those up to ``last``."""
    lines_of: defaultdict[int, list[str]] = defaultdict(list)
    for action, line in _lines(connection, tables, after, last):
        lines_of[action].append(line)
    for action in sorted(lines_of):
        digest = hashlib.sha256("\n".join([digest, *lines_of[action]]).encode()).hexdigest()
    return digest


def closed_file(people: Path, seal: Seal) -> Seal:
    """Add the digest of the whole file, if no other process has it open."""
    if _has_wal(people):
        return seal
    return Seal(seal.actions, seal.digest, _sha256(people))


def check_people_seal(people: Path, tables: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Compare a people file with its seal: what is wrong, a sentence each.

    Raises:
        sqlite3.DatabaseError: if the file cannot be read.
    """
    try:
        seal = read_seal(people)
    except ValueError as error:
        yield f"{error}: what was said is compared with it. Put back a copy of both files"
        return
    if seal is None:
        return
    whole = None if _has_wal(people) else _sha256(people)
    connection = sqlite3.connect(f"file:{people}?mode=ro", uri=True)
    try:
        last = last_action(connection)
        digest = digest_of(connection, tables, after=0, last=seal.actions, digest="")
    finally:
        connection.close()
    closed = last == seal.actions and whole is not None and seal.file_sha256 is not None
    if digest != seal.digest or (closed and whole != seal.file_sha256):
        yield f"{people} is not what was written: its SHA-256 is another. Put back a copy"


def _lines(
    connection: sqlite3.Connection, tables: Mapping[str, tuple[str, ...]], after: int, last: int
) -> Iterator[tuple[int, str]]:
    """Yield (action_id, what to digest), in an order that does not depend on how the file stores it."""
    between = "action_id > ? AND action_id <= ?"
    for row in connection.execute(f"SELECT * FROM actions WHERE {between} ORDER BY action_id", (after, last)):
        yield row[0], json.dumps(["actions", *row])
    for table, columns in tables.items():
        names = ", ".join(columns)
        query = f"SELECT action_id, {names} FROM {table} WHERE {between} ORDER BY action_id, {names}"
        for row in connection.execute(query, (after, last)):
            yield row[0], json.dumps([table, *row])
        for column in (name for name in columns if name in _FACE_COLUMNS):
            query = (
                f"SELECT action_id, faces.* FROM {table} JOIN faces ON faces.face_id = {table}.{column}"
                f" WHERE {between} ORDER BY action_id, faces.face_id"
            )
            for row in connection.execute(query, (after, last)):
                yield row[0], json.dumps(["faces", *row])


def seal_file(people: Path) -> Path:
    """Where the seal of a people file lies."""
    return people.with_name(people.name + ".sha256")


def _has_wal(people: Path) -> bool:
    """Whether a part of what was said may stand in SQLite's second file; a reader leaves an empty one."""
    wal = people.with_name(people.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
