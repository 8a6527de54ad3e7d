"""How many crops go through a network at once: measured on this machine, and remembered.

What is fastest depends on the caches of the processor and on the network: too few crops leave it idle between layers,
too many push each other's activations out of the cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from embedder.device import Compute
from embedder.pretrained import user_cache

FORMAT = 1
_ROUNDS = 2
_CPU_SIZES, _CUDA_SIZES = (4, 8, 16, 32), (64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Calibration:
    """What was measured.

    Attributes:
        crops_at_once: the batch size that is fastest.
        per_second: batch size → crops a second.
    """

    crops_at_once: int
    per_second: Mapping[int, float]

    def __str__(self) -> str:
        rates = ", ".join(f"{size}: {rate:,.0f}/s" for size, rate in self.per_second.items())
        return f"{self.crops_at_once} crops at once ({rates})"


def memory_file() -> Path:
    """Give the file that remembers what was measured; deleted, it is measured again."""
    return user_cache() / "visavis" / "machine.json"


def calibrate(encode: Callable[[np.ndarray, int], object], compute: Compute, side: int) -> Calibration:
    """Measure how fast batches of several sizes are, alternating; some seconds.

    Args:
        encode: called with uint8 RGB crops (N, side, side, 3) and the size of a batch.
        compute: the device it runs on; all of its lanes are used.
        side: of a crop, pixels.
    """
    cuda = compute.device.type == "cuda"
    sizes = _CUDA_SIZES if cuda else _CPU_SIZES
    count = max(sizes) * (compute.lanes + 1) // 2  # with the mirror images a batch of the largest for each lane
    crops = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    best: dict[int, float] = {}
    for _ in range(_ROUNDS):
        for size in sizes:
            try:
                seconds = _seconds(lambda size=size: encode(crops, size), compute)  # type: ignore[misc]
            except torch.OutOfMemoryError:
                break
            best[size] = min(best.get(size, seconds), seconds)
    rates = {size: len(crops) / seconds for size, seconds in best.items()}
    return Calibration(max(rates, key=lambda size: rates[size]), rates)


def _seconds(work: Callable[[], object], compute: Compute) -> float:
    """Time a piece of work: of the processor's time, which other programs do not lengthen, or of the GPU's."""
    if compute.device.type == "cuda":
        torch.cuda.synchronize(compute.device)
        started = time.perf_counter()
        work()
        torch.cuda.synchronize(compute.device)
        return time.perf_counter() - started
    started = time.process_time()
    work()
    return (time.process_time() - started) / compute.lanes


def machine_key(compute: Compute, fingerprint: str) -> str:
    """Name what a measurement holds for: this machine, this torch, and the network of this fingerprint."""
    device = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else _processor()
    parts = (device, str(compute.lanes), str(compute.dtype), str(compute.int8), torch.__version__, fingerprint)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def read_calibration(path: Path, key: str) -> Calibration | None:
    """Give what is remembered; None if there is nothing, or the file is damaged: it is only a cache."""
    entry = _entries(path).get(key)
    try:
        rates = {int(size): float(rate) for size, rate in dict(entry["per_second"]).items()}  # type: ignore[index]
        chosen = int(entry["crops_at_once"])  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return None
    return Calibration(chosen, rates) if chosen in rates else None


def remember_calibration(path: Path, key: str, found: Calibration) -> None:
    """Add to what is remembered. Without room or the right to write there, it is measured again the next time."""
    entries = {**_entries(path), key: asdict(found)}
    making = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        making.write_text(json.dumps({"format": FORMAT, "measured": entries}, indent=1) + "\n")
        making.replace(path)
    with suppress(OSError):
        making.unlink(missing_ok=True)


def _entries(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return {}
    measured = content.get("measured")
    return dict(measured) if isinstance(measured, dict) else {}


def _processor() -> str:
    """Name the processor: by Linux's own list, where ``platform`` knows the architecture only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
