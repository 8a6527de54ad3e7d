"""A made-up training run with its crops, in the layout of ``trainer.run_folder``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

RunMaker = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    """Give a function that writes a run of so many steps and epochs, and the crops it speaks of."""

    def make(steps: int = 60, epochs: int = 3, why: str = "done") -> Path:
        run, crops = tmp_path / "family", tmp_path / "crops"
        draw = np.random.default_rng(0)
        for person in ("Ann Lee", "Bob <b>Ray</b>", "Cleo"):
            (crops / person).mkdir(parents=True)
            for number in range(4):
                cv2.imwrite(str(crops / person / f"{number}.png"), draw.integers(0, 255, (64, 64, 3), np.uint8))
        (run / "triplets").mkdir(parents=True)
        (run / "settings.json").write_text(
            json.dumps({"settings": {"recipe": "batch-hard"}, "crops_folder": str(crops)})
        )
        start = {"people": 3, "crops": 12, "held_out_people": 1, "held_out_crops": 4, "device": "cpu"}
        lines = [{"kind": "start", "step": 0, "epoch": 0, "parameters": 1_234_567, **start}]
        for epoch in range(epochs + 1):
            done = epoch * steps // epochs
            lines += [_step(n, epoch) for n in range(max(0, (epoch - 1) * steps // epochs) + 1, done + 1)]
            lines.append(_epoch(epoch, done))
            if epoch:
                path = run / "triplets" / f"epoch-{epoch:03d}.jsonl"
                path.write_text("".join(json.dumps(_triplet(n)) + "\n" for n in range(5)))
        lines.insert(5, {"kind": "event", "step": 3, "epoch": 1, "what": "recipe", "text": "now batch-hard"})
        if why != "running":
            end = {"step": steps, "epoch": epochs, "why": why, "text": "All epochs are done.", "best_epoch": 2}
            lines.append({"kind": "end", "seconds": 9.0, **end})
        (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        suspect = {"crop": "Ann Lee/3.png", "person": "Ann Lee", "looks_like": "Cleo", "seen": 9, "times": 8}
        (run / "suspects.json").write_text(json.dumps([suspect]))
        return run

    return make


def _step(step: int, epoch: int) -> dict[str, object]:
    part = math.exp(-step / 20)
    same, different = [0.2 + 0.6 * (1 - part) + d for d in (-0.2, -0.1, 0, 0.1, 0.2)], [part * 0.8] * 5
    return {
        "kind": "step", "step": step, "epoch": epoch, "loss": None if step == 7 else 0.5 * part, "active": part,
        "same_quantiles": same, "different_quantiles": different, "spread": 1 - part / 2, "rank": 10 + step,
        "rate": 1e-3 * part, "gradient_norm": 5 * part, "recipe": "batch-hard", "distillation": None,
    }  # fmt: skip


def _epoch(epoch: int, step: int) -> dict[str, object]:
    held_out = {"accuracy": 0.8 + epoch / 50, "tar": {"0.001": 0.5 + epoch / 10, "0.0001": 0.2}, "rank1": 0.9}
    figures = {"loss": None if epoch == 0 else 0.1, "active": None, "spread": None, "suspects": epoch}
    identification = {"dir": None if epoch == 1 else {"0.01": 0.7}}
    return {"kind": "epoch", "epoch": epoch, "step": step, "best": epoch == 2, **figures} | {
        "held_out": held_out | identification
    }


def _triplet(number: int) -> dict[str, object]:
    crops = {"anchor": "Ann Lee/0.png", "positive": f"Ann Lee/{number % 4}.png", "negative": "Bob <b>Ray</b>/2.png"}
    return crops | {"same": 0.21, "different": 0.83, "person": "Ann Lee", "other": "Bob <b>Ray</b>"}
