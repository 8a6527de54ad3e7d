import numpy as np

from indexer.naming import looks
from indexer.naming.looks import group_sums, split_looks


def _unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _cloud(rng, faces, dimensions=64, spread=0.08):
    return _unit(_unit(rng.normal(size=(1, dimensions))) + spread * rng.normal(size=(faces, dimensions)))


def _looks(rows, person):
    return split_looks(rows, np.ones(len(rows), np.float32), np.asarray(person))


def test_looks_that_differ_are_parted_and_one_look_is_not():
    rng = np.random.default_rng(0)
    child, adult, other = _cloud(rng, 5), _cloud(rng, 9), _cloud(rng, 12)
    looks = _looks(np.concatenate([child, adult, other]), [3] * 14 + [7] * 12)
    assert looks[:, 0].tolist() == [3] * 14 + [7] * 12
    assert len(set(looks[:5, 1].tolist())) == len(set(looks[5:14, 1].tolist())) == 1
    assert looks[0, 1] != looks[5, 1]
    assert set(looks[14:, 1].tolist()) == {0}


def test_four_looks_at_most():
    rng = np.random.default_rng(1)
    rows = np.concatenate([_cloud(rng, 8) for _ in range(6)])
    assert 3 <= len(set(_looks(rows, [0] * 48)[:, 1].tolist())) <= 4


def test_looks_that_are_halved_again_keep_apart():
    """Two looks that each fall into two: every face under the number of its own, no two looks under one."""
    rng = np.random.default_rng(2)
    bases = np.repeat(_unit(rng.normal(size=(2, 64))), 2, axis=0)
    looks = _unit(bases + 0.5 * _unit(rng.normal(size=(4, 64))))
    rows = np.concatenate([_unit(look + 0.04 * rng.normal(size=(7, 64))) for look in looks])
    numbers = _looks(rows, [0] * 28)[:, 1].reshape(4, 7)
    assert (numbers == numbers[:, :1]).all()
    assert sorted(numbers[:, 0].tolist()) == [0, 1, 2, 3]


def test_few_faces_and_one_odd_face_make_no_look():
    rng = np.random.default_rng(3)
    few = np.concatenate([_cloud(rng, 2), _cloud(rng, 3)])
    odd = np.concatenate([_cloud(rng, 8), _cloud(rng, 1)])
    assert not _looks(few, [0] * 5)[:, 1].any()
    assert not _looks(odd, [0] * 9)[:, 1].any()
    assert not _looks(np.repeat(_cloud(rng, 1), 9, axis=0), [0] * 9)[:, 1].any()
    assert _looks(np.empty((0, 64), np.float32), np.empty(0, np.int64)).shape == (0, 2)


def test_group_sums_match_a_loop():
    rng = np.random.default_rng(4)
    rows, weights = rng.normal(size=(10, 5)).astype(np.float32), rng.random(10).astype(np.float32)
    first = np.array([0, 3, 4])
    expected = [(rows[a:b] * weights[a:b, None]).sum(axis=0) for a, b in ((0, 3), (3, 4), (4, 10))]
    np.testing.assert_allclose(group_sums(rows, weights, first), expected, rtol=1e-5)


def test_blocks_do_not_show(monkeypatch):
    """Whatever number of faces is looked at together, one person's many included."""
    rng = np.random.default_rng(11)
    person = np.repeat(np.arange(7), [1, 9, 30, 2, 0, 12, 8])
    rows = rng.normal(size=(len(person), 16))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    weights = rng.uniform(0.2, 1, len(rows)).astype(np.float32)
    whole = split_looks(rows, weights, person)
    assert whole[:, 1].max() > 0
    groups = np.unique(whole, axis=0, return_inverse=True)[1]
    for block in (1, 5, 20, len(rows)):
        monkeypatch.setattr(looks, "_ROWS", block)
        parts = np.unique(split_looks(rows, weights, person), axis=0, return_inverse=True)[1]
        np.testing.assert_array_equal(parts, groups)
