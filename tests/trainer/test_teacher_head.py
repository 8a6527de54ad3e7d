"""Fitting the last layer to a teacher: against the definition, and what is left as it was."""

import pytest
import torch
from torch import Tensor, nn

from trainer.teacher_head import correct_head, fit_head


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


def test_a_head_that_reads_a_whole_map_is_left_alone():
    """Its matrix would take gigabytes."""
    network = nn.Module()
    network.head = nn.Linear(4097, 2)
    before = network.head.weight.clone()
    assert not fit_head(network, [(_crops(5), torch.ones(5, 2))])
    assert torch.equal(network.head.weight, before)


class _Wide(nn.Module):
    """A network whose features are the pixels of its crops: more than there are crops."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(48, 3)

    def forward(self, crops: Tensor) -> Tensor:
        embeddings: Tensor = self.head(crops.flatten(1))
        return embeddings


def test_a_wide_head_is_corrected_by_the_least_that_fits():
    """The dual form gives what ridge regression of what is lacking gives in its primal form."""
    network, crops = _Wide(), _crops(20)
    wanted = torch.nn.functional.normalize(torch.randn(20, 3, generator=torch.Generator().manual_seed(2)))
    weight, bias = network.head.weight.detach().clone(), network.head.bias.detach().clone()
    correct_head(network, [(crops[:9], wanted[:9]), (crops[9:], wanted[9:])])
    features = crops.flatten(1).double()
    given = features @ weight.double().T + bias
    lacking = (given * wanted).sum() / wanted.square().sum() * wanted - given
    centred, rest = features - features.mean(dim=0), lacking - lacking.mean(dim=0)
    ridge = 0.3 * centred.square().sum(dim=1).mean()
    change = torch.linalg.solve(centred.T @ centred + ridge * torch.eye(48), centred.T @ rest).T
    torch.testing.assert_close(network.head.weight.double(), weight + change, rtol=1e-4, atol=1e-5)
    expected = given.mean(dim=0) + lacking.mean(dim=0)
    torch.testing.assert_close(network(crops).mean(dim=0).double(), expected, rtol=1e-4, atol=1e-5)


def test_a_corrected_head_is_nearer_on_other_crops():
    """A teacher that is a little beside the network is met better, also where nobody looked."""
    network, teacher = _Wide(), _Wide()
    with torch.no_grad():
        teacher.head.weight.copy_(network.head.weight + 0.05 * torch.randn(3, 48))
        wanted = torch.nn.functional.normalize(teacher(_crops(70)))

        def nearness() -> float:
            return float(torch.nn.functional.cosine_similarity(network(_crops(70)[40:]), wanted[40:]).mean())

        before = nearness()
        correct_head(network, [(_crops(70)[:40], wanted[:40])])
        assert nearness() > before + 0.01
        correct_head(network, [])
