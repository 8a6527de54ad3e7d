"""Fitting the last layer to a teacher: against the definition, and what is left as it was."""

import pytest
import torch
from torch import Tensor, nn

from trainer.teacher_head import fit_head


class _Features(nn.Module):
    """A network whose features are the means of three bands of its crops, with a linear head."""

    def __init__(self, dimension: int, *, bias: bool) -> None:
        super().__init__()
        self.head = nn.Linear(3, dimension, bias=bias)

    def forward(self, crops: Tensor) -> Tensor:
        embeddings: Tensor = self.head(crops.mean(dim=(2, 3)))
        return embeddings


def _crops(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_a_linear_teacher_is_found_again():
    """A teacher that is linear in the features is matched nearly to the last digit, in batches of any size."""
    network, crops = _Features(2, bias=False), _crops(50)
    wanted = crops.mean(dim=(2, 3)) @ torch.tensor([[1.0, 0.0], [-2.0, 0.5], [0.0, 3.0]])
    assert fit_head(network, [(crops[:7], wanted[:7]), (crops[7:], wanted[7:])])
    torch.testing.assert_close(network(crops), wanted, rtol=5e-3, atol=5e-3)


def test_the_fit_is_the_one_of_least_squares():
    """With more to match than a linear map can, the error is that of numpy's least squares."""
    network, crops = _Features(2, bias=True), _crops(40)
    wanted = torch.nn.functional.normalize(torch.randn(40, 2, generator=torch.Generator().manual_seed(1)))
    fit_head(network, [(crops, wanted)])
    design = torch.cat([crops.mean(dim=(2, 3)), torch.ones(40, 1)], dim=1)
    best = design @ torch.linalg.lstsq(design, wanted).solution
    error, least = ((out - wanted).square().sum().item() for out in (network(crops), best))
    assert least <= error * (1 + 1e-6)
    assert error <= least * 1.001


def test_no_other_network_is_touched():
    """A head that is normalised afterwards is left alone, and so is one when there is no crop."""
    network = _Features(2, bias=False)
    before = network.head.weight.clone()
    assert not fit_head(network, [])
    network.head_norm = nn.BatchNorm1d(2)
    assert not fit_head(network, [(_crops(5), torch.ones(5, 2))])
    assert torch.equal(network.head.weight, before)


def test_another_dimension_is_an_error():
    """The teacher's embeddings must be as long as the network's."""
    with pytest.raises(ValueError, match="the teacher gives 4 numbers, the network 2"):
        fit_head(_Features(2, bias=False), [(_crops(5), torch.ones(5, 4))])
