"""The slim network: what it takes and gives, and that all of it is trained."""

import torch

from trainer.networks import NetworkSettings, build_network
from trainer.slim_network import SlimNetwork


def test_it_gives_an_embedding_of_each_crop():
    network = build_network(NetworkSettings("slim"))
    assert isinstance(network, SlimNetwork)
    crops = torch.randint(0, 256, (3, 3, 112, 112)).float()
    with torch.no_grad():
        together = network(crops)
        assert together.shape == (3, 128)
        torch.testing.assert_close(torch.cat([network(crop[None]) for crop in crops]), together, rtol=1e-4, atol=1e-4)
    assert sum(parameter.numel() for parameter in network.parameters()) < 4_100_000  # SFace has 9.6 million


def test_every_weight_is_trained():
    network = SlimNetwork(8).train()
    network(torch.randint(0, 256, (2, 3, 112, 112)).float()).square().sum().backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in network.parameters())


def test_random_weights_come_from_no_channel():
    network = SlimNetwork()
    assert all(bool((network.origin(number) == -1).all()) for number in range(len(network.layers)))
