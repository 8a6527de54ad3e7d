"""Whole runs of a tiny network, and what becomes of runs that are stopped."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.small_crops import write_crops
from trainer import train as train_module
from trainer.augment import Augmentation
from trainer.checkpoint import CheckpointError
from trainer.endings import NOTHING_BETTER
from trainer.losses.outcome import Outcome
from trainer.reporter import Listener
from trainer.run_folder import BEST, CHECKPOINT, LAST, read_log, read_settings, read_suspects, read_triplets
from trainer.settings import Machine, TrainSettings
from trainer.start import StartError
from trainer.train import train
from trainer.weights import load_weights, read_description

MACHINE = Machine("cpu", readers=1, threads=1)


def run(crops, folder, settings, listener=None):
    return train(crops, folder, settings, MACHINE, listener)


def lines(folder, kind):
    return [line for line in read_log(folder) if line["kind"] == kind]


def same_weights(one, other, name=LAST):
    first, second = load_file(one / name), load_file(other / name)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def shared_crops(tmp_path_factory):
    return write_crops(tmp_path_factory.mktemp("shared") / "crops")


@pytest.fixture(scope="module")
def whole_run(shared_crops, tmp_path_factory, quick):
    folder = tmp_path_factory.mktemp("whole") / "run"
    told, said = [], []
    found = run(shared_crops, folder, quick, Listener(told.append, said.append))
    return folder, found, told, said


def test_a_run_leaves_what_it_promises(whole_run, quick):
    folder, found, told, said = whole_run
    assert (found.why, found.text, found.best) == ("done", "", folder / BEST)
    assert [line["step"] for line in lines(folder, "step")] == list(range(1, 13))
    epochs = lines(folder, "epoch")
    assert [line["epoch"] for line in epochs] == [0, 1, 2, 3]
    assert (epochs[0]["loss"], epochs[0]["best"]) == (None, False)
    assert epochs[0]["held_out"]["people"] == 2
    assert sum(line["best"] for line in epochs[1:]) >= 1
    assert found.best_epoch == max(line["epoch"] for line in epochs if line["best"])
    assert lines(folder, "end")[0]["why"] == "done"
    start = lines(folder, "start")[0]
    assert (start["people"], start["crops"], start["held_out_people"], start["held_out_crops"]) == (10, 40, 2, 8)
    assert len(read_triplets(folder, 3)) > 3
    assert isinstance(read_suspects(folder), list)
    assert TrainSettings.from_dict(read_settings(folder)["settings"]) == quick
    assert [(p.done, p.total) for p in told] == [(n, 12) for n in range(1, 13)]
    assert said[0].startswith("Before training: accuracy")


def test_short_epochs_are_logged_at_every_step(shared_crops, tmp_path, quick):
    run(shared_crops, tmp_path / "run", replace(quick, epochs=2, log_every=10))
    assert [line["step"] for line in lines(tmp_path / "run", "step")] == list(range(1, 9))
    assert all(line["spread"] is not None for line in lines(tmp_path / "run", "epoch")[1:])


def test_the_best_network_is_a_weight_file(whole_run):
    folder, found, _, _ = whole_run
    network, description = load_weights(folder / BEST)
    assert description.metrics == found.held_out.as_metrics()
    assert description.recipe["settings"]["recipe"] == "batch-hard"
    assert description.licence == "unspecified"
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 8)


def test_a_run_that_was_stopped_ends_with_the_same_weights(whole_run, shared_crops, tmp_path, quick):
    """After each step of the first two epochs once: in the middle of an epoch, and where one ends."""
    stopped, steps = tmp_path / "run", 0
    while True:
        count = [0]
        listener = Listener(lambda progress, count=count: count.__setitem__(0, count[0] + 1), stop=lambda: True)
        if steps == 8:
            listener = Listener()
        found = run(shared_crops, stopped, quick, listener)
        steps += 1
        if found.why == "done":
            break
        assert found.why == "interrupted"
        assert count == [1]
    assert steps == 9
    assert same_weights(stopped, whole_run[0])
    assert same_weights(stopped, whole_run[0], BEST)

    def without_time(folder):
        kept = [line for line in read_log(folder) if line["kind"] in ("step", "epoch")]
        return [{k: v for k, v in line.items() if k not in ("seconds", "crops_per_second")} for line in kept]

    assert without_time(stopped) == without_time(whole_run[0])
    assert read_triplets(stopped, 2) == read_triplets(whole_run[0], 2)


PROGRAM = """
import sys
from pathlib import Path
from trainer.settings import Machine, TrainSettings
from trainer.train import train
import json
settings = TrainSettings.from_dict(json.loads(sys.argv[3]))
print(train(Path(sys.argv[1]), Path(sys.argv[2]), settings, Machine("cpu", 1, 1)).why)
"""


def command(crops, folder, settings, *, launcher=()):
    import json

    program = folder.parent / "program.py"
    program.write_text(PROGRAM)
    return [sys.executable, *launcher, str(program), str(crops), str(folder), json.dumps(settings.as_dict())]


def test_a_run_that_was_killed_ends_with_the_same_weights(whole_run, shared_crops, tmp_path, quick):
    process = subprocess.Popen(command(shared_crops, tmp_path / "run", quick))
    log = tmp_path / "run" / "log.jsonl"
    give_up = time.monotonic() + 60
    wanted = 3 + time.time_ns() % 9  # another moment each time
    while process.poll() is None and time.monotonic() < give_up:
        if log.exists() and log.read_text().count('"step"') >= wanted:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    assert run(shared_crops, tmp_path / "run", quick).why == "done"
    assert same_weights(tmp_path / "run", whole_run[0])
    assert [line["step"] for line in lines(tmp_path / "run", "step")] == list(range(1, 13))


def test_two_processes_go_on_where_one_stopped(shared_crops, tmp_path, quick):
    """Without batch norm's own statistics, two learn what one learns; they end where one would have ended."""
    settings = replace(quick, people=4, freeze_norm=True, epochs=2)
    run(shared_crops, tmp_path / "alone", settings)
    steps = iter(range(100))
    assert run(shared_crops, tmp_path / "run", settings, Listener(stop=lambda: next(steps) == 1)).why == "interrupted"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command(shared_crops, tmp_path / "run", settings, launcher=launcher),
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["done", "done"]
    one, two = load_file(tmp_path / "alone" / LAST), load_file(tmp_path / "run" / LAST)
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-3)
    assert [line["processes"] for line in lines(tmp_path / "run", "start")] == [1, 2]
    assert [line["step"] for line in lines(tmp_path / "run", "step")] == list(range(1, 7))


def test_a_run_goes_on_only_as_it_was_begun(shared_crops, tmp_path, quick):
    settings = replace(quick, epochs=1)
    run(shared_crops, tmp_path / "run", settings, Listener(stop=lambda: True))
    with pytest.raises(CheckpointError, match=r"other settings \(--rate was 0\.001 and is 0\.002\): take the same"):
        run(shared_crops, tmp_path / "run", replace(settings, rate=2e-3))
    changed = replace(settings, crops=3, augmentation=Augmentation(turn=9.0))
    with pytest.raises(CheckpointError) as error:
        run(shared_crops, tmp_path / "run", changed)
    assert "(--crops-each was 2 and is 3, --turn was 6.0 and is 9.0)" in (str(error.value))
    assert "To train on" not in str(error.value)  # there is nothing yet
    others = write_crops(tmp_path / "others", 12, 5)
    with pytest.raises(CheckpointError, match=r"holds others than when .* was begun"):
        run(others, tmp_path / "run", settings)
    assert run(shared_crops, tmp_path / "run", replace(settings, log_every=3)).why == "done"
    with pytest.raises(
        CheckpointError, match=r"--epochs was 1 and is 9.*To train on: `--init .*best\.safetensors --out"
    ):
        run(shared_crops, tmp_path / "run", replace(settings, epochs=9))
    (tmp_path / "run" / CHECKPOINT).write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match="damaged"):
        run(shared_crops, tmp_path / "run", settings)


def test_deepface_compares_its_measures_in_the_end(shared_crops, tmp_path, quick):
    run(shared_crops, tmp_path / "run", replace(quick, recipe="deepface", epochs=1))
    (found,) = lines(tmp_path / "run", "measures")
    assert all(0.4 < found[name] <= 1 for name in ("cosine", "chi-squared", "siamese"))


def test_a_classifier_warms_up_and_a_triplet_loss_follows(shared_crops, tmp_path, quick):
    settings = replace(quick, recipe="arcface", then="batch-hard", switch_after=1, epochs=2)
    said = []
    assert run(shared_crops, tmp_path / "run", settings, Listener(say=said.append)).why == "done"
    assert [line["recipe"] for line in lines(tmp_path / "run", "step")] == ["arcface"] * 4 + ["batch-hard"] * 4
    (switch,) = lines(tmp_path / "run", "event")
    assert (switch["what"], switch["step"], switch["epoch"]) == ("recipe", 4, 2)
    assert "From here on the recipe is batch-hard; it was arcface." in said


def test_a_switch_is_told_of_once_and_that_a_run_goes_on(shared_crops, tmp_path, quick):
    settings = replace(quick, recipe="arcface", then="batch-hard", switch_after=1, epochs=2)
    for stop_after in (4, 5):  # just after the switch, and once more later
        asked = iter(range(100))
        first = 0 if stop_after == 4 else 4
        listener = Listener(stop=lambda: next(asked) + first + 1 == stop_after)  # noqa: B023, called at once
        assert run(shared_crops, tmp_path / "run", settings, listener).why == "interrupted"
    assert run(shared_crops, tmp_path / "run", settings).why == "done"
    told = [(line["what"], line["step"]) for line in lines(tmp_path / "run", "event")]
    assert sorted(told) == [("recipe", 4), ("resumed", 4), ("resumed", 5)]


def test_a_teacher_teaches_without_names(whole_run, shared_crops, tmp_path, quick):
    settings = replace(quick, recipe=None, teacher=str(whole_run[0] / BEST), epochs=8, rate=3e-3, seed=5)
    settings = replace(settings, relation_weight=0.0)
    told = []
    assert run(shared_crops, tmp_path / "run", settings, Listener(told.append)).why == "done"
    assert told[0].what == "crops for the teacher"
    steps = lines(tmp_path / "run", "step")
    assert steps[-1]["distillation"] < 0.5 * steps[0]["distillation"]
    assert steps[0]["different_quantiles"] == [None] * 5
    assert read_triplets(tmp_path / "run", 1) == []


@pytest.mark.parametrize("fitted", [False, True])
def test_what_was_fitted_before_the_first_step_may_be_the_best(
    whole_run, shared_crops, tmp_path, quick, monkeypatch, fitted
):
    monkeypatch.setattr(train_module.Learner, "begin_at_teacher", lambda *_: fitted)
    run(shared_crops, tmp_path / "run", replace(quick, recipe=None, teacher=str(whole_run[0] / BEST), epochs=1))
    assert lines(tmp_path / "run", "epoch")[0]["best"] is fitted


def test_a_teacher_must_give_as_many_numbers(whole_run, shared_crops, tmp_path, quick):
    settings = replace(quick, teacher=str(whole_run[0] / BEST), dimension=16)
    with pytest.raises(StartError, match="the teacher gives 8 numbers, the network 16: take --dimension 8"):
        run(shared_crops, tmp_path / "run", settings)


def test_a_teacher_goes_on_too(whole_run, shared_crops, tmp_path, quick):
    settings = replace(quick, teacher=str(whole_run[0] / BEST), epochs=1, relation_weight=2.0)
    run(shared_crops, tmp_path / "one", settings)
    steps = iter(range(100))
    run(shared_crops, tmp_path / "two", settings, Listener(stop=lambda: next(steps) == 1))
    run(shared_crops, tmp_path / "two", settings)
    assert same_weights(tmp_path / "one", tmp_path / "two")


def test_a_collapse_ends_the_run_and_says_what_to_do(shared_crops, tmp_path, quick, monkeypatch):
    def collapse(embeddings, labels):
        """Pull everything to one point."""
        loss = 50 * (embeddings - 1).square().mean()
        return Outcome(loss, torch.ones(()), embeddings.new_ones(3), embeddings.new_ones(3))

    monkeypatch.setattr("trainer.learner.build_objective", lambda settings, **sizes: collapse)
    settings = replace(quick, epochs=60, rate=0.05, average=0.0)
    said = []
    found = run(shared_crops, tmp_path / "run", settings, Listener(say=said.append))
    assert found.why == "collapsed"
    assert "The network has collapsed: the mean similarity of two faces is" in found.text
    assert "Lower the learning rate" in found.text
    assert lines(tmp_path / "run", "end")[0]["why"] == "collapsed"


def test_steps_without_numbers_are_left_out_and_end_the_run(shared_crops, tmp_path, quick, monkeypatch):
    calls = iter(range(1000))
    recipe = quick.loss_settings("batch-hard")

    def sometimes(embeddings, labels):
        outcome, call = recipe(embeddings, labels), next(calls)
        return replace(outcome, loss=outcome.loss * (float("nan") if call == 2 or call > 5 else 1))

    monkeypatch.setattr("trainer.learner.build_objective", lambda settings, **sizes: sometimes)
    found = run(shared_crops, tmp_path / "run", replace(quick, epochs=5))
    assert found.why == "broken"
    assert "no number in 5 steps in a row (6 in all)" in found.text
    skipped = [line for line in lines(tmp_path / "run", "event") if line["what"] == "skipped"]
    assert [line["step"] for line in skipped] == [3, 7, 8, 9, 10, 11]
    assert all(torch.isfinite(value).all() for value in load_file(tmp_path / "run" / CHECKPOINT).values())


def test_broken_crops_are_told_of(tmp_path, quick):
    crops = write_crops(tmp_path / "crops")
    (crops / "p03" / "1.png").write_bytes(b"broken")
    said = []
    assert run(crops, tmp_path / "run", replace(quick, epochs=2), Listener(say=said.append)).why == "done"
    assert any("p03/1.png is no picture or is cut short" in text and "stands in" in text for text in said)


def test_a_person_without_a_readable_crop_does_not_end_a_run(tmp_path, quick):
    crops = write_crops(tmp_path / "crops")
    for path in (crops / "p03").iterdir():
        path.write_bytes(b"")
    settings = replace(quick, epochs=1, recipe="arcface")
    found = run(crops, tmp_path / "run", settings, Listener(stop=lambda: True))
    assert found.why == "interrupted"
    assert run(crops, tmp_path / "run", settings).why == "done"
    told = [line["text"] for line in lines(tmp_path / "run", "event") if line["what"] == "unreadable"]
    assert told
    assert all("p03" in text and "so that p04" in text for text in told)


def test_two_processes_agree_on_who_stands_in(tmp_path, quick):
    crops = write_crops(tmp_path / "crops")
    for path in (crops / "p03").iterdir():
        path.write_bytes(b"")
    settings = replace(quick, people=4, freeze_norm=True, epochs=1)
    run(crops, tmp_path / "alone", settings)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    asked = command(crops, tmp_path / "run", settings, launcher=launcher)
    done = subprocess.run(asked, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["done", "done"]
    one, two = load_file(tmp_path / "alone" / LAST), load_file(tmp_path / "run" / LAST)
    torch.testing.assert_close(two, one, atol=1e-4, rtol=1e-3)


def test_a_broken_crop_of_somebody_held_out_is_left_out(tmp_path, quick):
    crops = write_crops(tmp_path / "crops")
    (crops / "p08" / "1.png").write_bytes(b"broken")
    said = []
    assert run(crops, tmp_path / "run", replace(quick, epochs=2), Listener(say=said.append)).why == "done"
    told = [line for line in lines(tmp_path / "run", "event") if line["what"] == "unreadable"]
    assert len(told) == 1  # not again after each epoch
    assert "p08/1.png is no picture or is cut short" in told[0]["text"]
    assert "left out of what is measured" in told[0]["text"]
    assert [line["held_out"]["crops"] for line in lines(tmp_path / "run", "epoch")] == [7, 7, 7]


def test_weights_that_grow_beyond_numbers_end_the_run(shared_crops, tmp_path, quick):
    """Each step's loss is a number, the network's embeddings are none after it."""
    settings = replace(quick, rate=1e38, warm_up=0.0, epochs=1, people=10, crops=2, optimizer="sgd", clip=0.0)
    found = run(shared_crops, tmp_path / "run", settings)
    assert found.why == "broken"
    assert "embeddings are no numbers any more" in found.text
    assert "Lower the learning rate" in found.text
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_a_run_that_stopped_before_its_first_checkpoint_begins_its_log_again(shared_crops, tmp_path, quick):
    class Killed(Exception):
        pass

    def kill(progress):
        raise Killed

    with pytest.raises(Killed):
        run(shared_crops, tmp_path / "run", quick, Listener(tell=kill))
    assert [line["epoch"] for line in lines(tmp_path / "run", "epoch")] == [0]
    run(shared_crops, tmp_path / "run", replace(quick, epochs=1))
    assert [line["epoch"] for line in lines(tmp_path / "run", "epoch")] == [0, 1]
    assert len(lines(tmp_path / "run", "start")) == 1


def test_a_stop_is_heeded_while_the_teacher_looks(whole_run, shared_crops, tmp_path, quick, monkeypatch):
    monkeypatch.setattr("trainer.teacher._ASKED_EVERY", 4)
    asked = iter(range(100))
    settings = replace(quick, teacher=str(whole_run[0] / BEST), epochs=1)
    told = []
    listener = Listener(told.append, stop=lambda: next(asked) == 2)
    found = run(shared_crops, tmp_path / "run", settings, listener)
    assert (found.why, told) == ("interrupted", [])
    assert run(shared_crops, tmp_path / "run", settings).why == "done"


def test_only_some_of_very_many_held_out_crops_are_measured(shared_crops, tmp_path, quick, monkeypatch):
    monkeypatch.setattr("trainer.material.MOST_MEASURED", 7)
    said = []
    crops = write_crops(tmp_path / "crops", 24, 4, held_out=0.3)
    run(crops, tmp_path / "run", replace(quick, epochs=1), Listener(say=said.append))
    start = lines(tmp_path / "run", "start")[0]
    assert (start["held_out_people"], start["held_out_crops"]) == (2, 8)
    assert start["held_out_not_measured"] > 0
    assert any(f"{start['held_out_not_measured']} further crops are held out" in text for text in said)


def test_nobody_need_be_held_out(shared_crops, tmp_path, quick):
    said = []
    found = run(shared_crops, tmp_path / "run", replace(quick, held_out=0.0, epochs=2), Listener(say=said.append))
    assert [text for text in said if "Nobody can be measured" in text and "the last epoch is kept" in text] == said
    assert len(said) == 1
    assert (found.best_epoch, found.held_out) == (2, None)
    assert same_weights(tmp_path / "run", tmp_path / "run", BEST)
    assert read_description(tmp_path / "run" / BEST).metrics == {}
    assert lines(tmp_path / "run", "epoch")[-1]["held_out"] is None


def test_what_it_began_with_is_kept_if_nothing_is_better(whole_run, shared_crops, tmp_path, quick):
    settings = replace(quick, init=str(whole_run[0] / BEST), rate=1e-12, epochs=1, average=0.0, weight_decay=0.0)
    found = run(shared_crops, tmp_path / "run", replace(settings, freeze_norm=True))
    assert (found.best_epoch, found.text) == (0, NOTHING_BETTER)
    assert lines(tmp_path / "run", "end")[0]["text"] == NOTHING_BETTER
    assert same_weights(tmp_path / "run", whole_run[0], BEST)


def test_labels_are_doubted_in_the_end(tmp_path, quick):
    crops = write_crops(tmp_path / "crops", 12, 4)
    (crops / "p00" / "1.png").rename(crops / "p01" / "9.png")
    settings = replace(quick, epochs=16, people=10, crops=4, width=8, suspect_weight=0.0, log_every=50)
    run(crops, tmp_path / "run", settings)
    suspects = read_suspects(tmp_path / "run")
    assert {"p01/9.png"} <= {suspect["crop"] for suspect in suspects}
    assert [s["looks_like"] for s in suspects if s["crop"] == "p01/9.png"] == ["p00"]


def test_settings_that_may_differ_exist():
    assert set(train_module._MAY_DIFFER) <= TrainSettings().as_dict().keys()
