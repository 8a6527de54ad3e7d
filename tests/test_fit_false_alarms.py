import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fit_false_alarms
from benchmarks.false_alarm_fit import (
    _CHOICES,
    _GALLERIES,
    _KNOWN,
    Faces,
    fit,
    gains_by_faces,
    stranger_quantiles,
    with_tables,
)
from benchmarks.fit_false_alarms import MISLABELLED, check_splits, read_faces
from indexer.naming import calibration_tables
from indexer.naming.calibration_tables import FACES, PEOPLE, RATES, TABLES, StrangerTable

DRAWS = 1000
KNOWN, STRANGERS = 60, 300


def made_up_faces(people=KNOWN, strangers=STRANGERS, per_person=8):
    """Known people, then strangers with one face each: random directions, alike as those of a network are."""
    rng = np.random.default_rng(0)
    sizes = np.r_[np.full(people, per_person), np.ones(strangers, np.int64)]
    centres = rng.normal(size=(len(sizes), 24)) + 0.3
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rows = centres[labels] + 0.8 * rng.normal(size=(len(labels), 24))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.fixture(scope="module")
def faces():
    return Faces.of(*made_up_faces())


@pytest.fixture(scope="module")
def everybody(faces):
    return np.arange(len(faces.rows))


@pytest.fixture(scope="module")
def table(faces, everybody):
    return fit(faces, everybody, draws=DRAWS)


def imported_from(source):
    """What a module with this text defines."""
    namespace = {"__name__": calibration_tables.__name__}
    exec(compile(source, "tables", "exec"), namespace)
    return namespace


def test_rarer_strangers_are_more_alike(table):
    assert all(after > before for row in table.best for before, after in pairwise(row))


def test_more_people_give_higher_thresholds(table):
    """Of all sizes, those past the people that there are included; the ends rest on too few strangers to tell."""
    body = [RATES.index(rate) for rate in (0.9, 0.5, 0.2, 0.1, 0.05)]
    rows = np.array(table.best)
    assert rows.shape == (len(PEOPLE), len(RATES))
    assert (np.diff(rows[:, body], axis=0) > 0).all()


def test_more_faces_give_higher_thresholds(table):
    gains = np.array(table.by_faces)
    assert gains.shape == (len(FACES), len(RATES))
    assert (gains[0] == 0).all()
    middle = gains[:, RATES.index(0.5)]
    assert (np.diff(middle) > 0).all()


def test_with_one_known_person_the_cosine_counts():
    """There are no rivals then: the quantiles are those of each stranger and the person's face."""
    embeddings, labels = made_up_faces(people=1, per_person=_KNOWN)
    embeddings[:_KNOWN] = embeddings[0]  # whichever stands in the gallery
    pool = np.arange(STRANGERS + 1)
    found = stranger_quantiles(Faces.of(embeddings, labels), pool, _KNOWN, [1, 2], seed=0, draws=1)
    assert list(found) == [1]
    cosines = np.repeat(embeddings[_KNOWN:] @ embeddings[0], _CHOICES * _GALLERIES[0])
    np.testing.assert_allclose(found[1], np.quantile(cosines, 1 - np.array(RATES)), atol=1e-6)


def test_too_few_photos_repeat_the_gain_of_fewer_faces(everybody):
    few = Faces.of(*made_up_faces(per_person=_KNOWN))
    gains = gains_by_faces(few, everybody, seed=0, draws=1)
    assert (gains[2] != 0).all()
    np.testing.assert_array_equal(gains[3], gains[2])


def test_the_seed_decides(faces, everybody):
    one, again, other = (
        stranger_quantiles(faces, everybody, _KNOWN, [10], seed=seed, draws=1)[10] for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_nobody_to_fit_on_is_said():
    embeddings, labels = made_up_faces(people=5, strangers=5)
    alike = Faces.of(embeddings, labels)
    with pytest.raises(ValueError, match="no strangers"):
        fit(alike, np.arange(5), draws=10)
    with pytest.raises(ValueError, match="nobody has 4 faces"):
        fit(alike, np.arange(5, 10), draws=10)
    with pytest.raises(ValueError, match="labels must be"):
        Faces.of(embeddings, labels[1:])


def test_the_committed_tables_are_written_as_they_stand():
    source = Path(calibration_tables.__file__).read_text(encoding="utf-8")
    assert with_tables(source, TABLES) == source


def test_a_written_table_is_imported_equal(table):
    source = Path(calibration_tables.__file__).read_text(encoding="utf-8")
    rounded = StrangerTable(*(tuple(tuple(np.round(row, 4)) for row in rows) for rows in (table.best, table.by_faces)))
    written = imported_from(with_tables(source, TABLES | {"new": table}))
    assert list(written["TABLES"]) == [*TABLES, "new"]
    new = written["TABLES"]["new"]
    assert (new.best, new.by_faces) == (rounded.best, rounded.by_faces)
    assert (written["RATES"], written["PEOPLE"], written["FACES"]) == (RATES, PEOPLE, FACES)
    with pytest.raises(ValueError, match="TABLES"):
        with_tables("nothing", TABLES)


def test_the_check_counts_few_strangers_too_many(faces, monkeypatch):
    """On people drawn like those of the fit about as many strangers are named as may be."""
    monkeypatch.setattr(fit_false_alarms, "CHECK_GALLERIES", {5: 6, 20: 3, 400: 1})
    checks = check_splits(faces, splits=2, draws=1)
    assert [(check.people, check.asked) for check in checks] == [(5, 0.01), (5, 0.1), (20, 0.01), (20, 0.1)]
    for check in checks:
        assert check.least <= check.named <= check.most
        assert check.asked / 3 < check.by_table < check.asked * 3


def test_hard_strangers_are_counted_beside_clean_ones(faces, monkeypatch):
    monkeypatch.setattr(fit_false_alarms, "CHECK_GALLERIES", {20: 2})
    far = np.zeros_like(faces.embeddings)
    far[:, 0] = 1
    shares = {}
    for name, hard in (("same", faces.embeddings), ("far", far)):
        checks = check_splits(faces, splits=1, draws=1, hard=hard)
        assert [(check.strangers, check.asked) for check in checks] == [
            ("clean", 0.01), ("clean", 0.1), ("hard", 0.01), ("hard", 0.1)
        ]  # fmt: skip
        shares[name] = [check.named for check in checks]
    assert shares["same"][2:] == shares["same"][:2]
    assert shares["far"][:2] == shares["same"][:2]
    assert shares["far"][3] != shares["same"][3]


def test_hard_copies_of_other_people_are_refused(faces, tmp_path):
    embeddings, labels = made_up_faces()
    np.savez(tmp_path / "hard.npz", embeddings=embeddings, labels=labels)
    assert len(read_faces(tmp_path / "hard.npz", faces).rows) == len(faces.rows)
    np.savez(tmp_path / "other.npz", embeddings=embeddings[1:], labels=labels[1:])
    with pytest.raises(ValueError, match="the same people in the same order"):
        read_faces(tmp_path / "other.npz", faces)


def test_mislabelled_photos_are_left_out(tmp_path):
    embeddings, labels = made_up_faces(people=1, strangers=2)
    names = [f"somebody/photo_{i}.jpg" for i in range(len(labels))]
    names[3] = f"somebody/{min(MISLABELLED)}"
    np.savez(tmp_path / "all.npz", embeddings=embeddings, labels=labels)
    np.savez(tmp_path / "named.npz", embeddings=embeddings, labels=labels, paths=np.array(names))
    assert [len(rows) for rows in read_faces(tmp_path / "all.npz").rows] == [8, 1, 1]
    rest = read_faces(tmp_path / "named.npz")
    assert [len(rows) for rows in rest.rows] == [7, 1, 1]
    np.testing.assert_array_equal(rest.embeddings, np.delete(embeddings, 3, axis=0))


def test_the_script_prints_and_writes(table, tmp_path, monkeypatch, capsys):
    target = tmp_path / "calibration_tables.py"
    target.write_text(Path(calibration_tables.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    embeddings, labels = made_up_faces()
    np.savez(tmp_path / "faces.npz", embeddings=embeddings, labels=labels)
    monkeypatch.setattr(calibration_tables, "__file__", str(target))
    monkeypatch.setattr(fit_false_alarms, "fit", lambda faces, pool: table)
    monkeypatch.setattr(sys, "argv", ["fit", str(tmp_path / "faces.npz"), "--network", "sface", "--write"])
    fit_false_alarms.main()
    assert '"network": "sface"' in capsys.readouterr().out.splitlines()[-1]
    tables = imported_from(target.read_text(encoding="utf-8"))["TABLES"]
    assert tables["dlib"].best == TABLES["dlib"].best
    assert tables["sface"].best != TABLES["sface"].best
