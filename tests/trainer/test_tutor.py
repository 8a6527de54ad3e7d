"""A teacher that shows its maps: what it shows, how far the student is from it, and a run with it."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tests.trainer.small_crops import write_crops
from tests.trainer.test_slimming import pictures, sface
from trainer.networks import NetworkSettings, build_network
from trainer.reporter import Listener
from trainer.run_folder import BEST, LAST, read_log
from trainer.settings import Machine, SettingsError, TrainSettings
from trainer.slim_network import SlimNetwork
from trainer.slimming import teacher_layer
from trainer.start import StartError
from trainer.train import train
from trainer.tutor import HINTS, Tutor, call_tutor, hint_distance, watched
from trainer.weights import Description, load_weights, save_weights

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pair():
    torch.manual_seed(3)
    student = SlimNetwork()
    for number in range(len(student.layers)):
        origin = student.origin(number)
        origin.copy_(torch.arange(len(origin)) * 2)
    return sface(), student


def test_it_shows_its_embeddings_and_the_channels_that_the_student_has(pair):
    teacher, student = pair
    crops = pictures(18).to(torch.uint8)  # more than it looks at together
    shown = Tutor(teacher, student, CPU, bfloat16=False).look(crops)
    maps = {}
    for number in HINTS:
        teacher.layers[teacher_layer(number)].register_forward_hook(
            lambda _, inputs, output, number=number: maps.__setitem__(number, output)
        )
    with torch.no_grad():
        expected = functional.normalize(teacher(crops.float()))
    torch.testing.assert_close(shown.embeddings, expected, rtol=1e-3, atol=1e-4)
    for number, found in zip(HINTS, shown.maps, strict=True):
        torch.testing.assert_close(found, maps[number][:, student.origin(number)], rtol=1e-3, atol=1e-3)


def test_the_student_is_watched_only_within(pair):
    _, student = pair
    crops = pictures(2)
    with watched(student) as maps:
        student(crops)
    student(crops)
    assert [one.shape[1:] for one in maps] == [
        (64, 28, 28), (128, 14, 14), (256, 14, 14), (256, 14, 14), (256, 7, 7), (512, 7, 7)
    ]  # fmt: skip


def test_the_distance_is_its_definition():
    torch.manual_seed(0)
    ours, theirs = (
        [torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 2)],
        [torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 2)],
    )
    expected = sum(float(((a - b) ** 2).mean() / b.var()) for a, b in zip(ours, theirs, strict=True)) / 2
    assert float(hint_distance(ours, theirs)) == pytest.approx(expected)
    assert float(hint_distance(theirs, theirs)) == 0


def test_only_sface_shows_its_maps_and_only_to_a_slim_network(pair, tmp_path):
    with pytest.raises(SettingsError, match="for --network slim with a --teacher"):
        TrainSettings(kind="slim", hint_weight=1.0)
    with pytest.raises(SettingsError, match="not with --part"):
        TrainSettings(kind="slim", teacher="x", hint_weight=1.0, part=8)
    small = NetworkSettings("small", 32, 8, width=4, depths=(1,))
    save_weights(tmp_path / "small.safetensors", build_network(small), Description(small, "x"))
    settings = TrainSettings(kind="slim", teacher=str(tmp_path / "small.safetensors"), hint_weight=1.0)
    with pytest.raises(StartError, match="not from SmallNetwork to SlimNetwork"):
        call_tutor(settings, pair[1], CPU, bfloat16=False)
    assert call_tutor(TrainSettings(), pair[1], CPU, bfloat16=False) is None


def test_a_run_begins_with_the_teachers_weights_and_goes_on_where_it_stopped(tmp_path):
    crops = write_crops(tmp_path / "crops", 12, 2, size=112)
    teacher = tmp_path / "teacher.safetensors"
    save_weights(teacher, sface(), Description(NetworkSettings("sface"), "a licence"))
    settings = TrainSettings(
        recipe=None, kind="slim", teacher=str(teacher), hint_weight=1.0, people=2, crops=2, epochs=2, rate=1e-4,
        log_every=1, precision="fp32", average=0.5, held_out=0.3,
    )  # fmt: skip
    machine, said = Machine("cpu", readers=1, threads=1), []
    whole = train(crops, tmp_path / "whole", settings, machine, Listener(say=said.append))
    assert whole.why == "done"
    assert any("first weights are told from its teacher's" in text for text in said)
    steps = [line for line in read_log(tmp_path / "whole") if line["kind"] == "step"]
    assert next(line for line in read_log(tmp_path / "whole") if line["kind"] == "epoch")["best"]
    assert steps[0]["distillation"] < 0.3  # of random weights it is beyond 1
    assert any(text.startswith("With the head fitted again. After epoch 2") for text in said)
    assert [line["epoch"] for line in read_log(tmp_path / "whole") if line["kind"] == "refit"] == [2]
    asked = iter(range(100))
    stopped = train(crops, tmp_path / "parts", settings, machine, Listener(stop=lambda: next(asked) == 1))
    assert stopped.why == "interrupted"
    train(crops, tmp_path / "parts", settings, machine)
    one, other = (load_weights(tmp_path / run / LAST)[0].state_dict() for run in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    best, _ = load_weights(tmp_path / "whole" / BEST)
    assert (best.origin(5).diff() > 0).all()
    without = train(crops, tmp_path / "without", replace(settings, hint_weight=0.0, epochs=1), machine)
    assert without.why == "done"
