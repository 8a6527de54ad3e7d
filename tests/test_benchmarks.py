"""The frame of the benchmarks measures what it says, and the document keeps what was written by hand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.frame import BenchmarkError, Comparison, Contender, compare, pairwise_ratio
from benchmarks.inputs import large_photos, wider_photos
from benchmarks.report import as_markdown, replace_section, significant, table
from benchmarks.run import BENCHMARKS, DOCUMENT
from benchmarks.script import as_json

ROOT = Path(__file__).parent.parent

CONTENDERS = """
import os, sys
from benchmarks.contender import Job

def work(folder, steps, units="1"):
    "Add numbers up, and say much on both outputs meanwhile."
    def run():
        print("noise on the standard output")
        print("x" * 100_000, file=sys.stderr)
        return sum(i * i for i in range(int(steps.split()[0]))), len((folder / "input.txt").read_text())
    units = float(steps.split()[1]) if " " in steps else 1.0
    threads = int(os.environ["OMP_NUM_THREADS"])
    return Job(run, units, judge=lambda result: {"length": result[1], "threads": threads})

def hungry(folder):
    return Job(lambda: len(bytearray(150_000_000)), 1, warm_up=lambda: None)

def modest(folder):
    return Job(lambda: None, 1)

def absent(folder):
    import no_such_package

def broken(folder):
    def run():
        raise RuntimeError("the disk is full of bees")
    return Job(run, 1, warm_up=lambda: None)
"""


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A folder of inputs, with the module of contenders where their processes can import it."""
    (tmp_path / "trivial.py").write_text(CONTENDERS)
    (tmp_path / "input.txt").write_text("four")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def contender(name, function, argument=None):
    return Contender(name, f"trivial:{function}", "visavis", argument=argument)


def test_ratio_is_that_of_the_work(inputs):
    """Six times the work takes about six times as long; for a third of the units, eighteen times as long a unit."""
    contenders = (
        contender("peer", "work", "600000"),
        contender("visavis", "work", "100000"),
        contender("visavis, more units", "work", "100000 3"),
    )
    outcome = compare(Comparison("sums", "sum", contenders), inputs, repetitions=3)
    peer, ours, more = outcome.measured
    assert ours.ratio == 1
    assert 4 < peer.ratio < 9
    assert 0.2 < more.ratio < 0.5
    assert peer.figures == {"length": 4, "threads": 1}
    assert peer.versions["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert [len(m.cpu_seconds) for m in outcome.measured] == [3, 3, 3]
    assert min(peer.cpu_seconds) > max(ours.cpu_seconds) > 0


def test_memory_is_that_of_the_contender(inputs):
    contenders = (contender("peer", "hungry"), contender("visavis", "modest"))
    hungry, modest = compare(Comparison("memory", "run", contenders), inputs).measured
    assert 140e6 < hungry.peak_rss_bytes - modest.peak_rss_bytes < 200e6
    assert modest.peak_rss_bytes < 60e6  # not what the process that started it holds


def test_who_cannot_take_part_is_left_out(inputs):
    contenders = (contender("peer", "modest"), contender("other peer", "absent"), contender("visavis", "modest"))
    outcome = compare(Comparison("nothing", "run", contenders), inputs)
    assert [m.name for m in outcome.measured] == ["peer", "visavis"]
    assert outcome.left_out == ["other peer: No module named 'no_such_package'"]


def test_failures_say_who_and_why(inputs):
    broken = Comparison("trouble", "run", (contender("peer", "broken"), contender("visavis", "modest")))
    with pytest.raises(BenchmarkError, match=r"peer \(trivial:broken\) failed: RuntimeError: the disk is full of bees"):
        compare(broken, inputs)
    alone = Comparison("alone", "run", (contender("peer", "absent"), contender("visavis", "modest")))
    with pytest.raises(BenchmarkError, match="alone: nothing to compare"):
        compare(alone, inputs)
    with pytest.raises(ValueError, match="at least 3 repetitions, not 2"):
        compare(alone, inputs, repetitions=2)


def test_ratios_are_taken_round_by_round():
    """A round in which the machine was three times as slow for both changes nothing."""
    assert pairwise_ratio([2.0, 6.0, 2.2], [1.0, 3.0, 1.0]) == 2.0


def test_replacing_a_section_keeps_the_rest():
    sections = "<!-- a: generated -->\nold\n<!-- a: end -->\nmore\n<!-- b: generated -->\nb\n<!-- b: end -->\n"
    document = f"by hand\n{sections}end\n"
    replaced = replace_section(document, "a", "new | table\n")
    assert replaced == document.replace("old", "new | table")
    assert replace_section(replaced, "a", "old") == document
    with pytest.raises(ValueError, match="no section <!-- c: generated -->"):
        replace_section(document, "c", "text")


def test_document_has_a_section_for_each_benchmark():
    for name in BENCHMARKS:
        assert replace_section(DOCUMENT.read_text(), name, "x").count(f"<!-- {name}: generated -->\nx\n") == 1


def test_report_shows_ratios_versions_and_what_is_missing(inputs):
    contenders = (contender("peer", "modest"), contender("other", "absent"), contender("visavis", "modest"))
    outcome = compare(Comparison("Nothing at all", "query", contenders), inputs)
    result = as_json("decode", "It is quick.", [outcome], ["a thing: it is not there"], quick=True)
    text = as_markdown(result)
    assert text.startswith("It is quick.\n\n**Nothing at all**\n\n| ")
    assert "queries / CPU s" in text
    assert re.search(r"^\| visavis +\| +[\d.,]+ +\| +[\d.,]+ +\| +1 \|", text, re.MULTILINE)
    assert "Not measured: a thing: it is not there." in text
    assert "Not measured: other: No module named 'no_such_package'." in text
    assert "Python 3." in text
    assert "`python -m benchmarks.decode --quick`" in text


def test_numbers_are_written_for_people():
    shown = [significant(x) for x in (0.012345, 0.5, 9.996, 12.34, 1234.5, 1234567, 0, float("nan"))]
    assert shown == ["0.0123", "0.500", "10.00", "12.3", "1,230", "1,230,000", "0", "–"]
    assert table([["", "b"], ["long", "1"]]) == "|      | b |\n|------|--:|\n| long | 1 |"


def test_jobs_exist_and_scripts_import_light():
    """Scripts are imported in every peer's Python: they may need no more than numpy, and every job must be there."""
    for name in BENCHMARKS:
        source = (ROOT / "benchmarks" / f"{name}.py").read_text()
        jobs = set(re.findall(rf'"benchmarks\.{name}:(\w+)"', source))
        missing = [job for job in jobs if f"\ndef {job}(folder: Path" not in source]
        assert not missing, f"benchmarks/{name}.py names jobs that it does not have: {missing}"
    program = f"import sys, {', '.join(f'benchmarks.{name}' for name in BENCHMARKS)}; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"cv2", "torch", "faiss", "pyarrow", "PIL", "click", "embedder", "indexer"} & set(answer.stdout.split())
    assert not heavy


def test_generated_photos_stand_in(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.inputs._LARGE", (400, 300))
    photos = wider_photos(tmp_path / "nowhere", 1, tmp_path)
    assert len(photos.paths) == 1
    assert not photos.real
    assert "because wider-dev is not there" in photos.source
    first, again = (large_photos(photos, tmp_path / name).paths[0].read_bytes() for name in ("a", "b"))
    assert first == again
