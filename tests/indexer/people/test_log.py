"""Many may write to one people file, and what is written stays as it is."""

import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import indexer.people
from indexer.people import FaceRef, PeopleStore

ACTIONS_EACH = 40
WRITER = """
import sys
from pathlib import Path
from indexer.people import FaceRef, PeopleStore

number = int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
with PeopleStore(Path(sys.argv[1]), who=f"writer {number}") as store:
    for turn in range(int(sys.argv[3])):
        face = FaceRef(1 + number + 10 * turn, "p", (turn, number, 9, 9))
        store.assign([face], f"Person {turn % 5}", add_to_existing=True, kind="enroll")
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    """They make the file together, too, and meet at the same five names."""
    path = tmp_path / "people.sqlite"
    root = Path(indexer.people.__file__).parents[1]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, str(number), str(ACTIONS_EACH)],
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    with PeopleStore(path) as store:
        state = store.state()
        by = [action.who for action in store.history()]
    assert {who: by.count(who) for who in by} == {f"writer {number}": ACTIONS_EACH for number in range(3)}
    assert sorted(state.persons.values()) == [f"Person {number}" for number in range(5)]
    for turn in range(ACTIONS_EACH):
        for number in range(3):
            assert state.persons[state.person_of[1 + number + 10 * turn]] == f"Person {turn % 5}"


def test_those_who_make_the_file_at_the_same_moment_make_one(tmp_path):
    """SQLite waits for locks, but not for one who switches to WAL at the same time."""
    files = [tmp_path / f"{number}.sqlite" for number in range(25)]
    start = threading.Barrier(4)

    def write(number):
        for file in files:
            start.wait(30)
            with PeopleStore(file) as store:
                store.ignore([FaceRef(1 + number, "p", (0, 0, 9, 9))])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    for file in files:
        with PeopleStore(file) as store:
            assert store.state().ignored == {1, 2, 3, 4}


def test_an_open_store_sees_what_another_one_says_and_takes_back(tmp_path):
    face = FaceRef(1, "p", (0, 0, 9, 9))
    path = tmp_path / "people.sqlite"
    with PeopleStore(path) as reader, PeopleStore(path) as writer:
        nothing = reader.state()
        writer.assign([face], "Ann", add_to_existing=False)
        assert reader.state().person_of == {1: 1}
        writer.undo()
        assert reader.state() == nothing
        writer.assign([face], "Ann", add_to_existing=False)
        reader.rename(2, "Bob")
        assert writer.state() == reader.state()
        assert writer.state().persons == {2: "Bob"}


def test_200_000_faces_are_read_in_a_moment(tmp_path):
    faces = [FaceRef(number + 1, f"{number // 4:032x}", (number % 4 * 99, 0, 90, 90)) for number in range(200_000)]
    path = tmp_path / "people.sqlite"
    with PeopleStore(path) as store:
        store.assign(faces, "Everybody", add_to_existing=False)
    with PeopleStore(path) as store:
        start = time.process_time()
        state = store.state()
        seconds = time.process_time() - start
    assert len(state.person_of) == 200_000
    assert seconds < 2, "a query for each face takes longer than that; measured: .2 s"


@pytest.mark.parametrize("change", ["DELETE FROM assigned", "UPDATE actions SET who = 'nobody'", "DELETE FROM faces"])
def test_what_was_said_cannot_be_changed_in_the_file(tmp_path, change):
    path = tmp_path / "people.sqlite"
    with PeopleStore(path) as store:
        store.assign([FaceRef(1, "p", (0, 0, 9, 9))], "Ann", add_to_existing=False)
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        connection.execute(change)
    connection.close()
