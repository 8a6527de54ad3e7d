"""`visavis review`, with answers on standard input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from indexer.archive import read_archive, read_people
from indexer.cli import cli
from indexer.people import PeopleStore
from indexer.review.replies import Reply, Word
from tests.indexer.made_up_faces import near


@pytest.fixture
def album(make_album, run):
    """Two groups, of four and three faces."""
    made = make_album({f"{who}{i}.png": [near(who, 10 * who + i)] for who, n in enumerate((4, 3)) for i in range(n)})
    assert run("cluster", "--album", made.root).exit_code == 0
    return made


def _review(album, text: str, *options: object):
    arguments = ["review", "--album", str(album.root), *map(str, options)]
    return CliRunner().invoke(cli, arguments, input=text)


def _people(album) -> dict[str, int]:
    state = read_people(album)
    return {name: list(state.person_of.values()).count(person) for person, name in state.persons.items()}


def test_names_typed_are_given_and_summed_up(album) -> None:
    result = _review(album, "Ann Lee\nBob\n")
    assert result.exit_code == 0, result.output
    assert _people(album) == {"Ann Lee": 4, "Bob": 3}
    assert "Who is group 1? 4 faces." in result.stderr and "Who is group 2? 3 faces." in result.stderr
    assert "2 answers: 7 faces named. Nothing is left to ask." in result.stderr
    assert result.stdout.splitlines() == ["Ann Lee, who is new: 4", "Bob, who is new: 3"]
    again = _review(album, "")
    assert "0 answers: nothing settled. Nothing is left to ask." in again.stderr


@pytest.mark.parametrize("end", ["q\n", "quit\nAnn\n", ""])
def test_it_ends_at_quit_and_at_the_end_of_the_input(album, end) -> None:
    result = _review(album, "Ann Lee\n" + end)
    assert result.exit_code == 0 and _people(album) == {"Ann Lee": 4}
    assert "1 answer: 4 faces named. `visavis review` goes on from here." in result.stderr


def test_it_ends_at_ctrl_c(album, monkeypatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("indexer.commands.review._reply", interrupted)
    result = _review(album, "")
    assert result.exit_code == 0 and "0 answers" in result.stderr


def test_undo_and_skip(album) -> None:
    result = _review(album, "Ann Lee\nundo\nskip\nBob\n")
    assert result.exit_code == 0, result.output
    assert _people(album) == {"Bob": 3}
    assert result.stdout.splitlines()[1].startswith('taken back: name 4 faces "Ann Lee"')


def test_that_a_group_is_not_one_person_counts_once_it_is_known_who_is_not(album) -> None:
    stopped = _review(album, "n\nq\n")
    assert "its answer is what is kept" in stopped.stdout and "0 answers: nothing settled." in stopped.stderr
    result = _review(album, "n\nn\nq\n")
    assert "Who is group 1?" in result.stderr and "1 answer: 1 said to be different from others." in result.stderr
    assert len(read_people(album).different) == 1
    assert "several people; the next question is about their parts" in _review(album, "?\nq\n").stderr


def test_what_is_no_answer_is_asked_again(album) -> None:
    result = _review(album, "\ny\n9 Ann\n2 Ann\n")
    assert result.exit_code == 0, result.output
    assert _people(album) == {"Ann": 3}
    for message in ("that was empty", "type the name of this person", "no number 9: those shown are 1 to 4"):
        assert message in result.stderr


def test_the_sheet_lies_where_it_is_told_or_in_the_album_while_it_is_asked(album, tmp_path, monkeypatch) -> None:
    assert _review(album, "q\n", "--sheet", tmp_path / "look.jpg").exit_code == 0
    assert np.asarray(Image.open(tmp_path / "look.jpg")).shape[1] >= 4 * 160
    seen = []
    monkeypatch.setattr(
        "indexer.review.replies.read_reply",
        lambda *_, **__: seen.append((album.index / "review.jpg").exists()) or Reply(Word.QUIT),
    )
    result = _review(album, "q\n")
    assert seen == [True] and str(album.index / "review.jpg") in result.stderr
    assert not (album.index / "review.jpg").exists(), "faces that are forgotten later are not kept in a picture"


def test_the_number_of_questions_may_be_limited(album) -> None:
    result = _review(album, "Ann\nBob\n", "--most", 1)
    assert _people(album) == {"Ann": 4} and "1 answer" in result.stderr
    assert _review(album, "", "--most", 0).exit_code == 2


def test_a_conflict_is_said_and_the_next_question_asked(album) -> None:
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        store.assign([archive.ref(0)], "Ann", add_to_existing=False)
        store.reject([archive.ref(1)], store.state().person_named("Ann"))
    result = _review(album, "Ann\nAnn\nAnn\n")
    assert result.exit_code == 0, result.output
    assert re.search(r"0\d\.png#1 was said not to be \"Ann\"", result.stderr), result.stderr


def test_json_lists_the_questions_and_asks_nothing(album, run) -> None:
    result = run("review", "--json", "--album", album.root)
    assert result.exit_code == 0, result.output
    questions = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(q["asks"], q["group"], len(q["faces"])) for q in questions] == [("name", 1, 4), ("name", 2, 3)]
    assert set(questions[0]) == {"question", "asks", "person", "group", "faces", "candidates", "settles"}
    assert questions[0]["settles"] > questions[1]["settles"] > 2
    assert set(questions[0]["faces"]) <= set(read_archive(album).faces.face_ids.tolist())
    one = run("review", "--json", "--most", 1, "--album", album.root)
    assert one.stdout.splitlines() == result.stdout.splitlines()[:1]
    assert _people(album) == {}


def test_proposals_are_asked_about_with_the_persons_faces(album, run) -> None:
    archive = read_archive(album)
    with PeopleStore(album.people) as store:
        row = next(row for row, path in enumerate(archive.paths) if path.endswith("00.png"))
        store.assign([archive.ref(row)], "Ann", add_to_existing=False)
    assert run("cluster", "--album", album.root).exit_code == 0
    lines = run("review", "--json", "--album", album.root).stdout.splitlines()
    (question,) = (q for line in lines if (q := json.loads(line))["person"] == "Ann")
    assert (question["asks"], len(question["candidates"])) == ("same", 3)
    assert "Are numbers 1 to 3 the same person as Ann, 1 face?" in question["question"]
    others = "skip\n" * [json.loads(line)["person"] for line in lines].index("Ann")
    result = _review(album, f"{others}2\nq\n")
    assert result.exit_code == 0, result.output
    state = read_people(album)
    assert len(state.person_of) == 3 and len(state.rejected) == 1
    assert "2 faces named, 1 face told to be somebody else" in result.stderr
    assert run("cluster", "--album", album.root).exit_code == 0
    ((rejected, _),) = state.rejected
    lines = [json.loads(line) for line in run("people", "--faces", "--json", "--album", album.root).stdout.splitlines()]
    assert [line["proposed"] for line in lines if line["face_id"] == rejected] == [None], "never proposed again"


def test_an_album_that_was_never_grouped_says_what_to_do(make_album, run) -> None:
    album = make_album({"a.png": [[1, 0]]})
    for options in ((), ("--json",)):
        result = run("review", "--album", album.root, *options)
        assert result.exit_code == 1 and "run `visavis cluster` first" in result.stderr
    (album.index / "links.parquet").parent.mkdir(exist_ok=True)
    (album.index / "links.parquet").write_bytes(b"PAR1")
    assert "run `visavis cluster`, which makes it anew" in run("review", "--album", album.root).stderr


def test_a_photo_that_is_gone_is_left_out_of_the_sheet(album, tmp_path: Path) -> None:
    (tmp_path / "photos" / "00.png").unlink()
    result = _review(album, "Ann\nq\n")
    assert result.exit_code == 0 and "left out" in result.stderr and _people(album) == {"Ann": 4}
