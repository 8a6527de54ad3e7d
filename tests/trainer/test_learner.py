import pytest
import torch

from trainer.learner import Learner, Lesson
from trainer.networks import NetworkSettings, build_network
from trainer.processes import Processes
from trainer.settings import TrainSettings
from trainer.start import Start

ALONE = Processes(0, 1, torch.device("cpu"))
BASE = dict(people=3, crops=2, rate=1e-2, warm_up=0.0, average=0.9)  # noqa: C408


def learner(bfloat16=False, **changes):
    settings = TrainSettings(**(BASE | changes))
    torch.manual_seed(2)
    shape = NetworkSettings("small", 32, 8, width=4, depths=(1,))
    return Learner(Start(build_network(shape), shape, "", ""), settings, 3, ALONE, bfloat16=bfloat16)


def crops(count=6, seed=0):
    pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return pixels.contiguous(memory_format=torch.channels_last)


def lesson(recipe="batch-hard", doubted=(), wanted=None):
    mask = torch.zeros(6, dtype=torch.bool)
    mask[list(doubted)] = True
    return Lesson(recipe, torch.tensor([0, 0, 1, 1, 2, 2]), mask, wanted)


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_a_step_moves_the_weights_and_their_mean():
    taught = learner()
    before = weights(taught.network)
    step = taught.step(crops(), lesson(), 0, 10)
    after = weights(taught.network)
    assert step.finite
    assert step.rate == 1e-2
    assert step.gradient_norm > 0
    assert not torch.equal(before["head.weight"], after["head.weight"])
    expected = torch.lerp(before["head.weight"], after["head.weight"], 1 - 1 / 10)
    torch.testing.assert_close(weights(taught.result)["head.weight"], expected)
    assert taught.result is not taught.network
    assert learner(average=0.0).result.training in (True, False)


def test_learning_lowers_the_loss():
    taught = learner()
    losses = [float(taught.step(crops(), lesson(), number, 40).outcome.loss) for number in range(40)]
    assert losses[-1] < losses[0] / 2


def test_parts_give_the_gradient_of_the_whole():
    whole, parts = (learner(freeze_norm=True, optimizer="sgd", momentum=0.0, part=part) for part in (0, 2))
    for taught in (whole, parts):
        taught.step(crops(), lesson(), 0, 10)
    torch.testing.assert_close(weights(parts.network), weights(whole.network), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("part", [0, 3])
def test_a_step_without_numbers_changes_nothing(part):
    taught = learner(part=part)
    taught.step(crops(), lesson(), 0, 10)
    with torch.no_grad():
        taught.network.head.weight[0, 0] = float("nan")
    before, mean = weights(taught.network), weights(taught.average)
    step = taught.step(crops(seed=1), lesson(), 1, 10)
    assert not step.finite
    torch.testing.assert_close(weights(taught.network), before, equal_nan=True, atol=0, rtol=0)
    torch.testing.assert_close(weights(taught.average), mean, atol=0, rtol=0)
    assert all(torch.isfinite(v).all() for n, v in before.items() if "head.weight" not in n)


def test_frozen_layers_stay_as_they_are():
    taught = learner(freeze=2)
    before = weights(taught.network)
    taught.step(crops(), lesson(), 0, 10)
    after = weights(taught.network)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith("stem") for name in changed)
    assert any(name.startswith("stages.0") for name in changed)


def test_doubtful_crops_count_as_little_as_they_are_told_to():
    rows = torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
    doubted = lesson(doubted=(1, 4))
    keep = ~doubted.doubted
    recipe = TrainSettings().loss_settings("batch-hard")
    trusted, everything = recipe(rows[keep], doubted.labels[keep]).loss, recipe(rows, doubted.labels).loss
    assert not torch.allclose(trusted, everything)
    for weight, expected in ((0.0, trusted), (1.0, everything), (0.25, 0.25 * everything + 0.75 * trusted)):
        outcome, _ = learner(suspect_weight=weight)._loss(rows, doubted)
        torch.testing.assert_close(outcome.loss, expected)


def test_a_teacher_is_followed_with_and_without_a_recipe():
    wanted = torch.nn.functional.normalize(torch.rand(6, 8, generator=torch.Generator().manual_seed(3)) - 0.5)
    alone = learner(recipe=None, teacher="t")
    steps = [alone.step(crops(), lesson(None, wanted=wanted), number, 60) for number in range(60)]
    assert steps[-1].distillation < steps[0].distillation / 2
    assert steps[-1].outcome.same_similarities.mean() > steps[0].outcome.same_similarities.mean() + 0.3
    rows = torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
    both, distance = learner(teacher="t", teacher_weight=3.0)._loss(rows, lesson(wanted=wanted))
    recipe, nothing = learner()._loss(rows, lesson())
    assert both.loss.item() == pytest.approx(recipe.loss.item() + 3 * distance.item())
    assert nothing.isnan()


def test_dropout_depends_on_the_step_alone():
    first, second = (learner(recipe="deepface") for _ in range(2))
    torch.rand(100)
    one = first.step(crops(), lesson("deepface"), 7, 10)
    torch.rand(3)
    other = second.step(crops(), lesson("deepface"), 7, 10)
    assert float(one.outcome.loss) == float(other.outcome.loss)


def test_bfloat16_steps_learn_too():
    taught = learner(bfloat16=True)
    losses = [float(taught.step(crops(), lesson(), number, 40).outcome.loss) for number in range(40)]
    assert losses[-1] < losses[0] / 2
    assert taught.network.head.weight.dtype == torch.float32


@pytest.mark.parametrize("recipe", ["batch-hard", "facenet", "dlib", "center", "deepface", "arcface", "cosface"])
def test_every_recipe_goes_on_from_its_state_bit_for_bit(recipe):
    straight, first, second = (learner(recipe=recipe) for _ in range(3))
    for number in range(4):
        straight.step(crops(seed=number), lesson(recipe), number, 4)
    for number in range(2):
        first.step(crops(seed=number), lesson(recipe), number, 4)
    kept = {name: value.clone().contiguous() for name, value in first.tensors().items()}
    second.restore(lambda part: {n.split("/", 1)[1]: v for n, v in kept.items() if n.split("/", 1)[0] == part})
    for number in (2, 3):
        second.step(crops(seed=number), lesson(recipe), number, 4)
    assert straight.tensors().keys() == second.tensors().keys()
    for name, value in straight.tensors().items():
        assert torch.equal(value, second.tensors()[name]), name
