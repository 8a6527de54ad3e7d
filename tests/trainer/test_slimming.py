"""A slim network out of SFace's: the choice of channels by its definition, and that it begins near its teacher."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from trainer.sface_network import SFaceNetwork
from trainer.slim_network import SlimNetwork
from trainer.slimming import choose_channels, folded_layers, slim_down, teacher_layer


def sface(seed=0):
    """SFace's network with random weights, each layer's output of about the size of its input."""
    torch.manual_seed(seed)
    network = SFaceNetwork().eval()
    for layer in network.layers:
        torch.nn.init.kaiming_normal_(layer[0].weight, nonlinearity="relu")
        layer[1].running_mean.normal_(0, 0.1)
        layer[1].running_var.uniform_(0.8, 1.2)
    return network


def pictures(count, seed=0):
    coarse = torch.rand(count, 3, 9, 9, generator=torch.Generator().manual_seed(seed)) * 255
    return functional.interpolate(coarse, size=(112, 112), mode="bicubic").clamp(0, 255).round()


def left_over(inputs, outputs, chosen):
    """Squared error of the best linear prediction of the outputs from some inputs."""
    design = np.c_[inputs[:, chosen], np.ones(len(inputs))]
    return ((outputs - design @ np.linalg.lstsq(design, outputs, rcond=None)[0]) ** 2).sum()


def test_the_channels_are_those_of_the_definition():
    """Each one lowers what is left of the outputs most, given those before it."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(400, 7)) @ random.normal(size=(7, 7)) + 3
    weights = random.normal(size=(5, 7))
    outputs, expected = inputs @ weights.T, []
    for _ in range(4):
        rest = [channel for channel in range(7) if channel not in expected]
        expected.append(min(rest, key=lambda channel: left_over(inputs, outputs, [*expected, channel])))
        found = choose_channels(torch.tensor(inputs), torch.tensor(weights), len(expected))
        assert found.tolist() == sorted(expected)


def test_batch_norm_is_folded():
    network, x = sface(), torch.randn(2, 3, 20, 20)
    folded = folded_layers(network)
    with torch.no_grad():
        torch.testing.assert_close(folded[0](x), network.layers[0](x), rtol=1e-4, atol=1e-5)
    assert network.layers[0][1].running_mean.any()  # the network itself stays


def test_layers_stand_for_layers():
    network = SlimNetwork()
    assert [teacher_layer(number) for number in (0, 1, 2, 20)] == [3, 7, 8, 26]
    assert len(network.layers) == 21
    assert len(sface().layers) == 27


@pytest.fixture(scope="module")
def slimmed():
    teacher, slim = sface(), SlimNetwork()
    before = SlimNetwork()
    before.load_state_dict(slim.state_dict())
    slim_down(teacher, slim, pictures(48).split(16))
    return teacher, before, slim


def test_a_slim_network_begins_near_its_teacher(slimmed):
    """On pictures that it was not fitted to."""
    teacher, before, slim = slimmed
    with torch.no_grad():
        wanted, others = teacher(pictures(12, seed=1)), pictures(12, seed=1)
        centred = [rows - wanted.mean(dim=0) for rows in (wanted, slim(others), before(others))]
    near, far = (float(functional.cosine_similarity(centred[0], rows).mean()) for rows in centred[1:])
    assert near > 0.5
    assert near > far + 0.3


def test_what_is_kept_is_the_teachers(slimmed):
    """Depthwise weights and slopes stay those of the channels that were chosen."""
    teacher, _, slim = slimmed
    folded = folded_layers(teacher)
    for number, layer in enumerate(slim.layers):
        origin = slim.origin(number)
        assert (origin.diff() > 0).all()
        assert int(origin.max()) < len(folded[teacher_layer(number)].slopes)
        assert torch.equal(layer[1].weight, folded[teacher_layer(number)].slopes[origin])
        if layer[0].groups > 1:
            assert torch.equal(layer[0].weight, folded[teacher_layer(number)].convolution.weight[origin])
            assert torch.equal(origin, slim.origin(number - 1))


def test_without_crops_nothing_is_changed():
    slim = SlimNetwork()
    before = {name: value.clone() for name, value in slim.state_dict().items()}
    slim_down(sface(), slim, [])
    assert all(torch.equal(value, before[name]) for name, value in slim.state_dict().items())
