"""The people file is private, and nothing but a people file that this version knows is opened."""

import sqlite3
import stat
import threading

import pytest

from indexer.people import FaceRef, PeopleError, PeopleStore
from indexer.people import schema as people_schema


@pytest.fixture
def path(tmp_path):
    return tmp_path / "people.sqlite"


def test_the_file_is_the_owners_alone_and_in_wal_mode(path):
    with PeopleStore(path) as store:
        store.ignore([FaceRef(1, "p", (0, 0, 9, 9))])
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (people_schema.FILE_FORMAT,)
        assert connection.execute(
            "SELECT min(strict) FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'"
        ).fetchone() == (1,)
        connection.close()
    assert modes == {"people.sqlite": 0o600, "people.sqlite-wal": 0o600, "people.sqlite-shm": 0o600}


def test_a_newer_format_is_refused_and_left_alone(path):
    PeopleStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(PeopleError, match=r"format 7, .* up to 1: .* Install that one or a later one"):
        PeopleStore(path)
    assert path.read_bytes() == before


def test_a_database_of_something_else_is_refused_and_left_alone(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(PeopleError, match="not one of visavis"):
        PeopleStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(path):
    path.write_bytes(b"Dear diary, " * 100)
    with pytest.raises(PeopleError, match="no people file, or a damaged one"):
        PeopleStore(path)


def test_a_damaged_page_is_an_error_with_a_remedy_not_a_wrong_answer(path):
    with PeopleStore(path) as store:
        store.assign([FaceRef(n, "p", (n, 0, 9, 9)) for n in range(1, 2000)], "Ann", add_to_existing=False)
    content = bytearray(path.read_bytes())
    content[4096 * 3 :] = b"\xff" * (len(content) - 4096 * 3)
    path.write_bytes(content)
    with pytest.raises(PeopleError, match="damaged one: put back a copy"), PeopleStore(path) as store:
        store.state()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(PeopleError, match="nowhere"):
        PeopleStore(tmp_path / "nowhere" / "people.sqlite")


def test_a_writer_that_never_ends_is_reported(path, monkeypatch):
    monkeypatch.setattr(people_schema, "WAIT_SECONDS", 0.1)
    with PeopleStore(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(PeopleError, match="another process has been writing"):
            store.ignore([FaceRef(1, "p", (0, 0, 9, 9))])
        assert store.state().ignored == frozenset(), "reading goes on"
        other.execute("ROLLBACK")
        other.close()
        store.ignore([FaceRef(1, "p", (0, 0, 9, 9))])
        assert store.state().ignored == {1}


def test_opening_waits_for_one_who_writes_before_the_file_is_in_wal_mode(path):
    """So it is when two processes make the file: SQLite gives up at once on the switch, and does not wait."""
    PeopleStore(path).close()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    assert other.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, other.execute, ["ROLLBACK"])
    timer.start()
    with PeopleStore(path) as store:
        assert store.history() == []
    timer.join()
    other.close()
    reader = sqlite3.connect(path)
    assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    reader.close()
