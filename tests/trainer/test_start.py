import math

import pytest
import torch

from trainer.crops import CropsSettings
from trainer.networks import ARCFACE_TEMPLATE, NetworkSettings, build_network
from trainer.settings import TrainSettings
from trainer.start import StartError, begin, file_digest, read_network
from trainer.weights import Description, WeightFileError, save_weights

CROPS = CropsSettings(112, 14, ARCFACE_TEMPLATE, "sface")


@pytest.fixture
def weight_file(tmp_path):
    settings = NetworkSettings("small", 112, 8, width=4, depths=(1,))
    save_weights(tmp_path / "w.safetensors", build_network(settings), Description(settings, "CC0-1.0"))
    return tmp_path / "w.safetensors"


def test_random_weights_follow_the_seed_and_the_crops():
    made = [begin(TrainSettings(width=4, depths=(1,), dimension=8, seed=seed), CROPS) for seed in (1, 1, 2)]
    first, same, other = (torch.nn.utils.parameters_to_vector(start.network.parameters()) for start in made)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert made[0].settings == NetworkSettings("small", 112, 8, width=4, depths=(1,), template=CROPS.template)
    assert made[0].licence == ""


@pytest.mark.parametrize("kind", ["small", "iresnet"])
@pytest.mark.parametrize(("recipe", "length"), [("batch-hard", math.sqrt(32)), ("dlib", 0.6)])
def test_random_weights_begin_where_the_loss_looks(kind, recipe, length):
    """dlib's loss looks at distances of .6: of embeddings ten times as long it sees none but too far ones."""
    depths = (1,) if kind == "small" else (1, 1, 1, 1)
    start = begin(TrainSettings(kind=kind, recipe=recipe, width=4, depths=depths, dimension=32), CROPS)
    crops = torch.rand(16, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 255
    assert start.network.train()(crops).norm(dim=1).mean().item() == pytest.approx(length, rel=0.05)


def test_the_length_follows_the_settings_of_the_loss():
    settings = TrainSettings(recipe="dlib", loss={"distance_threshold": 2.0}, width=4, depths=(1,), dimension=16)
    norm = begin(settings, CROPS).network.get_submodule("head_norm")
    assert torch.equal(norm.weight, torch.full((16,), 0.5))


def test_a_weight_file_is_begun_with(weight_file):
    start = begin(TrainSettings(init=str(weight_file)), CROPS)
    assert start.settings == NetworkSettings("small", 112, 8, width=4, depths=(1,))
    assert start.licence == "CC0-1.0"
    assert start.origin.startswith("w.safetensors (")


def test_weights_and_crops_must_go_together(weight_file):
    settings = TrainSettings(init=str(weight_file))
    for size, shift in ((96, 0), (112, 2)):
        template = tuple((x + shift, y) for x, y in ARCFACE_TEMPLATE)
        with pytest.raises(StartError, match="make others with `visavis crops --network small`"):
            begin(settings, CropsSettings(size, 14, template, "dlib"))
    with pytest.raises(StartError, match="holds the network 'small', but --network is iresnet"):
        begin(TrainSettings(init=str(weight_file), kind="iresnet"), CROPS)


def test_a_broken_weight_file_is_refused(weight_file):
    content = weight_file.read_bytes()
    weight_file.write_bytes(content[:-100])
    with pytest.raises(WeightFileError, match="cut short"):
        read_network(weight_file)
    with pytest.raises(FileNotFoundError, match="there is no weight file"):
        read_network(weight_file.with_name("other"))


def test_the_makers_files_are_read(weights):
    start = read_network(weights("dlib"), CROPS.template)
    assert (start.settings.kind, start.settings.input_size, start.licence) == ("dlib", 150, "CC0-1.0")
    assert start.settings.template == CROPS.template
    start = read_network(weights("sface"))
    assert (start.settings.kind, start.settings.template) == ("sface", ARCFACE_TEMPLATE)


def test_dlibs_weights_begin_a_faster_network_of_smaller_crops(weights):
    """Its crops decide; what is too small for its layers is refused."""
    settings = TrainSettings(init=str(weights("dlib")), kind="dlib")
    start = begin(settings, CropsSettings(103, 14, ARCFACE_TEMPLATE, "dlib"))
    assert (start.settings.input_size, start.settings.dimension) == (103, 128)
    assert start.origin.endswith(".dat at 103 pixels")
    with torch.inference_mode():
        assert start.network(torch.zeros(2, 3, 103, 103)).shape == (2, 128)
    with pytest.raises(ValueError, match="dlib takes crops of 87 to 150 pixels"):
        begin(settings, CropsSettings(64, 14, ARCFACE_TEMPLATE, "dlib"))


def test_a_file_is_named_by_its_content(weight_file, tmp_path):
    copy = tmp_path / "copy"
    copy.write_bytes(weight_file.read_bytes())
    assert file_digest(copy) == file_digest(weight_file)
    copy.write_bytes(b"other")
    assert file_digest(copy) == "d9298a10d1b0"
