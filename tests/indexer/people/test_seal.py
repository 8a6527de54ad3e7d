"""What humans said is compared with a checksum that follows it, and that a kill does not break."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from indexer.people import FaceRef, PeopleStore
from indexer.people.log import FACT_TABLES
from indexer.people.seal import check_people_seal, read_seal, seal_file

FACES = [FaceRef(number, f"{number:032x}", (number, 1, 2, 3)) for number in range(1, 9)]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    path = tmp_path / "people.sqlite"
    with PeopleStore(path, who="me") as store:
        store.assign(FACES[:2], "Ann Lee", add_to_existing=False)
        store.same(FACES[2], FACES[3])
    return path


def problems(people: Path) -> list[str]:
    return list(check_people_seal(people, FACT_TABLES))


def test_what_was_said_has_its_seal(people: Path):
    seal = read_seal(people)
    assert seal is not None and seal.actions == 2 and seal.file_sha256 is not None
    assert problems(people) == []
    with PeopleStore(people) as store:
        store.state()
    assert read_seal(people) == seal, "who says nothing leaves it"


def test_one_close_or_many_give_the_same_digest(tmp_path: Path):
    seals = []
    for closes in (1, 3):
        path = tmp_path / f"{closes}.sqlite"
        for part in ([0, 1, 2],) if closes == 1 else ([0], [1], [2]):
            with PeopleStore(path, who="me", clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)) as store:
                for number in part:
                    store.different(FACES[0], FACES[1 + number])
        seals.append(read_seal(path))
    assert seals[0] is not None and seals[1] is not None
    assert (seals[0].actions, seals[0].digest) == (3, seals[1].digest)


def test_what_a_killed_process_said_last_is_no_fault(people: Path):
    """Its seal is of before; the next one who says something covers it."""
    former = seal_file(people).read_bytes()
    with PeopleStore(people) as store:
        store.ignore([FACES[5]])
    seal_file(people).write_bytes(former)
    assert problems(people) == []
    with PeopleStore(people) as store:
        store.ignore([FACES[6]])
    seal = read_seal(people)
    assert seal is not None and seal.actions == 4 and problems(people) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE created SET name = 'Ann Leb'",
        "UPDATE assigned SET face_id = 3 WHERE face_id = 2",
        "UPDATE faces SET x = 7 WHERE face_id = 4",
        "UPDATE actions SET who = 'you' WHERE action_id = 1",
        "DELETE FROM same",
        "DELETE FROM actions WHERE action_id = 2",
    ],
)
def test_what_was_altered_is_told(people: Path, change: str):
    """Also after more was said, when the digest of the file says nothing any more."""
    connection = sqlite3.connect(people, isolation_level=None)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(change)
    connection.execute("INSERT INTO actions (at, who, kind, text) VALUES ('2026-01-01', 'me', 'name', 'x')")
    connection.close()
    assert [problem for problem in problems(people) if "is not what was written" in problem] != []


def test_a_damaged_seal_is_told(people: Path):
    path = seal_file(people)
    content = bytearray(path.read_bytes())
    for place in range(len(content)):
        content[place] ^= 1
        path.write_bytes(content)
        assert len(problems(people)) == 1
        content[place] ^= 1
    path.unlink()
    assert problems(people) == [], "albums of before have none"
    with pytest.raises(ValueError, match="is damaged"):
        path.write_bytes(b"{}")
        read_seal(people)
    with PeopleStore(people) as store:
        store.ignore([FACES[7]])
    assert path.read_bytes() == b"{}", "a damaged seal is left for `verify` to tell"
