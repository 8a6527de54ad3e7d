import json

import pytest

from trainer.augment import Augmentation
from trainer.losses.batch_hard import BatchHard
from trainer.settings import TrainSettings


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
