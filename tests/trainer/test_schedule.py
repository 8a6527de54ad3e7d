import math

import pytest
import torch
from torch import nn

from trainer.schedule import follow, rate_at


def test_the_rate_rises_and_falls():
    rates = [rate_at(step, 100, 0.1) for step in range(100)]
    assert rates[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
    assert max(rates) == rates[10] == 1
    assert rates == rates[:10] + sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.01 + 0.99 / 2 * (1 + math.cos(math.pi / 2)))
    assert 0.01 <= rates[-1] < 0.011


@pytest.mark.parametrize("warm_up", [0.0, 1.0])
def test_a_rate_is_never_0(warm_up):
    assert all(0 < rate_at(step, 5, warm_up) <= 1 for step in range(5))
    assert rate_at(0, 1, warm_up) > 0


def test_the_mean_follows_the_weights():
    average, network = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    values = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0]), torch.tensor([0.5, 0.5])]
    expected = torch.zeros(2)
    with torch.no_grad():
        average.bias.zero_()
        for step, value in enumerate(values):
            network.bias.copy_(value)
            network.num_batches_tracked += 5
            follow(average, network, decay=0.15, step=step)
            decay = min(0.15, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(average.bias.detach(), expected)
    assert average.num_batches_tracked == 15
