import numpy as np
import pytest

from trainer.metrics import open_set_identification


def searches(seed=0, probes=200, strangers=150):
    rng = np.random.default_rng(seed)
    right = rng.random(probes) < 0.9
    top = np.round(rng.normal(np.where(right, 0.6, 0.35), 0.15), 2)
    return top, right, np.round(rng.normal(0.3, 0.1, strangers), 2)


def test_rates_agree_with_counting_search_by_search():
    top, right, strangers = searches()
    found = open_set_identification(top, right, strangers, (0.01, 0.1, 0.5))
    assert found.rank1 == np.mean(right)
    assert (found.probes, found.strangers) == (200, 150)
    for place, far in enumerate((0.01, 0.1, 0.5)):
        threshold = found.thresholds[place]
        named = sum(s >= threshold for s in strangers)
        assert named <= far * 150 < sum(s >= threshold - 1e-9 for s in strangers)
        hits = sum(bool(r) and t >= threshold for t, r in zip(top, right, strict=True))
        assert found.fpir[place] == pytest.approx(named / 150)
        assert found.dir_at_far[place] == pytest.approx(hits / 200)
        assert found.fnir_at_fpir[place] == pytest.approx(1 - hits / 200)


def test_det_curve_holds_every_trade_off():
    top, right, strangers = searches()
    found = open_set_identification(top, right, strangers)
    det = found.det
    assert len(det.thresholds) == len(np.unique(strangers)) + 1
    assert (det.fpir[0], det.fpir[-1]) == (0, 1)
    assert det.fnir[-1] == pytest.approx(1 - found.rank1)
    assert (np.diff(det.fpir) > 0).all()
    assert (np.diff(det.fnir) <= 0).all()
    for threshold, fpir, fnir in zip(det.thresholds, det.fpir, det.fnir, strict=True):
        assert fpir == pytest.approx(np.mean(strangers >= threshold))
        assert fnir == pytest.approx(np.mean(~(right & (top >= threshold))))


def test_perfect_and_hopeless_searches():
    perfect = open_set_identification([0.8, 0.9], [True, True], [0.1, 0.2])
    assert perfect.rank1 == 1
    np.testing.assert_array_equal(perfect.dir_at_far, 1)
    swapped = open_set_identification([0.1, 0.2], [True, True], [0.8, 0.9], (0.1, 1))
    np.testing.assert_array_equal(swapped.dir_at_far, [0, 1])
    wrong = open_set_identification([0.8, 0.9], [False, False], [0.1, 0.2])
    assert wrong.rank1 == 0
    np.testing.assert_array_equal(wrong.fnir_at_fpir, 1)


def test_a_rate_below_one_stranger_names_none():
    found = open_set_identification([0.5, 0.9], [True, True], [0.1, 0.6], (0.49,))
    np.testing.assert_array_equal(found.fpir, 0)
    np.testing.assert_array_equal(found.dir_at_far, 0.5)


def test_order_changes_nothing():
    top, right, strangers = searches()
    mixed = np.random.default_rng(1).permutation(len(top))
    first = open_set_identification(top, right, strangers)
    second = open_set_identification(top[mixed], right[mixed], strangers[::-1])
    np.testing.assert_array_equal(first.dir_at_far, second.dir_at_far)
    np.testing.assert_array_equal(first.det.fnir, second.det.fnir)


def test_bad_searches_are_named():
    with pytest.raises(ValueError, match="needs probes and strangers: there are 0 and 1"):
        open_set_identification([], [], [0.5])
    with pytest.raises(ValueError, match="needs probes and strangers: there are 1 and 0"):
        open_set_identification([0.5], [True], [])
    with pytest.raises(ValueError, match=r"top_is_right has shape \(2,\)"):
        open_set_identification([0.5], [True, False], [0.5])
    with pytest.raises(ValueError, match=r"impostors\[0\] is nan"):
        open_set_identification([0.5], [True], [np.nan])
