import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.trainer.small_crops import write_crops
from trainer.checkpoint import (
    Checkpoint,
    CheckpointError,
    contents_digest,
    load_checkpoint,
    optimizer_tensors,
    restore,
    restore_optimizer,
    save_checkpoint,
)
from trainer.crops import read_crops_folder


def test_what_was_saved_comes_back(tmp_path):
    tensors = {"a/x/y": torch.rand(3, 2), "b/z": torch.arange(4), "b/w": torch.tensor(2.5)}
    save_checkpoint(tmp_path / "c", Checkpoint(tensors, {"step": 3, "loss": float("nan"), "names": ["Zoë"]}))
    found = load_checkpoint(tmp_path / "c")
    assert found.part("a").keys() == {"x/y"}
    torch.testing.assert_close(dict(found.tensors), tensors)
    assert found.state["names"] == ["Zoë"]
    assert np.isnan(found.state["loss"])
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_checkpoint_that_is_none_is_refused(tmp_path):
    path = tmp_path / "c"
    save_checkpoint(path, Checkpoint({"a/x": torch.rand(100)}, {}))
    content = path.read_bytes()
    for broken in (content[:-7], content[:20], b""):
        path.write_bytes(broken)
        with pytest.raises(CheckpointError, match=r"is damaged .* begin again with --fresh"):
            load_checkpoint(path)
    save_file({"a": torch.rand(1)}, path)
    with pytest.raises(CheckpointError, match="no checkpoint of version 1"):
        load_checkpoint(path)


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_an_optimizer_goes_on_bit_for_bit(kind):
    def made():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
        network = network.to(memory_format=torch.channels_last)
        make = torch.optim.AdamW if kind == "adamw" else torch.optim.SGD
        return network, make(network.parameters(), lr=0.1, **({} if kind == "adamw" else {"momentum": 0.9}))

    def step(network, optimizer, seed):
        optimizer.zero_grad()
        inputs = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
        network(inputs).square().sum().backward()
        optimizer.step()

    straight, optimizer = made()
    for seed in range(4):
        step(straight, optimizer, seed)
    first, optimizer = made()
    for seed in range(2):
        step(first, optimizer, seed)
    kept = {name: value.clone().contiguous() for name, value in optimizer_tensors(optimizer).items()}
    weights = {name: value.clone().contiguous() for name, value in first.state_dict().items()}
    second, optimizer = made()
    restore(second, weights)
    restore_optimizer(optimizer, kept)
    for seed in (2, 3):
        step(second, optimizer, seed)
    for one, other in zip(straight.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(CheckpointError, match="other layers in training"):
        restore_optimizer(optimizer, {"9/momentum": torch.rand(1)})
    with pytest.raises(CheckpointError, match="of another network"):
        restore_optimizer(optimizer, {"0/momentum": torch.rand(1)})
    with pytest.raises(CheckpointError, match="of another network"):
        restore(second, {"weight": torch.rand(1)})


def test_other_crops_have_another_digest(tmp_path):
    before = contents_digest(read_crops_folder(write_crops(tmp_path / "a", 3, 2)))
    assert contents_digest(read_crops_folder(write_crops(tmp_path / "b", 3, 2, seed=1))) == before
    assert contents_digest(read_crops_folder(write_crops(tmp_path / "c", 3, [2, 2, 3]))) != before
