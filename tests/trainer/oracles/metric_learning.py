"""Write what pytorch-metric-learning gives for one batch: metric_learning.json, beside this file.

Runs in the environment of the peers: .bench-env/bin/python tests/trainer/oracles/metric_learning.py
"""

import json
from pathlib import Path

import torch
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.reducers import MeanReducer

_LABELS = [0] * 5 + [1] * 2 + [2] * 4 + [3] + [4] * 6 + [5] * 3
_SPREAD = [0.2, 0.2, 1.4, 0.2, 1.4, 0.2]  # of each person: some faces are learned already, some are far from it


def main() -> None:
    """Write the file."""
    torch.manual_seed(3)
    labels = torch.tensor(_LABELS)[torch.randperm(len(_LABELS))]
    people = torch.randn(6, 8, dtype=torch.float64)
    spread = torch.tensor(_SPREAD)[labels].unsqueeze(1)
    embeddings = (people[labels] + spread * torch.randn(len(labels), 8, dtype=torch.float64)).round(decimals=3)
    class_weights = torch.randn(6, 8, dtype=torch.float64).round(decimals=3)
    triplets = miners.BatchHardMiner()(embeddings, labels)
    answer = {
        "embeddings": embeddings.tolist(),
        "labels": labels.tolist(),
        "class_weights": class_weights.tolist(),
        "hardest_triplets": [rows.tolist() for rows in triplets],
        "semihard_triplets": _semihard(embeddings, labels),
        "batch_hard": _loss(losses.TripletMarginLoss(margin=0.2, reducer=MeanReducer()), embeddings, labels, triplets),
        "batch_hard_active": _loss(losses.TripletMarginLoss(margin=0.2), embeddings, labels, triplets),
        "batch_hard_soft": _loss(
            losses.TripletMarginLoss(margin=0, smooth_loss=True, reducer=MeanReducer()), embeddings, labels, triplets
        ),
        "arcface": _classifier(losses.ArcFaceLoss(6, 8, margin=28.64788975654116), class_weights, embeddings, labels),
        "cosface": _classifier(losses.CosFaceLoss(6, 8), class_weights, embeddings, labels),
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(answer).replace("], [", "],\n [").replace(', "', ',\n"') + "\n")


def _semihard(embeddings: torch.Tensor, labels: torch.Tensor) -> list[list[int]]:
    """For each pair the most similar of all strangers that the miner lists for it, none of them beyond the margin."""
    miner = miners.TripletMarginMiner(margin=100, type_of_triplets="semihard")
    unit = torch.nn.functional.normalize(embeddings)
    nearest: dict[tuple[int, int], tuple[float, int]] = {}
    for a, p, n in zip(*(rows.tolist() for rows in miner(embeddings, labels)), strict=True):
        candidate = (float(unit[a] @ unit[n]), n)
        nearest[a, p] = max(candidate, nearest.get((a, p), candidate))
    return [[a, p, nearest[a, p][1]] for a, p in sorted(nearest)]


def _loss(loss, embeddings, labels, triplets) -> dict[str, object]:
    rows = embeddings.clone().requires_grad_()
    value = loss(rows, labels, triplets)
    value.backward()
    return {"loss": value.item(), "gradient": rows.grad.tolist()}


def _classifier(loss, class_weights, embeddings, labels) -> dict[str, object]:
    loss.W.data = class_weights.T.clone()
    rows = embeddings.clone().requires_grad_()
    value = loss(rows, labels)
    value.backward()
    return {"loss": value.item(), "gradient": rows.grad.tolist(), "weights_gradient": loss.W.grad.T.tolist()}


if __name__ == "__main__":
    main()
