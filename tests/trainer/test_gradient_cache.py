"""A step in parts gives the gradients of the whole batch, random numbers included, in less memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from trainer.gradient_cache import backward_in_parts
from trainer.losses.batch_hard import BatchHard
from trainer.losses.center import Center

LABELS = torch.arange(6).repeat_interleave(4)


def crops():
    return torch.rand(24, 3, 8, 8, generator=torch.Generator().manual_seed(2)) + LABELS.view(-1, 1, 1, 1) / 6


def network(*, dropout: float = 0.0, norm: bool = False):
    torch.manual_seed(4)
    middle = [nn.BatchNorm2d(8)] if norm else []
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), *middle, nn.PReLU(8), nn.AvgPool2d(3), nn.Flatten(), nn.Dropout(dropout), nn.Linear(32, 5)
    )


def gradients(module):
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters()}


def loss(embeddings):
    return BatchHard()(embeddings, LABELS)


@pytest.mark.parametrize("part", [1, 5, 24, 100])
def test_gradients_are_those_of_the_whole_batch(part):
    whole, cached = network(), network()
    expected = loss(whole(crops()))
    expected.loss.backward()
    outcome = backward_in_parts(cached, crops(), loss, part=part)
    torch.testing.assert_close(gradients(cached), gradients(whole), atol=1e-5, rtol=0)
    assert outcome.loss.item() == pytest.approx(expected.loss.item(), abs=1e-6)
    assert not outcome.loss.requires_grad
    assert max(float(g.abs().max()) for g in gradients(whole).values()) > 1e-3


def test_weights_of_the_loss_get_their_gradients():
    whole, cached = network(), network()
    objectives = []
    for _ in range(2):
        torch.manual_seed(8)
        objectives.append(Center().objective(6, 5))
    objectives[0](whole(crops()), LABELS).loss.backward()
    backward_in_parts(cached, crops(), lambda rows: objectives[1](rows, LABELS), part=7)
    torch.testing.assert_close(gradients(objectives[1]), gradients(objectives[0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(objectives[1].centers, objectives[0].centers)


def test_random_numbers_are_drawn_again():
    """Dropout and augmentation: the second pass sees what the first one saw. The oracle keeps the masks itself."""
    module = network(dropout=0.5)

    def augment(some):
        return some + 0.3 * torch.randn(some.shape)

    torch.manual_seed(11)
    parts = [module(augment(some)) for some in torch.tensor_split(crops(), 5)]
    loss(torch.cat(parts)).loss.backward()
    expected, drawn_next = gradients(module), torch.rand(3)
    module.zero_grad()
    torch.manual_seed(11)
    backward_in_parts(module, crops(), loss, part=5, augment=augment)
    torch.testing.assert_close(gradients(module), expected, atol=1e-5, rtol=0)
    assert torch.equal(torch.rand(3), drawn_next)  # and the numbers after the step go on from there


def test_frozen_batch_norm_gives_the_whole_batch():
    whole, cached = network(norm=True).eval(), network(norm=True).eval()
    loss(whole(crops())).loss.backward()
    backward_in_parts(cached, crops(), loss, part=5)
    torch.testing.assert_close(gradients(cached), gradients(whole), atol=1e-5, rtol=0)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_in_training_remembers_each_part_once(momentum):
    """As a network that normalises each part by itself, with the loss on all of them."""
    whole, cached = network(norm=True), network(norm=True)
    whole[1].momentum = cached[1].momentum = momentum
    loss(torch.cat([whole(some) for some in torch.tensor_split(crops(), 5)])).loss.backward()
    backward_in_parts(cached, crops(), loss, part=5)
    torch.testing.assert_close(gradients(cached), gradients(whole), atol=1e-5, rtol=0)
    torch.testing.assert_close(cached.state_dict(), whole.state_dict())
    assert cached[1].momentum == momentum


def test_autocast_trains_every_weight():
    """The weights that autocast converted in the first pass have no graph; the second pass must convert them anew."""
    cached, whole = network(), network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        backward_in_parts(cached, crops(), loss, part=6)
        outcome = loss(whole(crops()))
    outcome.loss.backward()
    for name, expected in gradients(whole).items():
        similarity = nn.functional.cosine_similarity(gradients(cached)[name].flatten(), expected.flatten(), dim=0)
        assert similarity > 0.95, name


def test_wrong_arguments():
    with pytest.raises(ValueError, match="0 crops, 4 at a time"):
        backward_in_parts(network(), crops()[:0], loss, part=4)
    with pytest.raises(ValueError, match="24 crops, 0 at a time"):
        backward_in_parts(network(), crops(), loss, part=0)


MEMORY = r"""
import re, sys, torch
from pathlib import Path
from torch import nn
from trainer.gradient_cache import backward_in_parts
from trainer.losses.batch_hard import BatchHard
torch.set_num_threads(1)
layers = [layer for _ in range(6) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.Tanh())]
network = nn.Sequential(nn.Conv2d(3, 8, 3), *layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 16))
crops, labels = torch.rand(240, 3, 48, 48), torch.arange(60).repeat_interleave(4)
loss = lambda rows: BatchHard()(rows, labels)
backward_in_parts(network, crops[:8], lambda rows: BatchHard()(rows, labels[:8]), part=8)
# Not getrusage: across fork and exec that keeps the peak of the process that started this one.
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
backward_in_parts(network, crops, loss, part=int(sys.argv[1]))
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_memory_is_that_of_a_part():
    """240 crops in parts of 8: the growth of the peak is less than a quarter of that in one part."""
    grown = {}
    for part in (8, 240):
        command = [sys.executable, "-c", MEMORY, str(part)]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
        grown[part] = int(done.stdout)
    assert grown[240] > 100_000  # kB: there is something to save
    assert grown[8] < grown[240] / 4
