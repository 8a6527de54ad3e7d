from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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
    made = loader(crops)
    row = list(made.folder.paths).index("p03/1.png")
    found = [batch for epoch in range(2) for batch in made.batches(Position(epoch))]
    said = [text for batch in found for text in batch.unreadable]
    assert said
    assert all("p03/1.png is no picture" in text and ". p03/0.png stands in for it. A run" in text for text in said)
    for batch in found:
        assert row not in batch.rows
        assert (made.folder.labels[batch.rows] == made.folder.labels[made.sampler.batch(batch.at)]).all()


def test_somebody_else_stands_in_for_a_person_without_a_readable_crop(crops):
    """Under its own name: the rows of a batch say which crop is seen."""
    for path in (crops / "p03").iterdir():
        path.write_bytes(b"")
    made = replace(loader(crops), how=Augmentation(0, 0, 0, 0, 0, 0))
    places = 0
    for batch in made.batches(Position(0)):
        wanted = made.sampler.batch(batch.at)
        for place, row in enumerate(batch.rows.tolist()):
            seen = inner(read_crop(made.folder.path(row), 40), made.folder.settings)
            assert (batch.crops[place].permute(1, 2, 0).numpy() == seen).all()
            if made.folder.paths[wanted[place]].startswith("p03"):
                places += 1
                assert made.folder.paths[row] == f"p04/{made.folder.paths[wanted[place]][-5:]}"
                assert any("so that p04" in text and "under its own name" in text for text in batch.unreadable)
            else:
                assert row == wanted[place]
    assert places == 2


@settings(deadline=None, max_examples=25)
@given(
    counts=st.lists(st.integers(1, 4), min_size=4, max_size=8),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
)
def test_whatever_is_broken_a_batch_has_readable_crops_that_are_dealt(counts, share, seed):
    with TemporaryDirectory() as folder:
        root = write_crops(Path(folder) / "crops", len(counts), counts)
        files = sorted(root.glob("p*/*.png"))
        for path in np.array(files)[np.random.default_rng(seed).random(len(files)) < share].tolist():
            path.write_bytes(b"")
        (root / "p00" / "0.png").write_bytes(b"")
        made = loader(root)
        dealt = np.where(made.folder.labels > 0, made.folder.labels, -1)  # p00 is held out, say
        made = replace(made, sampler=PeopleSampler(dealt, people=3, crops=2, seed=seed))
        readable = {row for row in made.sampler.rows.tolist() if made.folder.path(row).stat().st_size}
        assert set(made.sampler.rows) == set(np.flatnonzero(dealt >= 0))
        if not readable:
            with pytest.raises(CropsError, match="No other crop can be read either"):
                list(made.batches(Position(0)))
            return
        for batch in made.batches(Position(0)):
            assert set(batch.rows.tolist()) <= readable


def test_a_process_tells_the_others_who_stands_in(crops):
    for path in (crops / "p03").iterdir():
        path.write_bytes(b"")
    whole = list(loader(crops).batches(Position(0)))
    told: list[list[np.ndarray]] = []
    for part in (0, 1):
        rows: list[np.ndarray] = []

        def join(mine: np.ndarray, rows: list[np.ndarray] = rows) -> np.ndarray:
            rows.append(mine)
            return mine

        assert len(list(replace(loader(crops), part=part, parts=2, join=join).batches(Position(0)))) == len(whole)
        told.append(rows)
    for batch, first, second in zip(whole, *told, strict=True):
        assert (batch.rows == np.concatenate([first, second])).all()


def test_clean_crops_come_in_order_without_their_margin(tmp_path):
    folder = read_crops_folder(write_crops(tmp_path / "crops", 5, 3))
    rows = np.array([4, 1, 14, 0, 7, 2, 3, 9, 11])
    batches = list(clean_batches(folder, rows, 2, lambda crop: inner(crop, folder.settings)))
    assert [len(batch) for batch in batches] == [2, 2, 2, 2, 1]
    for row, found in zip(rows, torch.cat(batches), strict=True):
        expected = inner(read_crop(folder.path(row), 40), folder.settings)
        assert (found.permute(1, 2, 0).numpy() == expected).all()
    assert list(clean_batches(folder, rows[:0], 2, lambda crop: crop)) == []
