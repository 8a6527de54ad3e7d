import numpy as np
import pytest

from trainer.augment import _SPOILERS, Augmentation, augment

NOTHING = Augmentation(mirror=0, turn=0, zoom=0, shift=0, light=0, spoil=0)


@pytest.fixture
def crop():
    smooth = np.linspace(40, 200, 48)[:, None, None] * np.linspace(0.6, 1, 48)[None, :, None] * [1, 0.9, 0.8]
    return smooth.astype(np.uint8)


def copies(crop, how, count=200):
    return np.stack([augment(crop, 40, np.random.default_rng(seed), how) for seed in range(count)])


def test_nothing_takes_the_margin_off_and_no_more(crop):
    assert (augment(crop, 40, np.random.default_rng(0), NOTHING) == crop[4:-4, 4:-4]).all()


def test_the_same_seed_gives_the_same_copy(crop):
    first, again = copies(crop, Augmentation(), 30), copies(crop, Augmentation(), 30)
    assert (first == again).all()
    assert len({copy.tobytes() for copy in first}) == 30
    assert first.dtype == np.uint8
    assert first.shape == (30, 40, 40, 3)


def test_half_of_the_copies_are_mirrored(crop):
    plain = crop[4:-4, 4:-4]
    mirrored = [(copy == plain[:, ::-1]).all() for copy in copies(crop, Augmentation(0.5, 0, 0, 0, 0, 0))]
    assert 0.4 < np.mean(mirrored) < 0.6


def test_small_shifts_take_their_pixels_from_the_margin():
    crop = np.zeros((48, 48, 3), np.uint8)
    crop[4:-4, 4:-4] = 100
    crop[:4], crop[-4:], crop[:, :4], crop[:, -4:] = 250, 250, 250, 250
    shifted = copies(crop, Augmentation(0, 0, 0, 0.03, 0, 0))
    assert (shifted > 200).any(axis=(1, 2, 3)).mean() > 0.8
    assert (shifted >= 100).all()  # never black


def test_turns_are_as_large_as_they_are_said_to_be():
    bar = np.zeros((81, 81, 3), np.uint8)
    bar[38:43, 10:71] = 255
    angles = []
    for seed in range(300):
        y, x = np.nonzero(augment(bar, 81, np.random.default_rng(seed), Augmentation(0, 6, 0, 0, 0, 0))[..., 0] > 128)
        angles.append(np.degrees(np.arctan(np.polyfit(x, y, 1)[0])))
    assert 5 < np.std(angles) < 7


def test_light_changes_brightness_but_not_places(crop):
    lit = copies(crop, Augmentation(0, 0, 0, 0, 1, 0)).astype(float)
    assert lit.mean(axis=(1, 2, 3)).std() > 8
    similarity = [np.corrcoef(copy[..., 0].ravel(), crop[4:-4, 4:-4, 0].ravel())[0, 1] for copy in lit]
    assert min(similarity) > 0.9


@pytest.mark.parametrize("spoil", _SPOILERS, ids=lambda spoil: spoil.__name__.strip("_"))
def test_every_loss_of_quality_changes_a_crop_and_leaves_it_one(spoil):
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    before = crop.copy()
    for seed in range(40):
        spoiled = spoil(crop, np.random.default_rng(seed))
        assert spoiled.shape == crop.shape
        assert spoiled.dtype == np.uint8
        assert (spoiled != crop).any()
    assert (crop == before).all()


def test_so_many_are_spoiled_as_was_asked(crop):
    plain = crop[4:-4, 4:-4]
    spoiled = [(copy != plain).any() for copy in copies(crop, Augmentation(0, 0, 0, 0, 0, 0.3), 400)]
    assert 0.22 < np.mean(spoiled) < 0.38


def test_impossible_shares_are_refused():
    with pytest.raises(ValueError, match=r"shares between 0 and 1, not 1\.5"):
        Augmentation(mirror=1.5)
    with pytest.raises(ValueError, match="must not be below 0"):
        Augmentation(turn=-1)
