import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from trainer.metrics import (
    accuracy_by_fold,
    all_pairs_verification,
    area_under,
    best_threshold,
    interleaved_halves,
    roc_curve,
    share_at_or_above,
    tar_at_far,
    thresholds_at_far,
)

FARS = (1e-3, 1e-2, 1e-1)


def scored_pairs(rng, count=400, decimals=2):
    """Similarities with many ties, and which of the pairs are genuine."""
    same = rng.random(count) < 0.4
    return np.round(rng.normal(np.where(same, 0.5, 0.2), 0.2), decimals), same


def threshold_by_trial(impostors, far):
    """The definition: of all numbers just above an impostor, and -inf, the smallest that lets few enough in."""
    candidates = [-np.inf, *np.nextafter(np.unique(impostors), np.inf)]
    return next(t for t in candidates if np.mean(impostors >= t) <= far)


@pytest.mark.parametrize("seed", range(5))
def test_roc_is_scikit_learns(seed):
    similarities, same = scored_pairs(np.random.default_rng(seed))
    roc = roc_curve(similarities, same)
    far, tar, thresholds = sklearn_roc_curve(same, similarities, drop_intermediate=False)
    np.testing.assert_allclose(roc.far, far)
    np.testing.assert_allclose(roc.tar, tar)
    np.testing.assert_array_equal(roc.thresholds, thresholds)
    assert area_under(roc) == pytest.approx(roc_auc_score(same, similarities))


def test_area_is_1_where_kinds_are_apart_half_where_all_tie_and_0_where_they_are_swapped():
    same = np.array([True, True, False, False])
    assert area_under(roc_curve([0.9, 0.8, 0.2, 0.1], same)) == 1
    assert area_under(roc_curve([0.5, 0.5, 0.5, 0.5], same)) == 0.5
    assert area_under(roc_curve([0.1, 0.2, 0.8, 0.9], same)) == 0


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_is_better_than_the_best(seed):
    similarities, same = scored_pairs(np.random.default_rng(seed), count=60)
    accuracy = np.mean((similarities >= best_threshold(similarities, same)) == same)
    assert accuracy == max(np.mean((similarities >= t) == same) for t in [*similarities, np.inf])


def test_best_threshold_lies_halfway_and_refuses_or_accepts_all_where_that_is_best():
    assert best_threshold([0.2, 0.8], [False, True]) == pytest.approx(0.5)
    assert best_threshold([0.2, 0.8], [True, True]) == -np.inf
    assert best_threshold([0.2, 0.8], [False, False]) == np.inf
    # Equally good are -inf, .5 and inf: the middle one. Of -inf and .85: the lower one.
    assert best_threshold([0.2, 0.4, 0.6, 0.8], [True, False, True, False]) == pytest.approx(0.5)
    assert best_threshold([0.2, 0.8, 0.9], [True, False, True]) == -np.inf


def test_best_threshold_between_neighbouring_floats_keeps_them_apart():
    low = np.float64(0.5)
    high = np.nextafter(low, 1)
    assert low < best_threshold([low, high], [False, True]) <= high


def test_accuracy_by_fold_picks_each_threshold_on_the_other_folds():
    similarities = np.array([0.1, 0.7, 0.3, 0.9, 0.5, 0.8])
    same = np.array([False, True, False, True, True, False])
    folds = np.array([1, 1, 2, 2, 3, 3])
    found = accuracy_by_fold(similarities, same, folds)
    for place, fold in enumerate((1, 2, 3)):
        rest = folds != fold
        threshold = best_threshold(similarities[rest], same[rest])
        assert found.thresholds[place] == threshold
        assert found.accuracies[place] == np.mean((similarities[~rest] >= threshold) == same[~rest])
    assert found.mean == pytest.approx(np.mean(found.accuracies))
    assert found.std == pytest.approx(np.std(found.accuracies, ddof=1))
    assert found.accuracies[2] == 0.5  # .8 is an impostor, but .7 is not


def test_accuracy_is_1_where_kinds_are_apart():
    found = accuracy_by_fold([0.9, 0.8, 0.2, 0.1], [True, True, False, False], interleaved_halves([1, 1, 0, 0]))
    assert (found.mean, found.std) == (1, 0)


def test_halves_hold_as_many_of_each_kind():
    same = np.array([True] * 5 + [False] * 4)
    np.testing.assert_array_equal(interleaved_halves(same), [0, 1, 0, 1, 0, 0, 1, 0, 1])


@given(
    arrays(np.float32, st.integers(1, 30), elements=st.sampled_from(np.float32([-1, 0.1, 0.25, 0.3, 1])), fill=None),
    st.sampled_from([0, 0.01, 0.1, 0.29, 1 / 3, 0.5, 0.7, 1]),
)
def test_thresholds_are_the_smallest_that_the_definition_allows(impostors, far):
    assert thresholds_at_far(impostors, [far])[0] == threshold_by_trial(impostors, far)


def test_a_far_that_falls_just_short_of_a_whole_number_lets_that_number_in():
    impostors = np.arange(100) / 100
    assert 0.29 * 100 < 29
    assert np.count_nonzero(impostors >= thresholds_at_far(impostors, [0.29])[0]) == 29


def test_the_largest_impostors_are_enough():
    impostors = np.random.default_rng(0).normal(size=1000)
    largest = np.sort(impostors)[-101:]
    np.testing.assert_array_equal(thresholds_at_far(largest, FARS, total=1000), thresholds_at_far(impostors, FARS))
    with pytest.raises(ValueError, match="needs the 201 largest impostors, but only 101"):
        thresholds_at_far(largest, [0.2], total=1000)


def test_a_similarity_at_the_threshold_counts():
    np.testing.assert_array_equal(
        share_at_or_above([0.1, 0.5, 0.5, 0.9], [0.5, 0.6, -np.inf, np.inf]), [0.75, 0.25, 1, 0]
    )


def test_tied_impostors_are_refused_together():
    found = tar_at_far([0.5, 0.6, 0.9], [0.1, 0.2, 0.5, 0.5], [0.25, 0.5])
    np.testing.assert_array_equal(found.far, [0, 0.5])
    np.testing.assert_allclose(found.tar, [2 / 3, 1])
    assert found.thresholds[0] == np.nextafter(0.5, 1)


def test_tar_is_1_where_kinds_are_apart_and_0_where_they_are_swapped():
    np.testing.assert_array_equal(tar_at_far([0.8, 0.9], [0.1, 0.2], [0, 0.5, 1]).tar, [1, 1, 1])
    np.testing.assert_array_equal(tar_at_far([0.1, 0.2], [0.8, 0.9], [0, 0.5, 1]).tar, [0, 0, 1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_threshold_is_exact_in_the_precision_of_the_similarities(dtype):
    impostors = np.array([0.1, 0.3], dtype=dtype)
    threshold = thresholds_at_far(impostors, [0])
    np.testing.assert_array_equal(share_at_or_above(impostors, threshold), [0])
    np.testing.assert_array_equal(impostors >= threshold[0].astype(dtype), [False, False])


def test_bad_pairs_are_named():
    with pytest.raises(ValueError, match=r"same has shape \(3,\), but similarities has shape \(2,\)"):
        roc_curve([0.1, 0.2], [True, False, True])
    with pytest.raises(ValueError, match=r"similarities\[1\] is nan"):
        roc_curve([0.1, np.nan], [True, False])
    with pytest.raises(ValueError, match="same is True for all 2 pairs"):
        roc_curve([0.1, 0.2], [True, True])
    with pytest.raises(ValueError, match="there is no pair"):
        best_threshold([], [])
    with pytest.raises(ValueError, match="holds only fold 4"):
        accuracy_by_fold([0.1, 0.2], [True, False], [4, 4])
    with pytest.raises(ValueError, match=r"folds has shape \(1,\)"):
        accuracy_by_fold([0.1, 0.2], [True, False], [4])
    with pytest.raises(ValueError, match=r"between 0 and 1, not 1.5"):
        thresholds_at_far([0.1], [1.5])
    with pytest.raises(ValueError, match="at least one is needed"):
        thresholds_at_far([], [0.1])
    with pytest.raises(ValueError, match="genuine holds no pair"):
        tar_at_far([], [0.1], [0.1])


def faces(rng, sizes, dimensions=16, spread=0.5):
    """Unit rows around one random direction for each person, shuffled."""
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = rng.normal(size=(len(sizes), dimensions))[labels] + spread * rng.normal(size=(len(labels), dimensions))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def every_pair(embeddings, labels):
    first, second = np.triu_indices(len(labels), k=1)
    return (embeddings @ embeddings.T)[first, second], labels[first] == labels[second]


@pytest.mark.parametrize("tile_rows", [1, 64, 1000])
@pytest.mark.parametrize("spare", [1, 1 << 18])
@pytest.mark.parametrize("fars", [(0, 1e-4, 1e-3, 1e-2), (0.3, 1)])
def test_all_pairs_agree_with_the_full_matrix(tile_rows, spare, fars, monkeypatch):
    monkeypatch.setattr("trainer.metrics.all_pairs._SPARE", spare)
    rng = np.random.default_rng(3)
    embeddings, labels = faces(rng, [1] * 20 + [2] * 20 + [5] * 8 + [70], spread=1.0)
    found = all_pairs_verification(embeddings, labels, fars, tile_rows=tile_rows)
    similarities, same = every_pair(embeddings, labels)
    expected = tar_at_far(similarities[same], similarities[~same], fars)
    assert (found.genuine_pairs, found.impostor_pairs) == (same.sum(), (~same).sum())
    np.testing.assert_allclose(found.tar_at_far.tar, expected.tar, atol=1.5 / same.sum())
    np.testing.assert_allclose(found.tar_at_far.far, expected.far, atol=1e-12)
    np.testing.assert_allclose(found.tar_at_far.thresholds, expected.thresholds, atol=1e-6)
    assert 0 < found.tar_at_far.tar[0] < found.tar_at_far.tar[-1]
    assert found.auc == pytest.approx(roc_auc_score(same, similarities), abs=1e-5)


def test_names_and_order_of_people_change_nothing():
    rng = np.random.default_rng(4)
    embeddings, labels = faces(rng, [3] * 30)
    mixed = rng.permutation(len(labels))
    first = all_pairs_verification(embeddings, labels, FARS)
    second = all_pairs_verification(embeddings[mixed], rng.permutation(1000)[labels][mixed] - 500, FARS)
    np.testing.assert_allclose(first.tar_at_far.tar, second.tar_at_far.tar, atol=1.5 / first.genuine_pairs)
    assert first.auc == pytest.approx(second.auc, abs=1e-5)


def test_all_pairs_of_people_that_are_apart_are_told_apart():
    embeddings = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1, 2, 3]]
    found = all_pairs_verification(embeddings, np.array([5, 6, 7, 8, 5, 6, 7, 8]), FARS)
    np.testing.assert_array_equal(found.tar_at_far.tar, 1)
    assert found.auc == 1


def test_tied_pairs_count_half_in_the_area():
    assert all_pairs_verification(np.eye(4, dtype=np.float32), [1, 1, 2, 2], FARS).auc == 0.5


def test_bad_folders_are_named():
    rows = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="holds only person 7"):
        all_pairs_verification(rows, [7, 7, 7], FARS)
    with pytest.raises(ValueError, match="3 people with one face each"):
        all_pairs_verification(rows, [7, 8, 9], FARS)
    with pytest.raises(ValueError, match=r"embeddings\[1\] has length 2.0000"):
        all_pairs_verification(rows * np.array([[1], [2], [3]], dtype=np.float32), [7, 7, 8], FARS)
    with pytest.raises(ValueError, match=r"labels has shape \(2,\), but embeddings has 3 rows"):
        all_pairs_verification(rows, [7, 8], FARS)
    with pytest.raises(ValueError, match="a pair needs two"):
        all_pairs_verification(rows[:1], [7], FARS)
    with pytest.raises(ValueError, match="tile_rows is 0"):
        all_pairs_verification(rows, [7, 7, 8], FARS, tile_rows=0)
