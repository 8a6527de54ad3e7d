import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.naming.calibration import LEAST_RATE, AlbumImpostors, calibrate, reached_by_half
from indexer.naming.calibration_tables import FACES, PEOPLE, RATES, TABLES

EMPTY = np.empty(0)
NOTHING = AlbumImpostors(EMPTY, np.empty(0, np.int64), EMPTY)


def _one_face(people):
    return np.ones(people, np.int64)


def _album(best, people=None, shared_photo=EMPTY):
    best = np.asarray(best, float)
    return AlbumImpostors(
        best, np.arange(len(best)) if people is None else np.asarray(people), np.asarray(shared_photo)
    )


def _as_the_table_says(network, people, shift=0.0, stretch=1.0):
    """An album whose people, taken for strangers, are spread as the table has it, moved and stretched."""
    curve = calibrate(network, _one_face(people - 1), NOTHING)
    middle = curve.threshold(0.5)
    shares = (np.arange(people) + 0.5) / people
    return _album([middle + shift + stretch * (curve.threshold(share) - middle) for share in shares])


@pytest.mark.parametrize("network", sorted(TABLES))
def test_without_evidence_the_curve_goes_through_the_table(network):
    table = TABLES[network]
    for row, people in enumerate(PEOPLE[:6]):
        curve = calibrate(network, _one_face(people), NOTHING)
        for rate, similarity in zip(RATES, table.best[row], strict=True):
            assert curve.threshold(rate) == pytest.approx(similarity, abs=0.002)
            assert curve.false_alarm_rate(similarity) == pytest.approx(rate, rel=0.1)
        assert curve.warning is None


@pytest.mark.parametrize("network", sorted(TABLES))
def test_tables_are_in_order(network):
    best = np.array(TABLES[network].best)
    assert best.shape == (len(PEOPLE), len(RATES))
    assert np.array(TABLES[network].by_faces).shape == (len(FACES), len(RATES))
    assert (np.diff(best, axis=1) > 0).all()  # rarer is more similar
    assert (np.diff(best[:, RATES.index(0.5)]) > 0).all()  # more people come nearer


def test_the_threshold_grows_with_people_and_with_their_faces():
    sizes = [1, 2, 7, 30, 150, 800, 5000, 50_000, 500_000]
    thresholds = [calibrate("sface", _one_face(people), NOTHING).threshold(0.01) for people in sizes]
    assert (np.diff(thresholds) > 0).all()
    by_faces = [calibrate("sface", np.full(100, faces), NOTHING).threshold(0.01) for faces in (1, 2, 3, 8, 100)]
    assert (np.diff(by_faces) >= 0).all()
    assert by_faces[0] < by_faces[1] < by_faces[3] == by_faces[4]


@pytest.mark.parametrize("network", sorted(TABLES))
def test_beyond_the_table_a_stranger_is_like_nobody_if_like_nobody_of_each_thousand(network):
    """Between the quantiles of the table, where nothing is extrapolated."""
    thousand = calibrate(network, _one_face(1000), NOTHING)
    four = calibrate(network, _one_face(4000), NOTHING)
    for rate in (0.9, 0.5, 0.1, 0.02):
        similarity = four.threshold(rate)
        assert 1 - rate == pytest.approx((1 - float(thousand.false_alarm_rate(similarity))) ** 4, abs=0.01)


@pytest.mark.parametrize("network", sorted(TABLES))
def test_rarer_strangers_stay_more_similar_however_many_people(network):
    for people in (10_000, 1_000_000):
        curve = calibrate(network, _one_face(people), NOTHING)
        thresholds = [curve.threshold(rate) for rate in RATES]
        assert (np.diff(thresholds) > 0).all() and thresholds[-1] < 1.01
        assert reached_by_half(network, people) == pytest.approx(thresholds[RATES.index(0.5)], abs=0.002)
    assert reached_by_half("of one's own", 1000) == -1


@pytest.mark.parametrize("people", [20, 100, 1000])
def test_an_album_like_the_table_changes_nothing(people):
    expected = calibrate("sface", _one_face(people), NOTHING)
    found = calibrate("sface", _one_face(people), _as_the_table_says("sface", people))
    for rate in (0.1, 0.01):
        assert found.threshold(rate) == pytest.approx(expected.threshold(rate), abs=0.003)


def test_an_album_of_people_who_look_alike_moves_the_threshold_the_more_people_it_has():
    moved = []
    for people in (5, 20, 100, 1000):
        curve = calibrate("sface", _one_face(people), _as_the_table_says("sface", people, shift=0.1))
        moved.append(curve.threshold(0.01) - calibrate("sface", _one_face(people), NOTHING).threshold(0.01))
    assert 0.01 < moved[0] < moved[1] < moved[2] < moved[3] < 0.08
    assert moved[1] == pytest.approx(0.1 * 0.7 * 0.5, abs=0.005)


def test_a_wider_album_raises_the_threshold_of_rare_strangers_most():
    plain = calibrate("sface", _one_face(500), NOTHING)
    wide = calibrate("sface", _one_face(500), _as_the_table_says("sface", 500, stretch=1.5))
    rises = [wide.threshold(rate) - plain.threshold(rate) for rate in (0.5, 0.1, 0.01)]
    assert abs(rises[0]) < 0.01 < rises[1] < rises[2]


def test_every_person_counts_once_however_many_faces_they_have():
    best, people = [0.3] * 30 + [0.7], list(range(31))
    once = calibrate("sface", _one_face(31), _album(best, people))
    often = calibrate("sface", _one_face(31), _album(best + [0.7] * 200, people + [30] * 200))
    assert often.threshold(0.1) == pytest.approx(once.threshold(0.1), abs=0.01)


def test_faces_beside_somebody_whom_they_resemble_raise_the_rate():
    plain = calibrate("sface", _one_face(50), NOTHING)
    relatives = np.linspace(0.3, 0.5, 400)
    beside = calibrate("sface", _one_face(50), _album([], shared_photo=relatives))
    assert (beside.false_alarm_rate(relatives) > plain.false_alarm_rate(relatives)).all()
    few = calibrate("sface", _one_face(50), _album([], shared_photo=relatives[::40]))
    assert plain.threshold(0.01) < few.threshold(0.01) < beside.threshold(0.01)


def test_one_person_twice_in_a_photo_is_no_impostor():
    mirrors = calibrate("sface", _one_face(50), _album([], shared_photo=np.full(1000, 0.9)))
    plain = calibrate("sface", _one_face(50), NOTHING)
    assert mirrors.threshold(0.01) == pytest.approx(plain.threshold(0.01), abs=1e-6)


def test_a_network_without_a_table_is_judged_by_the_album_and_carefully():
    few = calibrate("new", _one_face(5), _album([0.1, 0.12, 0.09, 0.1, 0.11]))
    assert "'new'" in few.warning
    assert few.threshold(0.01) > 0.45
    many = _as_the_table_says("sface", 2000)
    learnt = calibrate("new", _one_face(2000), many)
    assert learnt.warning is None
    assert learnt.threshold(0.01) == pytest.approx(
        calibrate("sface", _one_face(2000), NOTHING).threshold(0.01), abs=0.03
    )


def test_nobody_is_named_without_any_evidence():
    alone = calibrate("new", _one_face(1), NOTHING)
    assert alone.threshold(0.5) == np.inf
    assert alone.probability([0.2, 1.0]).tolist() == [0, 0]
    assert "nobody is named" in alone.warning
    nobody = calibrate("sface", _one_face(0), NOTHING)
    assert nobody.threshold(0.01) == np.inf
    assert nobody.warning is None


def test_one_stranger_in_n():
    curve = calibrate("sface", _one_face(100), NOTHING)
    assert 1 / curve.false_alarm_rate(curve.threshold(0.01)) == pytest.approx(100)
    assert curve.false_alarm_rate(1.0) == LEAST_RATE
    assert curve.probability(1.0) == 1 - LEAST_RATE
    assert curve.false_alarm_rate(-1.0) == 1
    assert curve.false_alarm_rate(np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize("false_alarm", [0, 1, -0.1, np.nan])
def test_a_false_alarm_rate_is_a_share(false_alarm):
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibrate("sface", _one_face(3), NOTHING).threshold(false_alarm)


@pytest.mark.parametrize("field", ["best", "shared_photo"])
def test_similarities_that_are_no_numbers_are_refused(field):
    with pytest.raises(ValueError, match="not a number"):
        calibrate("sface", _one_face(3), _album(**{"best": [], field: [np.nan]}))


impostors = st.lists(st.floats(-1, 1, width=32), max_size=60)


@given(st.sampled_from(["sface", "dlib", "new"]), st.integers(1, 3000), impostors, impostors)
@settings(max_examples=150, deadline=None)
def test_probability_is_one_and_grows_with_similarity(network, people, best, shared):
    """Whatever the album holds: a probability, never falling, and a threshold that has the asked rate."""
    curve = calibrate(network, _one_face(people), _album(best, np.arange(len(best)) // 2, shared))
    similarities = np.linspace(-1, 1, 401)
    probability = curve.probability(similarities)
    assert ((probability >= 0) & (probability <= 1)).all()
    assert (np.diff(probability) >= 0).all()
    assert curve.min_margin >= 0
    rates = np.array([0.5, 0.1, 0.01, 0.001])
    thresholds = np.array([curve.threshold(rate) for rate in rates])
    if np.isfinite(thresholds).all():
        assert (np.diff(thresholds) >= 0).all()
        np.testing.assert_allclose(curve.false_alarm_rate(thresholds), rates, rtol=1e-6)
    else:
        assert not len(curve.rates)
