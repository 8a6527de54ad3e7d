import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.augment import Augmentation
from trainer.losses.batch_hard import BatchHard
from trainer.recipes import RECIPES
from trainer.settings import TrainSettings

WARM_UP = {"recipe": "arcface", "then": "batch-hard", "switch_after": 2}


def test_settings_survive_json():
    settings = TrainSettings(
        loss={"margin": None, "sharpness": 10.0}, depths=(1, 2), augmentation=Augmentation(turn=3), teacher="a.onnx"
    )
    assert TrainSettings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings


def test_settings_of_another_version_are_refused():
    content = TrainSettings().as_dict()
    with pytest.raises(ValueError, match="no settings of this version"):
        TrainSettings.from_dict(content | {"colour": 1})
    with pytest.raises(ValueError, match="no settings of this version"):
        TrainSettings.from_dict({name: content[name] for name in content if name != "augmentation"})


def test_the_loss_is_the_last_recipes():
    settings = TrainSettings(recipe="arcface", then="batch-hard", switch_after=2, loss={"margin": None})
    assert settings.loss_settings("batch-hard") == BatchHard(margin=None)
    assert settings.loss_settings("arcface").margin == 0.5
    assert [settings.recipe_in(epoch) for epoch in range(4)] == ["arcface", "arcface", "batch-hard", "batch-hard"]


@given(
    first=st.sampled_from(sorted(RECIPES)),
    second=st.sampled_from([None, *sorted(RECIPES)]),
    draw=st.data(),
)
def test_each_recipe_gets_the_settings_that_name_it(first, second, draw):
    """A named setting goes to its recipe, a bare one to the last; nothing goes to another."""
    last = second or first
    wanted = {name: {} for name in (first, last)}
    loss = {}
    for name, changes in wanted.items():
        for entry in fields(RECIPES[name].settings):
            if entry.name in ("average", "dropout", "center_rate") or not draw.draw(st.booleans()):
                continue
            changes[entry.name] = getattr(RECIPES[name].settings, entry.name) * 1.25
            bare = name == last and draw.draw(st.booleans())
            loss[entry.name if bare else f"{name}.{entry.name}"] = changes[entry.name]
    settings = TrainSettings(recipe=first, then=second, switch_after=1 if second else 0, loss=loss)
    assert TrainSettings.from_dict(json.loads(json.dumps(settings.as_dict()))) == settings
    for name, changes in wanted.items():
        assert settings.loss_settings(name) == replace(RECIPES[name].settings, **changes)


def test_one_crop_each_is_enough_for_classifiers_and_teachers():
    assert TrainSettings(recipe="arcface", crops=1).crops == 1
    assert TrainSettings(recipe=None, teacher="t", crops=1).crops == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"recipe": None}, "nothing to learn from: choose a recipe, a teacher, or both"),
        ({"recipe": "triplets"}, "there is no recipe 'triplets'; there are batch-hard"),
        ({"loss": {"magin": 1.0}}, "batch-hard has no setting 'magin'; it has average, margin, sharpness"),
        ({"loss": {"margin": -1.0}}, "margin must be above 0"),
        ({"then": "facenet", "switch_after": 10}, "after 1 to 9 epochs, not 10"),
        ({"people": 1}, "a batch needs 2 people"),
        ({"epochs": 0}, "must be at least 1"),
        ({"rate": 0.0}, r"must be above 0, its multiples not below: 0\.0"),
        ({"average": 1.0}, "are shares"),
        ({"held_out": 1.0}, "are shares"),
        ({"clip": -1.0}, "must not be below 0"),
        ({"crops": 1}, "batch-hard compares crops of the same person: take --crops-each 2 or more"),
        ({"crops": 1, "recipe": "facenet"}, "facenet compares crops .* --crops-each 2"),
        ({"crops": 1, "recipe": "arcface", "then": "dlib", "switch_after": 1}, "dlib compares crops .* --crops-each 2"),
        ({"loss": {"arcface.margin": 0.1}}, r"arcface\.margin is a setting of arcface, but the run has batch-hard"),
        ({"loss": {"margin": 0.1, "batch-hard.margin": 0.2}}, r"given twice, as margin and as batch-hard\.margin"),
        ({"loss": {"batch-hard.magin": 0.1}}, "batch-hard has no setting 'magin'; it has average, margin, sharpness$"),
        (WARM_UP | {"loss": {"scale": 32.0}}, r"batch-hard has no setting 'scale'.* say arcface\.scale"),
        (WARM_UP | {"loss": {"arcface.magin": 0.1}}, "arcface has no setting 'magin'; it has margin, scale$"),
        (WARM_UP | {"loss": {"arcface.scale": -1.0}}, "scale above 0"),
        ({"loss": {"average": "foo"}}, "average must be all or active, not foo"),
        ({"recipe": "facenet", "loss": {"average": 2.0}}, r"average must be all or active, not 2\.0"),
        (
            {"recipe": None, "teacher": "t", "loss": {"margin": 0.1}},
            "margin is a setting of a recipe's loss, and there",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TrainSettings(**wrong)
