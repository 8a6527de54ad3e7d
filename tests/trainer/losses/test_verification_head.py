"""DeepFace's measures of likeness against their formulas, and fitted to pairs whose answer is known."""

import pytest
import torch

from trainer.losses.verification_head import VerificationHead, feature_differences, fit_verification_head, pair_loss

MEASURES = ["chi-squared", "siamese"]


def pairs(count=400):
    """Pairs of faces with 8 features, of which only the first three tell people apart; the last is always 0."""
    generator = torch.Generator().manual_seed(9)
    first = torch.rand(count, 8, generator=generator, dtype=torch.float64)
    second = torch.rand(count, 8, generator=generator, dtype=torch.float64)
    same = torch.arange(count) % 2 == 0
    second[same, :3] = (first[same, :3] + 0.05 * torch.randn(int(same.sum()), 3, generator=generator)).clamp_min(0)
    first[:, 7] = second[:, 7] = 0
    return first, second, same


def test_scores_match_the_formulas():
    f, g, w = [0.5, 0.0, 2.0, -1.0], [0.25, 0.0, 0.5, 3.0], [1.0, 5.0, 0.5, 0.1]
    for measure in MEASURES:
        head = VerificationHead(measure, 4)
        with torch.no_grad():
            head.weights.copy_(torch.tensor(w))
            head.threshold.fill_(1.5)
        if measure == "siamese":
            expected = 1.5 - (0.25 + 0.5 * 1.5 + 0.1 * 4)
        else:  # features below 0 count as 0
            expected = 1.5 - (0.25**2 / 0.75 + 0.5 * 1.5**2 / 2.5 + 0.1 * 3)
        assert head(torch.tensor([f]), torch.tensor([g])).item() == pytest.approx(expected)


@pytest.mark.parametrize("measure", MEASURES)
def test_gradient_is_that_of_the_loss(measure):
    first, second, same = pairs(10)
    first, second = first[:, :7].clone().requires_grad_(), second[:, :7].clone().requires_grad_()
    head = VerificationHead(measure, 7).double()
    parameters = (first, second, head.weights, head.threshold)
    assert torch.autograd.gradcheck(lambda a, b, *_: pair_loss(measure, head(a, b), same), parameters)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_fit_finds_what_tells_people_apart(measure):
    """The three features that matter get the weight; the fitted head beats the same weight for all."""
    first, second, same = pairs()
    head = fit_verification_head(measure, first, second, same)
    assert ((head(first, second) > 0) == same).double().mean() > 0.95
    assert head.weights[:3].min() > 5 * head.weights[3:7].abs().max()
    assert bool(torch.isfinite(head.weights).all())
    even = feature_differences(measure, first, second).mean(dim=1)
    assert max(((even < t) == same).double().mean() for t in even) < 0.9


@pytest.mark.parametrize("measure", MEASURES)
def test_a_fit_is_at_its_lowest(measure):
    """No small change of the weights lowers what was minimised."""
    first, second, same = pairs(100)
    head = fit_verification_head(measure, first, second, same, ridge=1e-2).requires_grad_(False)
    unit = feature_differences(measure, first, second).mean(dim=0)

    def value(weights):
        scores = head.threshold - feature_differences(measure, first, second) @ weights
        return float(pair_loss(measure, scores, same) + 1e-2 * (weights * unit).square().sum())

    fitted = value(head.weights)
    for feature in range(7):
        for change in (-0.01, 0.01):
            weights = head.weights.clone()
            weights[feature] += change / unit[feature]
            assert value(weights) > fitted


def test_wrong_arguments():
    first, second, same = pairs(10)
    with pytest.raises(ValueError, match="are not pairs"):
        fit_verification_head("siamese", first, second[:5], same)
    with pytest.raises(ValueError, match="pairs of one person and pairs of two people"):
        fit_verification_head("siamese", first, second, torch.ones(10, dtype=torch.bool))
