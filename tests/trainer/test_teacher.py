import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from trainer import teacher
from trainer.crops import read_crops_folder
from trainer.networks import NetworkSettings, build_network
from trainer.processes import Processes
from trainer.start import Start
from trainer.teacher import clean_lessons, distillation, from_template, teach
from trainer.templates import ARCFACE_TEMPLATE

ALONE = Processes(0, 1, torch.device("cpu"))


def network(size=32, template=None):
    torch.manual_seed(1)
    shape = tuple((x * size / 112, y * size / 112) for x, y in ARCFACE_TEMPLATE)
    settings = NetworkSettings("small", size, 8, width=4, depths=(1,), template=template or shape)
    return Start(build_network(settings).eval(), settings, "", "a test")


def test_the_loss_is_its_definition():
    torch.manual_seed(0)
    rows, wanted = torch.rand(5, 4, dtype=torch.double), functional.normalize(torch.rand(5, 4, dtype=torch.double))
    unit = functional.normalize(rows)
    distance = sum(1 - float(u @ t) for u, t in zip(unit, wanted, strict=True)) / 5
    apart = sum(float(unit[i] @ unit[j] - wanted[i] @ wanted[j]) ** 2 for i in range(5) for j in range(5) if i != j)
    assert distillation(rows, wanted, 0).item() == pytest.approx(distance)
    assert distillation(rows, wanted, 3).item() == pytest.approx(distance + 3 * apart / 20)
    assert distillation(wanted * 7, wanted, 3).item() == pytest.approx(0, abs=1e-12)
    rows.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: distillation(x, wanted, 2.0), rows)


def test_a_template_is_brought_upon_another():
    other = tuple((0.3 * x - 0.1 * y + 5, 0.1 * x + 0.3 * y - 2) for x, y in ARCFACE_TEMPLATE)
    matrix = from_template(ARCFACE_TEMPLATE, other)
    moved = np.c_[np.array(ARCFACE_TEMPLATE), np.ones(5)] @ matrix.T
    assert moved == pytest.approx(np.array(other))


def test_a_crop_of_which_the_teacher_said_nothing_does_not_count():
    torch.manual_seed(0)
    rows, wanted = torch.rand(5, 4), functional.normalize(torch.rand(5, 4))
    wanted[[1, 4]] = 0
    rows.requires_grad_()
    loss = distillation(rows, wanted, 3.0)
    assert loss.item() == pytest.approx(distillation(rows[[0, 2, 3]], wanted[[0, 2, 3]], 3.0).item())
    (gradient,) = torch.autograd.grad(loss, rows)
    assert not gradient[[1, 4]].any() and gradient[[0, 2, 3]].any(dim=1).all()
    nothing = distillation(rows, wanted * 0, 3.0)
    assert nothing.item() == 0 and not torch.autograd.grad(nothing, rows)[0].any()


@pytest.mark.parametrize("at_once", [1, 4, 128])
def test_a_crop_that_cannot_be_read_costs_no_other(crops, tmp_path, monkeypatch, at_once):
    """Nor if all that are embedded at once cannot be read."""
    monkeypatch.setattr(teacher, "_ASKED_EVERY", at_once)
    folder, said = read_crops_folder(crops), []
    folder.path(10).write_bytes(b"no picture")
    rows = np.arange(3, len(folder))
    teaching = teach(
        network(), folder, rows, tmp_path / "t", ALONE, bfloat16=False, tell=lambda *_: None, complain=said.append
    )
    assert len(said) == 1 and folder.path(10).name in said[0] and "Nothing is learned from it" in said[0]
    found = teaching.of(rows, torch.device("cpu"))
    assert found.norm(dim=1).numpy() == pytest.approx(np.where(rows == 10, 0, 1))
    lessons = [wanted for _, wanted in clean_lessons(teaching, folder, torch.device("cpu"))]
    assert torch.equal(torch.cat(lessons), found[rows != 10])


def taught(crops, where, start, processes=ALONE, told=None):
    folder = read_crops_folder(crops)
    tell = (lambda done, total: None) if told is None else (lambda done, total: told.append((done, total)))
    return teach(start, folder, np.arange(3, len(folder)), where, processes, bfloat16=False, tell=tell)


def test_every_crop_is_taught_once(crops, tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "_BLOCK", 20)
    told = []
    teaching = taught(crops, tmp_path / "t", network(), told=told)
    assert told == [(20, 45), (40, 45), (45, 45)]
    folder, rows = read_crops_folder(crops), np.array([47, 3, 25])
    expected = teacher.embed_crops(network().network, folder, rows, torch.device("cpu"))
    assert teaching.of(rows, torch.device("cpu")).numpy() == pytest.approx(expected, abs=2e-3)

    # What is there is not made again, and a second process finds it.
    def fail(*arguments, **named):
        raise AssertionError("embedded again")

    monkeypatch.setattr(teacher, "embed_crops", fail)
    again = taught(crops, tmp_path / "t", network())
    assert all((a == b).all() for a, b in zip(again.blocks, teaching.blocks, strict=True))


def test_a_teacher_with_another_template_sees_the_crop_as_it_wants_it(crops, tmp_path, monkeypatch):
    start, seen = network(size=48), []
    monkeypatch.setattr(start.network, "forward", lambda x: seen.append(x.clone()) or x.mean((2, 3)))
    taught(crops, tmp_path / "t", start)
    folder = read_crops_folder(crops)
    stored = cv2.cvtColor(cv2.imread(str(folder.path(3))), cv2.COLOR_BGR2RGB)
    expected = cv2.resize(stored[4:-4, 4:-4], (48, 48), interpolation=cv2.INTER_LINEAR).astype(float)
    first = seen[0][0].permute(1, 2, 0).numpy()
    assert first.shape == (48, 48, 3)
    # Corner to corner instead of centre to centre: at most half a pixel apart.
    assert np.corrcoef(first.ravel(), expected.ravel())[0, 1] > 0.98
