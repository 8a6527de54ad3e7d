import numpy as np
import pytest
import torch

from tests.trainer.small_crops import write_crops
from trainer.augment import Augmentation
from trainer.crops import CropsError, inner, read_crop, read_crops_folder
from trainer.loader import Loader, clean_batches
from trainer.sampler import PeopleSampler, Position


def loader(root, **parts):
    folder = read_crops_folder(root)
    sampler = PeopleSampler(folder.labels, people=4, crops=2, seed=3)
    return Loader(folder, sampler, Augmentation(), 3, **parts)


def test_batches_are_the_same_whoever_makes_them(crops):
    alone = list(loader(crops, readers=1).batches(Position(1)))
    assert [batch.at for batch in alone] == [Position(1, 0), Position(1, 1), Position(1, 2)]
    several = list(loader(crops, readers=4).batches(Position(1)))
    halves = [list(loader(crops, part=part, parts=2).batches(Position(1))) for part in (0, 1)]
    for number, batch in enumerate(alone):
        assert batch.crops.shape == (8, 3, 32, 32)
        assert batch.crops.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(batch.crops, several[number].crops)
        assert torch.equal(batch.crops, torch.cat([half[number].crops for half in halves]))
        assert (batch.rows == halves[1][number].rows).all()


def test_one_can_begin_anywhere(crops):
    whole = list(loader(crops).batches(Position(0)))
    rest = list(loader(crops).batches(Position(0, 2)))
    assert torch.equal(whole[2].crops, rest[0].crops)
    assert len(rest) == 1


def test_every_epoch_changes_the_crops(crops):
    made = loader(crops)
    assert not torch.equal(next(made.batches(Position(0))).crops, next(made.batches(Position(1))).crops)


def test_another_crop_of_the_person_stands_in_for_a_broken_one(crops):
    (crops / "p03" / "1.png").write_bytes(b"broken")
    said = [text for epoch in range(2) for batch in loader(crops).batches(Position(epoch)) for text in batch.unreadable]
    assert said
    assert all("p03/1.png is no picture" in text for text in said)


def test_a_person_without_a_readable_crop_ends_it(crops):
    for path in (crops / "p03").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(CropsError, match="No other crop of this person can be read"):
        list(loader(crops).batches(Position(0)))


def test_clean_crops_come_in_order_without_their_margin(tmp_path):
    folder = read_crops_folder(write_crops(tmp_path / "crops", 5, 3))
    rows = np.array([4, 1, 14, 0, 7, 2, 3, 9, 11])
    batches = list(clean_batches(folder, rows, 2, lambda crop: inner(crop, folder.settings)))
    assert [len(batch) for batch in batches] == [2, 2, 2, 2, 1]
    for row, found in zip(rows, torch.cat(batches), strict=True):
        expected = inner(read_crop(folder.path(row), 40), folder.settings)
        assert (found.permute(1, 2, 0).numpy() == expected).all()
    assert list(clean_batches(folder, rows[:0], 2, lambda crop: crop)) == []
