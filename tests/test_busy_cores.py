"""The steady state lies between two lines of progress, and a process's time includes that of its children."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from benchmarks.busy_cores import measure, repeat, steady_state, tree_seconds


def test_the_steady_state_is_what_lies_between() -> None:
    found = steady_state([(10.0, 64, 30.0), (12.0, 100, 33.0), (18.0, 224, 44.0)], cores=2)
    assert found == {"photos_in_steady_state": 160, "photos_per_second": 20.0, "cores": 2, "busy": 0.875}


@pytest.mark.parametrize("seen", [[], [(1.0, 3, 2.0)], [(1.0, 3, 2.0), (1.0, 3, 2.0)]])
def test_without_two_lines_there_is_none(seen: list[tuple[float, int, float]]) -> None:
    with pytest.raises(ValueError, match="too few photos"):
        steady_state(seen, cores=2)


def test_a_photo_that_is_repeated_is_another_photo(tmp_path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    contents = [path.read_bytes() for path in repeat([tmp_path / "a.jpg"], 3, tmp_path / "out").iterdir()]
    assert len(set(contents)) == 3 and all(content.startswith(b"x") for content in contents)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_time_of_children_counts() -> None:
    work = "import time\nwhile time.process_time() < .3: pass\ntime.sleep(60)"
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {work!r}]); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while tree_seconds(process.pid) < 0.3:
            assert time.monotonic() < deadline, "the child's time is not seen"
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def test_a_run_that_fails_is_told(tmp_path) -> None:
    with pytest.raises(SystemExit, match="ended with"):
        measure(tmp_path / "nothing", tmp_path / "album", ["--no-such-option"])
