"""Where networks run: the device, the number type, and how much goes there at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from embedder.heap import keep_freed_memory
from embedder.int8 import int8_is_fast

_Work = TypeVar("_Work")
_Done = TypeVar("_Done")


class DeviceError(ValueError):
    """A device that was asked for and is not there."""


@dataclass(frozen=True)
class Compute:
    """A device and how it is used best.

    Attributes:
        device: where the networks and their batches live.
        dtype: bfloat16 where the hardware has it, else float32.
        detect_batch: photos of like shape in one pass of the detector.
        encode_batch: crops in one pass of the network.
        lanes: how many batches run side by side.
        int8: whether networks that are made for it (``embedder.int8``) run on bytes: where that is fast.
        why: one line for the user that says what was chosen.
    """

    device: torch.device
    dtype: torch.dtype
    detect_batch: int
    encode_batch: int
    lanes: int
    int8: bool
    why: str

    def prepare(self, network: nn.Module) -> nn.Module:
        """Move a network to the device, in the dtype and memory layout that run fastest there."""
        network = network.eval().to(self.device, self.dtype)
        return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]

    def map(self, function: Callable[[_Work], _Done], work: Sequence[_Work]) -> list[_Done]:
        """Call ``function`` on each piece of work, ``lanes`` of them side by side; results in order."""
        if self.lanes == 1 or len(work) < 2:
            return [function(piece) for piece in work]
        with ThreadPoolExecutor(self.lanes, thread_name_prefix="lane") as pool:
            return list(pool.map(function, work))

    def run(self, network: nn.Module, images: np.ndarray, dtype: torch.dtype | None = None) -> Any:
        """Run a prepared network on uint8 RGB images (N, H, W, 3).

        Args:
            dtype: in which the network takes them, if it is not ``self.dtype``.
        Returns:
            what the network gives (a tensor or a tuple of them), float32, on the CPU.
        """
        with torch.inference_mode():
            batch = torch.from_numpy(images).to(self.device, non_blocking=True)
            # (N, H, W, 3) seen as (N, 3, H, W) is channels_last already: nothing is copied but the dtype.
            output = network(batch.permute(0, 3, 1, 2).to(dtype or self.dtype))
        return output.float().cpu() if isinstance(output, Tensor) else tuple(o.float().cpu() for o in output)


def choose_compute(device: str = "auto", *, exact: bool = False) -> Compute:
    """Choose how to compute on ``device``.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N". "auto" takes CUDA where there is one.
        exact: float32 even where bfloat16 or bytes are faster; for comparing with other implementations.
    Raises:
        DeviceError: if CUDA is asked for and is not there, or the name is not one of these.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f"--device {device}: choose auto, cpu, cuda or cuda:N") from error
    if device == "cpu":
        return _cpu(chosen, exact)
    if chosen.type == "cuda":
        return _cuda(chosen, exact)
    raise DeviceError(f"--device {device}: choose auto, cpu, cuda or cuda:N")


def _cpu(device: torch.device, exact: bool) -> Compute:
    fast = _cpu_has_bfloat16() and not exact
    lanes = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # One thread for each batch and several batches side by side: threads that share a batch wait for each
    # other at every layer, and where other programs run too that wait was measured at 15 times the work.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    keep_freed_memory()
    # Measured: one photo at a time is fastest for the detector (38 ms against 73 ms in eights, bfloat16),
    # and 8 crops for SFace (8.5 ms of each, 8.7 in fours; in 16 10.5 or 8.6, by how memory is handed back): the
    # activations stay in the cache. Long jobs measure it anew (embedder.calibration).
    dtype = torch.bfloat16 if fast else torch.float32
    int8 = fast and int8_is_fast()
    return Compute(device, dtype, 1, 8, lanes, int8, f"cpu, {lanes} threads, {_short(dtype)}" + ", int8" * int8)


def _cuda(device: torch.device, exact: bool) -> Compute:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        raise DeviceError(
            f"--device {device}: torch {torch.__version__} sees {count} CUDA devices. Use --device cpu, "
            "or install a CUDA build of torch and its driver"
        )
    fast = torch.cuda.is_bf16_supported() and not exact
    dtype = torch.bfloat16 if fast else torch.float32
    return Compute(
        device, dtype, 16, 256, 1, False, f"{device} ({torch.cuda.get_device_name(device)}), {_short(dtype)}"
    )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _cpu_has_bfloat16() -> bool:
    """Whether bfloat16 runs in hardware; emulated, it is slower than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
