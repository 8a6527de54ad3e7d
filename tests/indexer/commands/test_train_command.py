"""`visavis train` as a user meets it."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch

from tests.trainer.small_crops import write_crops
from trainer.run_folder import BEST, CHECKPOINT, read_log, read_settings
from trainer.weights import load_weights

TINY = (
    "--width", 4, "--depths", "1", "--dimension", 8, "--people", 3, "--crops-each", 2, "--epochs", 2,
    "--threads", 1, "--precision", "fp32", "--device", "cpu",
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return write_crops(tmp_path_factory.mktemp("faces") / "crops")


def test_a_run_gives_a_weight_file(crops, tmp_path, run):
    result = run("train", crops, "--out", tmp_path / "run", *TINY, "--loss", "margin=none", "--loss", "sharpness=10")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'run' / BEST}\n"
    assert "After epoch 2: accuracy" in result.stderr
    assert read_settings(tmp_path / "run")["settings"]["loss"] == {"margin": None, "sharpness": 10.0}
    network, _ = load_weights(tmp_path / "run" / BEST)
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 8)
    again = run("train", crops, "--out", tmp_path / "run", *TINY, "--rate", 0.5)
    assert again.exit_code == 1
    assert "holds a run with other settings" in again.stderr and "--fresh" in again.stderr
    fresh = run("train", crops, "--out", tmp_path / "run", *TINY, "--rate", 0.01, "--fresh", "--json")
    assert fresh.exit_code == 0, fresh.stderr
    answer = json.loads(fresh.stdout)
    assert answer["why"] == "done"
    assert answer["held_out"]["people"] == 2
    assert [line["kind"] for line in read_log(tmp_path / "run")].count("start") == 1


def test_a_weight_file_is_trained_further(crops, tmp_path, run):
    run("train", crops, "--out", tmp_path / "one", *TINY)
    result = run("train", crops, "--out", tmp_path / "two", *TINY, "--init", tmp_path / "one" / BEST)
    assert result.exit_code == 0, result.stderr
    settings = read_settings(tmp_path / "two")["settings"]
    assert (settings["kind"], settings["rate"], settings["freeze_norm"]) == ("small", 3e-5, True)
    unchanged = run(
        "train", crops, "--out", tmp_path / "none", *TINY, "--init", tmp_path / "one" / BEST, "--rate", 1e-12,
        "--average", 0, "--weight-decay", 0,
    )  # fmt: skip
    assert unchanged.stdout == f"{tmp_path / 'none' / BEST}\n"
    assert "No epoch was better than what training began with, which best.safetensors holds" in unchanged.stderr
    taught = run(
        "train", crops, "--out", tmp_path / "three", *TINY, "--teacher", tmp_path / "one" / BEST, "--epochs", 1
    )  # fmt: skip
    assert taught.exit_code == 0, taught.stderr
    assert read_settings(tmp_path / "three")["settings"]["recipe"] is None


def test_ctrl_c_saves_and_the_same_command_goes_on(crops, tmp_path, run, monkeypatch, request):
    from trainer import train as module

    real, steps = module.Learner.step, []

    def interrupted(self, *arguments):
        steps.append(1)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, *arguments)

    monkeypatch.setattr(module.Learner, "step", interrupted)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it starts behind ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, former))
    result = run("train", crops, "--out", tmp_path / "run", *TINY)
    assert result.exit_code == 130
    assert "Saving after this step" in result.stderr
    assert "the same command goes on from here" in result.stderr
    assert (tmp_path / "run" / CHECKPOINT).exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = run("train", crops, "--out", tmp_path / "run", *TINY)
    assert again.exit_code == 0, again.stderr
    assert "Going on after 2 of 8 steps." in again.stderr


WITHOUT_PEOPLE = tuple(part for part in TINY if part not in ("--people", 3))


def test_a_batch_takes_whom_there_are_and_the_run_goes_on_with_as_many(crops, tmp_path, run):
    result = run("train", crops, "--out", tmp_path / "run", *WITHOUT_PEOPLE)
    assert result.exit_code == 0, result.stderr
    assert "A batch has 10 people, as there are no more to train on; 32 are usual." in result.stderr
    assert read_settings(tmp_path / "run")["settings"]["people"] == 10
    taught = ("--teacher", tmp_path / "run" / BEST, "--epochs", 1)
    result = run("train", crops, "--out", tmp_path / "taught", *WITHOUT_PEOPLE, *taught)
    assert "A batch has 40 crops, as there are no more to train on; 64 are usual." in result.stderr
    assert run("train", crops, "--out", tmp_path / "three", *TINY).exit_code == 0
    again = run("train", crops, "--out", tmp_path / "three", *WITHOUT_PEOPLE)
    assert again.exit_code == 0, again.stderr
    assert "A batch has" not in again.stderr
    fresh = run("train", crops, "--out", tmp_path / "three", *WITHOUT_PEOPLE, "--fresh")
    assert fresh.exit_code == 0, fresh.stderr
    assert read_settings(tmp_path / "three")["settings"]["people"] == 10


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--loss", "margin"), 2, "--loss margin: expected NAME=VALUE, as in margin=0.3"),
        (("--loss", "margin=abc"), 2, "a setting of batch-hard must be a number: margin=abc"),
        (("--loss", "average=foo"), 2, "average must be all or active, not foo"),
        (("--crops-each", 1), 2, "batch-hard compares crops of the same person: take --crops-each 2 or more"),
        (("--loss", "arcface.margin=.2"), 2, "arcface.margin is a setting of arcface, but the run has batch-hard"),
        (("--rate", 0), 2, "the rate must be above 0, its multiples not below: 0.0"),
        (("--loss", "magin=1"), 2, "batch-hard has no setting 'magin'; it has average, margin, sharpness"),
        (("--then", "facenet", "--switch-after", 9), 2, "after 1 to 1 epochs, not 9"),
        (("--init", "nowhere.safetensors"), 1, "there is no weight file"),
        (("--people", 11), 1, "which leaves 10, and a batch wants 11: take fewer with --people 10"),
        (("--network", "dlib", "--dimension", 128), 1, "dlib takes crops of 87 to 150 pixels and gives 128"),
        (("--freeze", 50), 1, "freezing 50 layers leaves nothing to train"),
        (("--device", "cuda:9"), 1, "--device cuda:9"),
        (("--depths", "1,x"), 2, "--depths 1,x: expected whole numbers, as in 1,2,2"),
    ],
)
def test_errors_say_what_to_do(crops, tmp_path, run, options, code, message):
    result = run("train", crops, "--out", tmp_path / "run", *TINY, *options)
    assert result.exit_code == code, result.output
    assert message in result.stderr


def test_a_run_in_its_folder_of_crops_is_refused(tmp_path, run):
    crops = write_crops(tmp_path / "crops")
    before = sorted(crops.rglob("*"))
    (tmp_path / "link").symlink_to(crops)
    for out in (crops, crops / "run", crops / "p00" / "run", tmp_path / "link" / "run"):
        for source in ((crops,), ("--album", tmp_path)):
            result = run("train", *source, "--out", out, *TINY)
            assert result.exit_code == 2
            assert "is or lies in a folder of crops" in result.stderr
            assert "choose a folder beside it" in result.stderr
    assert sorted(crops.rglob("*")) == before
    crops.rename(tmp_path / "run-crops")
    (tmp_path / "run").mkdir()
    (tmp_path / "run-crops").rename(tmp_path / "run" / "crops")  # as --album has it
    assert run("train", tmp_path / "run" / "crops", "--out", tmp_path / "run", *TINY).exit_code == 0


def test_first_weights_want_their_own_crops(crops, tmp_path, run, weights):
    """These are SFace's, of 32 pixels."""
    for name, remedy in (("dlib", "--network dlib`"), ("sface", "--network sface --size 112`")):
        weights(name)
        result = run("train", crops, "--out", tmp_path / "run", "--init", name, "--people", 3, "--crops-each", 2)
        assert result.exit_code == 1
        assert f"these crops have SFace's template and 32 pixels: make others with `visavis crops ... {remedy}" in (
            result.stderr
        )
    assert not (tmp_path / "run").exists()


def test_the_help_says_a_default_once(run):
    text = run("train", "--help").stdout
    assert '[default: ""]' not in text
    assert text.index("visavis crops known/ --out crops/ --network dlib") < text.index("--init dlib")


def test_a_folder_that_holds_no_crops_is_an_error(tmp_path, run):
    result = run("train", tmp_path, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "is no folder of crops: it has no crops.json" in result.stderr
    assert not (tmp_path / "run").exists()
