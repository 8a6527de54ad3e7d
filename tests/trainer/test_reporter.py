import time

import pytest

from trainer import tensorboard_files
from trainer.reporter import Listener, Progress, Reporter
from trainer.run_folder import read_log
from trainer.tensorboard_files import TensorBoardFiles


def test_a_run_is_told_of_and_written_down(tmp_path):
    told, said = [], []
    report = Reporter(tmp_path / "run", Listener(told.append, said.append, lambda: True), first=True)
    report.begin({"a": 1}, step=0, seconds=100.0, start={"people": 3})
    report.advance(Progress(1, 9, "steps"), crops=64)
    time.sleep(0.05)
    report.step(1, 1, {"loss": 0.5})
    report.epoch(1, 1, {"held_out": {"auc": 0.9}})
    report.event("skipped", "left out", step=1, epoch=1)
    report.end("done", "", step=1, epoch=1, best_epoch=1)
    log = read_log(tmp_path / "run")
    assert [line["kind"] for line in log] == ["start", "step", "epoch", "event", "end"]
    assert log[0]["people"] == 3
    assert 64 / 5 < log[1]["crops_per_second"] < 64 / 0.05
    assert 100 < log[1]["seconds"] < 110
    assert (told, said, report.stop()) == ([Progress(1, 9, "steps")], ["left out"], True)


def test_other_processes_say_nothing(tmp_path):
    told = []
    report = Reporter(tmp_path / "run", Listener(told.append, told.append), first=False)
    report.begin({}, step=0, seconds=0.0, start={})
    report.advance(Progress(1, 9, "steps"))
    report.event("skipped", "left out", step=1, epoch=1)
    report.end("done", "", step=1, epoch=1, best_epoch=1)
    assert told == []
    assert list(tmp_path.iterdir()) == []
    assert not report.stop()


def test_curves_are_written_where_the_package_is(tmp_path):
    if not tensorboard_files.tensorboard_is_there():
        pytest.skip("tensorboard is not installed: left out its files")
    curves = TensorBoardFiles(tmp_path, step=0)
    curves.add("epoch", {"loss": 0.25, "held_out": {"tar": {"0.001": 0.5}}, "best": True, "recipe": "x"}, 7)
    curves.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tmp_path)).Reload()
    assert set(found.Tags()["scalars"]) == {"epoch/loss", "epoch/held_out/tar/0.001", "epoch/best"}
    assert (found.Scalars("epoch/loss")[0].step, found.Scalars("epoch/loss")[0].value) == (7, 0.25)


def test_without_the_package_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard_files, "tensorboard_is_there", lambda: False)
    curves = TensorBoardFiles(tmp_path, step=0)
    curves.add("step", {"loss": 1.0}, 1)
    curves.close()
    assert list(tmp_path.iterdir()) == []
