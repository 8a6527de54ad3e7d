import numpy as np
import pytest
import torch
from torch.nn import functional

from trainer.crops import inner, read_crop, read_crops_folder
from trainer.evaluate import embed_crops, held_out_figures
from trainer.networks import NetworkSettings, build_network


def faces(counts, noise, seed=0):
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = random.standard_normal((len(counts), 16))[labels] + noise * random.standard_normal((len(labels), 16))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), labels


def test_crops_are_embedded_as_the_embedder_does(crops):
    folder = read_crops_folder(crops)
    torch.manual_seed(0)
    network = build_network(NetworkSettings("small", 32, 8, width=4, depths=(1,))).eval()
    rows = np.array([5, 0, *range(10, 30)])
    found = embed_crops(network, folder, rows, torch.device("cpu"))
    for row, embedding in zip(rows, found, strict=True):
        crop = torch.from_numpy(inner(read_crop(folder.path(int(row)), 40), folder.settings).copy())
        pixels = crop.permute(2, 0, 1)[None].float()
        with torch.no_grad():
            views = functional.normalize(network(pixels)) + functional.normalize(network(pixels.flip(3)))
        assert embedding @ functional.normalize(views)[0].numpy() == pytest.approx(1, abs=1e-5)
    assert embed_crops(network, folder, rows[:0], torch.device("cpu")).shape[0] == 0


def test_figures_match_their_definitions():
    embeddings, labels = faces([5, 4, 2, 1, 1, 3, 6] * 4, 0.5)
    found = held_out_figures(embeddings, labels)
    similarity = embeddings @ embeddings.T
    pairs = [(a, b) for a in range(len(labels)) for b in range(a)]
    genuine = np.array([similarity[a, b] for a, b in pairs if labels[a] == labels[b]])
    impostors = np.array([similarity[a, b] for a, b in pairs if labels[a] != labels[b]])
    assert (found.people, found.crops) == (28, 88)
    for far, threshold, tar in zip((1e-3, 1e-4), found.thresholds, found.tar, strict=True):
        assert (impostors >= threshold).mean() <= far
        assert tar == pytest.approx((genuine >= threshold).mean())
    assert found.auc == pytest.approx((genuine[:, None] > impostors).mean(), abs=1e-4)
    best = max((np.mean(genuine >= t) + np.mean(impostors < t)) / 2 for t in np.unique(similarity))
    assert found.accuracy == pytest.approx(best, abs=0.05)
    known = [n for n in range(28) if (labels == n).sum() >= 4]
    means = np.array([embeddings[labels == n][:2].sum(axis=0) for n in known])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    right = [
        known[int((means @ e).argmax())] == n
        for n in known
        for e in embeddings[labels == n][2:]
    ]  # fmt: skip
    assert found.rank1 == pytest.approx(np.mean(right))
    assert 0.2 < found.dir <= found.rank1


def test_better_embeddings_have_better_figures():
    scores = [held_out_figures(*faces([4, 2, 1] * 30, noise)).score for noise in (0.2, 0.5, 1.0)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[2] + 0.3


def test_a_few_people_are_measured_as_far_as_they_go():
    found = held_out_figures(*faces([2, 1], 0.1))
    assert found.rank1 is None
    assert found.as_dict()["dir"] is None
    assert "rank 1" not in found.as_metrics()
    assert found.score == found.auc
    assert held_out_figures(*faces([1, 1, 1], 0.1)) is None
    assert held_out_figures(*faces([5], 0.1)) is None
    assert held_out_figures(np.empty((0, 8), np.float32), np.empty(0, np.int64)) is None


def test_a_person_with_a_thousand_crops_is_measured_in_a_moment():
    found = held_out_figures(*faces([1000, 2, 2], 0.3))
    assert 0.5 < found.accuracy <= 1


@pytest.mark.parametrize("sizes", [[5, 6, 4, 7], [3, 2, 3, 2, 1]], ids=["everybody known", "nobody known"])
def test_where_the_rule_leaves_nobody_everybody_is_known_by_the_first_half(sizes):
    embeddings, labels = faces(sizes, 0.6)
    found = held_out_figures(embeddings, labels)
    people = [n for n, size in enumerate(sizes) if size >= 2]
    halves = {n: np.split(np.flatnonzero(labels == n), [sizes[n] // 2]) for n in people}
    means = {n: embeddings[first].sum(axis=0) for n, (first, _) in halves.items()}
    means = {n: mean / np.linalg.norm(mean) for n, mean in means.items()}
    right, strange = [], []
    for n, (_, later) in halves.items():
        for row in later:
            similarity = {m: float(embeddings[row] @ mean) for m, mean in means.items()}
            right.append((max(similarity.values()), max(similarity, key=similarity.get) == n))
            strange.append(max(value for m, value in similarity.items() if m != n))
    assert found.rank1 == pytest.approx(np.mean([correct for _, correct in right]))
    threshold = max(strange)  # one in a hundred of so few is nobody
    assert found.dir == pytest.approx(np.mean([correct and value > threshold for value, correct in right]))


def test_few_pairs_are_told_of_by_what_they_can_tell():
    """Below 10,000 pairs the best epoch is chosen by the area under the curve, so that is what is said."""
    few, many = held_out_figures(*faces([4, 2] * 5, 0.3)), held_out_figures(*faces([4, 2] * 30, 0.3))
    assert "area under the curve of all pairs" in few.in_words(1, best=True) and "TAR" not in few.in_words(1, best=True)
    assert "TAR at FAR 1e-3" in many.in_words(1, best=True)
