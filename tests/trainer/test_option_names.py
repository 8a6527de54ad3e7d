import json

import click
from hypothesis import given
from hypothesis import strategies as st

from indexer.commands.train import train
from trainer.option_names import as_options
from trainer.settings import TrainSettings


def test_every_setting_is_called_as_its_option():
    known = {name for parameter in train.params if isinstance(parameter, click.Option) for name in parameter.opts}
    without = {"--mirror", "--keep-triplets"}  # nobody needs to choose them
    assert as_options(TrainSettings().as_dict()).keys() - known == without


def test_values_are_written_as_they_are_given():
    settings = TrainSettings(loss={"margin": None, "sharpness": 10.0}, depths=(1, 2), fit_head=False, kind="slim")
    options = as_options(settings.as_dict())
    assert (options["--loss"], options["--depths"]) == ("margin=none,sharpness=10.0", "1,2")
    assert (options["--fit-head"], options["--network"], options["--init"]) == ("no", "slim", "not given")
    assert as_options(TrainSettings().as_dict())["--loss"] == "not given"


@given(st.integers(2, 99), st.lists(st.integers(1, 9), max_size=4), st.floats(0, 1))
def test_settings_read_again_are_written_alike(crops, depths, spoil):
    settings = TrainSettings(crops=crops, depths=tuple(depths)).as_dict()
    settings["augmentation"] = {"spoil": spoil}
    options = as_options(settings)
    assert as_options(json.loads(json.dumps(settings))) == options
    assert (options["--crops-each"], options["--spoil"]) == (str(crops), str(spoil))
