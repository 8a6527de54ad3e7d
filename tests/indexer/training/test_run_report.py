"""The page of a run: all that the log says is on it, and it needs no other file."""

from __future__ import annotations

import json
import re
import shutil
import stat
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.training.run_charts import run_charts
from indexer.training.run_pictures import CropPictures
from indexer.training.run_report import read_run, write_report
from trainer.run_folder import RunError


class Tags(HTMLParser):
    """Which elements are open, and every attribute that points somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "data", "action")]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_what_the_log_says_and_needs_nothing_else(make_run) -> None:
    run = make_run()
    text = write_report(run).read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == [] and tags.sources and all(source.startswith("data:image/jpeg") for source in tags.sources)
    for expected in (
        "<b>done</b> after 60 steps: All epochs are done. Best epoch: 2.",
        "12 crops of 3 people to train on; 1 person with 4 crops held out",
        "Step 3, recipe: now batch-hard",
        '<tr class="best"><td>2</td><td>40</td>',
        "Verification of people it has not seen",
        "Ann Lee/3.png: 8 of 9 times nearer to Cleo",
        "same person, 0.21",
        "<h3>Epoch 1</h3>",
        "<h3>Epoch 3</h3>",
        "<td>batch-hard</td>",
    ):
        assert expected in text, expected
    assert "<h3>Epoch 2</h3>" not in text
    assert "Bob <b>Ray" not in text and "Bob &lt;b&gt;Ray&lt;/b&gt;" in text, "names are no HTML"
    assert text.count("<svg") == 9


def test_each_recipe_has_its_own_loss(make_run) -> None:
    """A classifier's loss of 40 leaves nothing to see of a triplet loss of .4 on one axis."""
    log = [json.loads(line) for line in (make_run() / "log.jsonl").read_text().splitlines()]
    for line in log:
        if line["kind"] == "step" and line["step"] <= 30:
            line |= {"recipe": "arcface", "loss": 40.0}
    log.append({"kind": "event", "step": 45, "epoch": 3, "what": "resumed", "text": "going on"})
    log.append({"kind": "end", "step": 60, "epoch": 3, "why": "collapsed", "text": "one point"})
    charts = {chart.title: chart for chart, _ in run_charts(log)}
    assert "Loss" not in charts
    first, second = charts["Loss of arcface"], charts["Loss of batch-hard"]
    assert set(first.lines[0].y) == {40.0} and first.lines[0].x[-1] == 30 and second.lines[0].x[0] == 31
    assert max(second.lines[0].y) < 0.5
    assert [text for _, text in first.marks] == ["now batch-hard"]
    assert [text for _, text in second.marks] == ["going on", "one point"]
    assert [x for x, _ in charts["Learning rate"].marks] == [3, 45, 60]


def test_measures_beside_cosine_are_shown(make_run) -> None:
    run = make_run()
    assert "<h2>Measures</h2>" not in write_report(run).read_text()
    with (run / "log.jsonl").open("a") as log:
        measures = {"cosine": 0.875, "chi-squared": 0.9, "siamese": 0.8125}
        log.write(json.dumps({"kind": "measures", "step": 60, "epoch": 3, **measures}) + "\n")
    text = write_report(run).read_text()
    assert "<tr><th>chi-squared</th><td>0.9000</td></tr>" in text and "<td>0.8125</td>" in text
    assert "<th>epoch</th><td>" not in text


def test_the_files_are_private_and_can_be_looked_at(make_run) -> None:
    run = make_run()
    write_report(run)
    for name in ("report.html", "suspects.jpg", "triplets/epoch-001.jpg", "triplets/epoch-003.jpg"):
        assert stat.S_IMODE((run / name).stat().st_mode) == 0o600
    sheet = cv2.imread(str(run / "triplets" / "epoch-003.jpg"))
    assert sheet.shape[0] > 5 * 160 and sheet.shape[1] > 3 * 160, "five rows of three"
    suspects = cv2.imread(str(run / "suspects.jpg"))
    assert suspects.shape[0] < 300 and suspects.shape[1] > 3 * 160, "a row of three"


def test_a_run_that_goes_on_can_be_looked_at(make_run) -> None:
    run = make_run(why="running")
    with (run / "log.jsonl").open("a") as log:
        log.write('{"kind": "step", "ste')
    assert "The run has not ended" in write_report(run).read_text()


def test_a_run_without_anything_yet(make_run) -> None:
    run = make_run()
    (run / "log.jsonl").write_text("")
    shutil.rmtree(run / "triplets")
    (run / "suspects.json").unlink()
    text = write_report(run).read_text()
    assert text.count("no figures") == 7 and "hardest" not in text and not (run / "suspects.jpg").exists()


def test_an_empty_crop_is_grey_on_the_page_and_on_the_sheets(make_run, tmp_path: Path) -> None:
    run = make_run()
    for crop in ("Ann Lee/0.png", "Ann Lee/3.png"):
        (tmp_path / "crops" / crop).write_bytes(b"")
    assert CropPictures(tmp_path / "crops").as_url("Ann Lee/0.png") == ""
    assert "Ann Lee/3.png: 8 of 9 times" in write_report(run).read_text()
    assert (run / "suspects.jpg").exists() and (run / "triplets" / "epoch-003.jpg").exists()


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 400))
def test_a_crop_cut_short_anywhere_is_a_picture_or_none(tmp_path: Path, length: int) -> None:
    whole = cv2.imencode(".png", np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3))[1].tobytes()
    (tmp_path / "crop.png").write_bytes(whole[:length])
    pixels = CropPictures(tmp_path).pixels("crop.png", 8)
    assert pixels is None or pixels.shape == (8, 8, 3)


def test_crops_that_are_gone_are_grey_and_those_that_moved_are_found(make_run, tmp_path: Path) -> None:
    run = make_run()
    (tmp_path / "crops").rename(tmp_path / "elsewhere")
    assert "<img" not in write_report(run).read_text()
    assert "<img" in write_report(run, tmp_path / "elsewhere").read_text()


def test_crops_outside_the_folder_are_not_read(make_run, tmp_path: Path) -> None:
    make_run()
    cv2.imwrite(str(tmp_path / "secret.png"), np.zeros((8, 8, 3), np.uint8))
    pictures = CropPictures(tmp_path / "crops")
    assert pictures.as_url("../secret.png") == "" and pictures.as_url("Ann Lee/0.png")
    assert pictures.others_of("..", "") == [] and pictures.others_of("Ann Lee", "Ann Lee/0.png", 2) == [
        "Ann Lee/1.png",
        "Ann Lee/2.png",
    ]
    (tmp_path / "crops" / "Cleo" / "0.png").write_bytes(b"no picture")
    assert pictures.as_url("Cleo/0.png") == ""


def test_what_is_no_run_or_damaged_is_named(make_run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no folder of a run"):
        read_run(tmp_path)
    run = make_run()
    for name in ("settings.json", "suspects.json", "log.jsonl", "triplets/epoch-002.jsonl"):
        whole = (run / name).read_text()
        (run / name).write_text("[1, {]\n" + whole)
        with pytest.raises(RunError, match=re.escape(f"{run / name} is damaged")):
            read_run(run)
        (run / name).write_text(whole)


def test_the_command_prints_where_the_page_is(make_run, run) -> None:
    folder = make_run()
    result = run("report", folder)
    assert result.exit_code == 0 and result.stdout == f"{folder / 'report.html'}\n"
    assert json.loads(run("report", folder, "--json").stdout) == {"report": str(folder / "report.html")}
    result = run("report", folder / "triplets")
    assert result.exit_code == 1 and "is no folder of a run" in result.stderr
