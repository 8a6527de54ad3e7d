"""Mining picks what the definitions, spelled out face by face, pick."""

import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from trainer import mining
from trainer.mining import balanced_pairs, hardest_triplets, semihard_comparisons, semihard_triplets

PEER = json.loads((Path(__file__).parent / "oracles" / "metric_learning.json").read_text())
# As in use, and so small that few faces make several blocks, and their rows several stretches.
SIZES = [(mining._BLOCK, mining._NARROW, mining._STRETCH), (1, 4, 4), (20, 3, 3), (20, 1024, 64), (100, 5, 2)]
MINERS = [hardest_triplets, semihard_triplets, balanced_pairs]

# On a grid similarities are exact, so that there are ties, and no rounding decides them.
batches = st.lists(
    st.tuples(st.integers(0, 3), st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(-2, 2))), max_size=14
)


def as_tensors(faces):
    labels = torch.tensor([label for label, _ in faces], dtype=torch.int64)
    return torch.tensor([list(point) for _, point in faces], dtype=torch.float32).reshape(-1, 3), labels


def partners_and_strangers(labels, anchor):
    own = [i for i in range(len(labels)) if labels[i] == labels[anchor] and i != anchor]
    return own, [i for i in range(len(labels)) if labels[i] != labels[anchor]]


def hardest_by_definition(embeddings, labels):
    found = []
    for a in range(len(labels)):
        similarity = (embeddings @ embeddings[a]).tolist()
        own, others = partners_and_strangers(labels, a)
        if own and others:
            found.append((a, min(own, key=similarity.__getitem__), max(others, key=similarity.__getitem__)))
    return found


def semihard_by_definition(embeddings, labels):
    found = []
    for a in range(len(labels)):
        similarity = (embeddings @ embeddings[a]).tolist()
        own, others = partners_and_strangers(labels, a)
        for p in own if others else []:
            farther = [n for n in others if similarity[n] < similarity[p]]
            found.append((a, p, max(farther or others, key=similarity.__getitem__)))
    return found


def balanced_by_definition(embeddings, labels, within):
    pairs = [(i, j) for i in range(len(labels)) for j in range(i + 1, len(labels))]
    distance = {(i, j): math.dist(embeddings[i].tolist(), embeddings[j].tolist()) for i, j in pairs}
    same = [pair for pair in pairs if labels[pair[0]] == labels[pair[1]]]
    different = [pair for pair in pairs if labels[pair[0]] != labels[pair[1]]]
    limit = sorted(distance[pair] for pair in different)[: len(same)][-1:] or [-1.0]
    return same, [pair for pair in different if distance[pair] <= min(limit[0], within)]


def as_rows(found):
    return list(zip(*(rows.tolist() for rows in found), strict=True))


@pytest.mark.parametrize("sizes", SIZES)
@given(faces=batches)
@settings(max_examples=60, deadline=None)
def test_triplets_match_the_definition(faces, sizes):
    """Whatever the batch, ties included, and however many rows are compared at once."""
    embeddings, labels = as_tensors(faces)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("_BLOCK", "_NARROW", "_STRETCH"), sizes, strict=True):
            patch.setattr(mining, name, value)
        assert as_rows(hardest_triplets(embeddings, labels)) == hardest_by_definition(embeddings, labels)
        assert as_rows(semihard_triplets(embeddings, labels)) == semihard_by_definition(embeddings, labels)


@pytest.mark.parametrize("sizes", SIZES)
@given(faces=batches, within=st.sampled_from([0.5, 2.5, 100.0]))
@settings(max_examples=60, deadline=None)
def test_pairs_match_the_definition(faces, sizes, within):
    embeddings, labels = as_tensors(faces)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("_BLOCK", "_NARROW", "_STRETCH"), sizes, strict=True):
            patch.setattr(mining, name, value)
        same, different = balanced_pairs(embeddings, labels, within=within)
    assert (as_rows(same), as_rows(different)) == balanced_by_definition(embeddings, labels, within)


def test_triplets_are_those_of_pytorch_metric_learning():
    unit = functional.normalize(torch.tensor(PEER["embeddings"], dtype=torch.float64))
    labels = torch.tensor(PEER["labels"])
    assert [rows.tolist() for rows in hardest_triplets(unit, labels)] == PEER["hardest_triplets"]
    ours = as_rows(semihard_triplets(unit, labels))
    # The peer lists nothing for a pair to which no stranger is farther; such pairs get the hardest here.
    listed = {(a, p) for a, p, _ in PEER["semihard_triplets"]}
    assert [list(row) for row in ours if row[:2] in listed] == PEER["semihard_triplets"]
    hardest = {a: n for a, _, n in as_rows(hardest_triplets(unit, labels))}
    assert len(ours) > len(listed)
    assert all(n == hardest[a] for a, p, n in ours if (a, p) not in listed)


@pytest.mark.parametrize("mine", MINERS)
def test_nothing_to_compare(mine):
    """No face at all, one crop per person, one person: no triplet, and no failure."""
    nobody = mine(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert all(rows.shape[-1] == 0 for rows in nobody)
    vectors = functional.normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(1)))
    strangers, one_person = torch.arange(5), torch.zeros(5, dtype=torch.int64)
    if mine in (hardest_triplets, semihard_triplets):
        assert all(len(rows) == 0 for rows in (*mine(vectors, strangers), *mine(vectors, one_person)))
    if mine is balanced_pairs:
        assert [rows.shape for rows in mine(vectors, strangers)] == [(2, 0), (2, 0)]
        assert [rows.shape for rows in mine(vectors, one_person)] == [(2, 10), (2, 0)]


def test_identical_vectors_are_settled_by_row():
    """All vectors the same: the first partner, the first stranger, and every pair of strangers ties."""
    vectors, labels = torch.eye(4)[[0] * 6], torch.tensor([0, 0, 1, 1, 2, 2])
    triplets = [(0, 1, 2), (1, 0, 2), (2, 3, 0), (3, 2, 0), (4, 5, 0), (5, 4, 0)]
    assert as_rows(hardest_triplets(vectors, labels)) == triplets
    assert as_rows(semihard_triplets(vectors, labels)) == triplets
    assert balanced_pairs(vectors, labels).different.shape == (2, 12)


def test_vectors_that_are_no_numbers_are_not_mined():
    """A triplet of NaN would be made up; the loss sees that there is none and is NaN itself."""
    vectors = torch.full((4, 3), math.nan)
    assert len(hardest_triplets(vectors, torch.tensor([0, 0, 1, 1])).anchors) == 0


def test_no_gradient_runs_through_mining():
    vectors = functional.normalize(torch.randn(6, 4)).requires_grad_()
    found = semihard_comparisons(vectors, torch.tensor([0, 0, 1, 1, 2, 2]))
    assert not found.same_similarities.requires_grad and not found.different_similarities.requires_grad


@pytest.mark.parametrize("mine", MINERS)
def test_wrong_arguments(mine):
    with pytest.raises(ValueError, match=r"3 embeddings need as many labels, not \(2,\)"):
        mine(torch.zeros(3, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"one row for each face, not \(4,\)"):
        mine(torch.zeros(4), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"int64, the number of a person each, not torch\.float32"):
        mine(torch.zeros(4, 2), torch.zeros(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("narrow", [4, 1024])
def test_the_largest_value_below_a_limit(monkeypatch, dtype, narrow):
    """As its definition says, for negative values, ties, an exact hit of the limit, and rows without any."""
    monkeypatch.setattr(mining, "_NARROW", narrow)
    generator = torch.Generator().manual_seed(3)
    block = torch.randint(-4, 5, (200, 70), generator=generator).to(dtype) / 8
    block[torch.rand(block.shape, generator=generator) < 0.3] = -torch.inf
    limits = torch.randint(-5, 6, (200,), generator=generator).to(dtype) / 8
    limits[:3] = torch.tensor([-1.0, 0.0, 1.0], dtype=dtype)
    block[3] = -torch.inf
    values, columns = mining._largest_below(block, limits)
    for row, limit, value, column in zip(
        block.tolist(), limits.tolist(), values.tolist(), columns.tolist(), strict=True
    ):
        below = [x for x in row if -torch.inf < x < limit]
        assert value == max(below, default=-torch.inf)
        assert not below or column == row.index(value)
    assert -torch.inf in values


def test_pairs_of_one_person_are_listed_by_row():
    rows, others, first = mining._same_person(torch.tensor([7, -2, 7, 5, 7, -2]))
    expected = [(0, 0), (0, 2), (0, 4), (1, 1), (1, 5), (2, 0), (2, 2), (2, 4), (3, 3)]
    expected += [(4, 0), (4, 2), (4, 4), (5, 1), (5, 5)]
    assert list(zip(rows.tolist(), others.tolist(), strict=True)) == expected
    assert first == [0, 3, 5, 8, 9, 12, 14]
    assert mining._same_person(torch.empty(0, dtype=torch.int64))[2] == [0]
