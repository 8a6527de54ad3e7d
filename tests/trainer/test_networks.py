"""Networks have the shapes that their settings say, and learn in all their weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainer.networks import NetworkSettings, build_network
from trainer.onnx_graph import load_onnx
from trainer.sface_network import SFaceFileError, SFaceNetwork, load_sface

SETTINGS = [
    NetworkSettings("small", input_size=48, dimension=10, width=8, depths=(1, 1, 1)),
    NetworkSettings("small", input_size=33, dimension=3, width=4, depths=(2,)),
    NetworkSettings("iresnet", input_size=40, dimension=12, depths=(1, 1, 1, 1)),
    NetworkSettings("sface"),
    NetworkSettings("dlib", input_size=150),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: f"{s.kind}-{s.input_size}")
def test_a_network_gives_what_its_settings_say(settings):
    torch.manual_seed(1)
    network = build_network(settings)
    crops = torch.rand(3, 3, settings.input_size, settings.input_size) * 255
    embeddings = network(crops)
    assert embeddings.shape == (3, settings.dimension)
    embeddings.square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    with torch.no_grad():
        assert network.eval()(crops[:0]).shape == (0, settings.dimension)


def test_usual_sizes():
    """ResNet-50's depths at 112 pixels have the size that is known of IResNet-50: 43.6 million weights."""
    with torch.device("meta"):
        sizes = {
            kind: sum(p.numel() for p in build_network(NetworkSettings(kind, dimension=dimension)).parameters())
            for kind, dimension in (("iresnet", 512), ("small", 128))
        }
    assert sizes["iresnet"] == pytest.approx(43.6e6, rel=0.005)
    assert sizes["small"] < 6e6


def test_pixels_are_scaled_inside():
    """A grey crop of 127.5 is zero to the network, whatever the weights of its first layer."""
    network = build_network(SETTINGS[0])
    grey = torch.full((1, 3, 48, 48), 127.5)
    seen = []
    network.stem.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network.eval()(grey)
    assert not seen[0].any()


@pytest.mark.parametrize("kind", ["small", "iresnet"])
def test_a_network_can_learn(kind):
    """Eight pictures of noise in four pairs: some steps tell the pairs apart."""
    torch.manual_seed(1)
    settings = {"small": SETTINGS[0], "iresnet": SETTINGS[2]}[kind]
    network = build_network(settings)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    crops = torch.rand(8, 3, settings.input_size, settings.input_size) * 255
    labels = torch.arange(8) // 2
    head = nn.Linear(settings.dimension, 4)
    losses = []
    for _ in range(25):
        loss = functional.cross_entropy(head(network(crops)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3


def test_sface_computes_what_its_onnx_file_does(weights):
    path = weights("sface")
    crops = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1)) * 255
    with torch.no_grad():
        torch.testing.assert_close(load_sface(path)(crops), load_onnx(path)(crops)[0], atol=1e-4, rtol=1e-4)


def test_sface_refuses_other_networks(weights):
    with pytest.raises(SFaceFileError, match="does not hold SFace's network"):
        load_sface(weights("centerface"))


def test_sface_has_27_convolutions():
    convolutions = [m for m in SFaceNetwork().modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 27
    assert sum(c.groups > 1 for c in convolutions) == 13


def test_wrong_settings():
    with pytest.raises(ValueError, match="no network 'vgg'; there are small, slim, iresnet, sface, dlib"):
        NetworkSettings("vgg")
    with pytest.raises(ValueError, match="dlib takes crops of 87 to 150 pixels and gives 128 numbers, not 80 and 128"):
        NetworkSettings("dlib", input_size=80)
    with pytest.raises(ValueError, match="sface takes crops of 112 pixels and gives 128 numbers, not 112 and 64"):
        NetworkSettings("sface", dimension=64)
    with pytest.raises(ValueError, match="input_size must be at least 32"):
        NetworkSettings("small", input_size=8)
    with pytest.raises(ValueError, match="five points"):
        NetworkSettings("small", template=((1.0, 2.0),))
    with pytest.raises(ValueError, match="an IResNet has 4 stages, not 2"):
        build_network(NetworkSettings("iresnet", depths=(1, 1)))
