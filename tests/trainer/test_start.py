import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trainer.crops import CropsSettings
from trainer.networks import NetworkSettings, build_network
from trainer.settings import TrainSettings
from trainer.start import Start, StartError, begin, check_crops, file_digest, read_network, read_teacher
from trainer.templates import ARCFACE_TEMPLATE, DLIB_TEMPLATE, DLIB_YUNET_TEMPLATE, NAMED, is_same, scaled
from trainer.weights import Description, WeightFileError, save_weights

CROPS = CropsSettings(112, 14, ARCFACE_TEMPLATE, "sface")
NAMES = st.sampled_from(sorted(NAMED))


def cut_for(network, size):
    """What `visavis crops --network NETWORK --size SIZE` cuts."""
    own, template = NAMED[network]
    return CropsSettings(size, 14, scaled(template, size / own), network)


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
        with pytest.raises(StartError, match=r"make others with `visavis crops \.\.\. --network sface --size 112`"):
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
    start = read_network(weights("dlib"))
    assert (start.settings.kind, start.settings.input_size, start.licence) == ("dlib", 150, "CC0-1.0")
    assert start.settings.template == DLIB_TEMPLATE
    start = read_network(weights("sface"))
    assert (start.settings.kind, start.settings.template) == ("sface", ARCFACE_TEMPLATE)


def test_dlibs_weights_begin_a_faster_network_of_smaller_crops(weights):
    """Its crops decide; what is too small for its layers is refused."""
    settings = TrainSettings(init=str(weights("dlib")), kind="dlib")
    start = begin(settings, cut_for("dlib", 103))
    assert (start.settings.input_size, start.settings.dimension) == (103, 128)
    assert start.origin.endswith(".dat at 103 pixels")
    with torch.inference_mode():
        assert start.network(torch.zeros(2, 3, 103, 103)).shape == (2, 128)
    assert is_same(start.settings.template, scaled(DLIB_TEMPLATE, 103 / 150))


@pytest.mark.parametrize("size", [87, 112, 150])
def test_dlibs_weights_take_what_crops_cuts_for_dlib(weights, size):
    crops = cut_for("dlib", size)
    start = begin(TrainSettings(init=str(weights("dlib")), kind="dlib"), crops)
    assert (start.settings.input_size, start.settings.template) == (size, crops.template)


def test_dlibs_weights_take_the_crops_of_an_album_of_yunet(weights):
    crops = CropsSettings(150, 19, DLIB_YUNET_TEMPLATE, "dlib")
    assert begin(TrainSettings(init=str(weights("dlib")), kind="dlib"), crops).settings.template == DLIB_YUNET_TEMPLATE


@pytest.mark.parametrize(
    ("crops", "found"),
    [
        (cut_for("sface", 150), "SFace's template and 150 pixels"),
        (cut_for("sface", 112), "SFace's template and 112 pixels"),
        (cut_for("dlib", 64), "dlib's template and 64 pixels"),
        (cut_for("dlib", 200), "dlib's template and 200 pixels"),
        (CropsSettings(150, 19, scaled(DLIB_TEMPLATE, 1.02), "dlib"), "a template of their own and 150 pixels"),
    ],
)
def test_dlibs_weights_refuse_crops_that_would_ruin_them(weights, crops, found):
    """They compute something for any crops; on those of SFace's template they tell people apart half as well."""
    with pytest.raises(StartError) as error:
        begin(TrainSettings(init=str(weights("dlib")), kind="dlib"), crops)
    assert f"these crops have {found}: make others with `visavis crops ... --network dlib`" in str(error.value)
    assert "takes crops of 87 to 150 pixels with dlib's template" in str(error.value)


@pytest.mark.parametrize("network", ["sface", "dlib"])
def test_dlib_teaches_with_its_own_template(weights, network):
    """What it looks at is cut again from crops of any template and size."""
    for size in (64, 112, 150):
        teacher = read_teacher(weights("dlib"), cut_for(network, size), 128).settings
        assert (teacher.input_size, teacher.template) == (150, DLIB_TEMPLATE)
    of_yunet = CropsSettings(75, 9, scaled(DLIB_YUNET_TEMPLATE, 0.5), "dlib")
    assert read_teacher(weights("dlib"), of_yunet, 128).settings.template == DLIB_YUNET_TEMPLATE


@given(sizes=st.tuples(st.integers(32, 1024), st.integers(32, 1024)), names=st.tuples(NAMES, NAMES))
@hypothesis_settings(deadline=None, max_examples=50)
def test_the_remedy_makes_crops_that_fit(sizes, names):
    """Whatever template and size weights want: the command that a refusal names cuts such crops."""
    wanted = cut_for(names[0], sizes[0])
    start = Start(torch.nn.Identity(), NetworkSettings("small", wanted.size, template=wanted.template), "", "w")
    if (sizes[0], names[0]) == (sizes[1], names[1]):
        check_crops(start, cut_for(names[1], sizes[1]))
        return
    with pytest.raises(StartError) as error:
        check_crops(start, cut_for(names[1], sizes[1]))
    found = re.search(r"`visavis crops \.\.\. --network (\w+) --size (\d+)`", str(error.value))
    check_crops(start, cut_for(found[1], int(found[2])))


def test_weights_that_no_crops_fit_say_so():
    """An album's own template, as of YuNet's points, is cut out of an album only."""
    template = tuple((x + 1, y) for x, y in ARCFACE_TEMPLATE)
    start = Start(torch.nn.Identity(), NetworkSettings("small", 112, template=template), "", "w.safetensors")
    with pytest.raises(StartError) as error:
        check_crops(start, CROPS)
    assert "with a template that no `visavis crops --network` has" in str(error.value)
    assert "`visavis train --album`" in str(error.value)


def test_a_file_is_named_by_its_content(weight_file, tmp_path):
    copy = tmp_path / "copy"
    copy.write_bytes(weight_file.read_bytes())
    assert file_digest(copy) == file_digest(weight_file)
    copy.write_bytes(b"other")
    assert file_digest(copy) == "d9298a10d1b0"
