"""A weight file comes back as it was, and a broken one says what is wrong with it."""

import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainer.networks import NetworkSettings, build_network
from trainer.weights import Description, WeightFileError, load_weights, read_description, save_weights

SETTINGS = NetworkSettings("small", input_size=32, dimension=6, width=4, depths=(1, 1))
DESCRIPTION = Description(
    SETTINGS, licence="CC0-1.0", metrics={"TAR at FAR 1e-4": 0.9}, recipe={"name": "batch-hard", "margin": None}
)


@pytest.fixture
def network():
    torch.manual_seed(3)
    return build_network(SETTINGS).eval()


@pytest.fixture
def path(tmp_path, network):
    save_weights(tmp_path / "network.safetensors", network, DESCRIPTION)
    return tmp_path / "network.safetensors"


def header_of(path):
    size = int.from_bytes(path.read_bytes()[:8], "little")
    return json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["visavis"]


def rewrite(path, change):
    """Write the file again with another description."""
    content = json.loads(header_of(path))
    change(content)
    save_file(load_file(path), path, metadata={"visavis": json.dumps(content)})


def test_a_network_comes_back(path, network):
    loaded, description = load_weights(path)
    crops = torch.rand(3, 3, 32, 32) * 255
    assert torch.equal(loaded(crops), network(crops))
    assert not loaded.training
    assert description == replace(DESCRIPTION, id=description.id)
    assert read_description(path) == description
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing temporary stays


def test_limits_come_back_and_are_part_of_the_id(tmp_path):
    settings = NetworkSettings("dlib", 112, limits=(1.0, *(0.5,) * 27))
    torch.manual_seed(1)
    network, free = build_network(settings).eval(), replace(settings, limits=())
    identity = save_weights(tmp_path / "limited", network, Description(settings, "x"))
    loaded, description = load_weights(tmp_path / "limited")
    crops = torch.rand(2, 3, 112, 112) * 255
    assert description.network == settings
    assert torch.equal(loaded(crops), network(crops))
    assert save_weights(tmp_path / "free", network, Description(free, "x")) != identity
    assert not torch.equal(load_weights(tmp_path / "free")[0](crops), network(crops))


def test_a_description_that_knows_no_limits_has_none(path):
    rewrite(path, lambda content: content["network"].pop("limits"))
    assert load_weights(path)[1].network == SETTINGS


def test_the_id_is_that_of_what_the_network_computes(tmp_path, network):
    def identity(module=network, description=DESCRIPTION):
        return save_weights(tmp_path / "x", module, description)

    first = identity()
    assert len(first) == 16
    assert identity() == first
    assert identity(description=replace(DESCRIPTION, licence="MIT", metrics={})) == first
    moved = replace(SETTINGS, template=((1.0, 2.0), *SETTINGS.template[1:]))
    assert identity(description=replace(DESCRIPTION, network=moved)) != first
    with torch.no_grad():
        network.head_norm.running_mean[0] += 1
    assert identity() != first


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_file_cut_short(path, share):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for read in (load_weights, read_description):
        with pytest.raises(WeightFileError, match=r"network\.safetensors is not a weight file of visavis, or is cut"):
            read(path)


def test_a_flipped_bit(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightFileError, match="was altered after it was written"):
        load_weights(path)


def test_other_files(tmp_path, path):
    pickled = tmp_path / "checkpoint.pt"
    torch.save({"weights": torch.zeros(3)}, pickled)
    with pytest.raises(WeightFileError, match="is not a weight file of visavis"):
        load_weights(pickled)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(3)}, foreign)
    with pytest.raises(WeightFileError, match="a safetensors file, but not one that visavis wrote"):
        load_weights(foreign)
    with pytest.raises(FileNotFoundError, match=r"there is no weight file .*absent"):
        load_weights(tmp_path / "absent")


def test_tensors_of_another_network(path):
    tensors = load_file(path)
    tensors["stem.weight"] = torch.zeros(4, 3, 5, 5)
    save_file(tensors, path, metadata={"visavis": header_of(path)})
    with pytest.raises(WeightFileError, match=r"stem\.weight is torch\.float32 \(4, 3, 5, 5\), but 'small'"):
        load_weights(path)
    tensors["more"] = tensors.pop("head.weight")
    save_file(tensors, path, metadata={"visavis": header_of(path)})
    with pytest.raises(WeightFileError, match=r"1 tensors are missing, 1 unknown \(head\.weight\)"):
        load_weights(path)


def test_descriptions_that_cannot_be_used(path):
    rewrite(path, lambda content: content.update(version=9))
    with pytest.raises(WeightFileError, match="format version 9, but this visavis reads 1: update it"):
        load_weights(path)
    rewrite(path, lambda content: content.update(version=1) or content["network"].update(kind="huge"))
    with pytest.raises(WeightFileError, match="there is no network 'huge'"):
        read_description(path)
    rewrite(path, lambda content: content.pop("network"))
    with pytest.raises(WeightFileError, match="description cannot be read"):
        read_description(path)


def test_what_is_not_saved(tmp_path, network):
    other = replace(DESCRIPTION, network=replace(SETTINGS, dimension=7))
    with pytest.raises(ValueError, match="the network is not a 'small' with these settings"):
        save_weights(tmp_path / "x", network, other)
    with torch.no_grad():
        network.stem.weight[0] = math.nan
    with pytest.raises(ValueError, match=r"stem\.weight and 0 others hold values that are no numbers"):
        save_weights(tmp_path / "x", network, DESCRIPTION)
    assert list(tmp_path.iterdir()) == []
