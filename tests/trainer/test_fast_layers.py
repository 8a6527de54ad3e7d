"""Layers that train fast on a CPU: they compute what torch's own compute, forward and backward."""

import pytest
import torch
from torch import nn

from trainer.fast_layers import PReLU, StridedDepthwise


def _same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    theirs.load_state_dict(ours.state_dict())  # strict: their weights have the same names and shapes


def _check_against_torch(ours: nn.Module, theirs: nn.Module, maps: torch.Tensor) -> None:
    """Compare outputs and the gradients of the input and of every weight."""
    inputs = [maps.clone().requires_grad_(), maps.clone().requires_grad_()]
    outputs = [layer(x) for layer, x in zip((ours, theirs), inputs, strict=True)]
    weights = torch.randn(outputs[0].shape, generator=torch.Generator().manual_seed(1), dtype=maps.dtype)
    for output in outputs:
        (output * weights).sum().backward()
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_slopes_get_the_gradients_of_torch():
    """Negative slopes too, and an input that is exactly 0."""
    ours, theirs = PReLU(5).double(), nn.PReLU(5).double()
    with torch.no_grad():
        ours.weight.copy_(torch.tensor([-0.5, 0.0, 0.25, 1.0, 1.5]))
    _same_weights(ours, theirs)
    maps = torch.randn(3, 5, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps[0, :, 0, 0] = 0
    _check_against_torch(ours, theirs, maps)


def test_slopes_pass_gradcheck():
    """The written-out gradient is that of the function."""
    layer = PReLU(3).double()
    maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(layer, (maps,))


def test_frozen_slopes_have_no_gradient():
    """Frozen slopes pass the gradient on and get none themselves."""
    layer = PReLU(2)
    layer.requires_grad_(False)
    maps = torch.tensor([[[[-1.0]], [[2.0]]]], requires_grad=True)
    layer(maps).sum().backward()
    assert layer.weight.grad is None
    assert maps.grad is not None
    assert maps.grad.flatten().tolist() == [0.25, 1.0]


@pytest.mark.parametrize(("size", "bias"), [(7, False), (8, False), (8, True)])
def test_strided_depthwise_gets_the_gradients_of_torch(size, bias):
    """At even and odd sizes, with a bias and without."""
    ours = StridedDepthwise(4, bias=bias).double()
    theirs = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4, bias=bias).double()
    _same_weights(ours, theirs)
    maps = torch.randn(2, 4, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _check_against_torch(ours, theirs, maps)


def test_without_gradients_they_compute_the_same():
    """Embedding takes torch's own way; what comes out does not change."""
    maps = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for layer in (PReLU(4), StridedDepthwise(4)):
        with torch.no_grad():
            embedded = layer(maps)
        torch.testing.assert_close(layer(maps).detach(), embedded)


def test_they_train_under_autocast():
    """Weights stay float32 and get float32 gradients where maps are bfloat16."""
    layers = nn.Sequential(StridedDepthwise(4), PReLU(4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layers(torch.randn(2, 4, 8, 8))
    output.float().square().sum().backward()
    assert output.dtype == torch.bfloat16
    assert {p.grad.dtype for p in layers.parameters() if p.grad is not None} == {torch.float32}
