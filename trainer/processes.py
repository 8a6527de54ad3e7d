"""One process or many under ``torchrun``, and the device that each computes on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

from trainer.settings import Machine, Precision


class MachineError(ValueError):
    """A device or a number of processes that is not there."""


@dataclass(frozen=True)
class Processes:
    """Which process this is.

    Attributes:
        rank: its number.
        count: of all.
        device: of this one.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and measures."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all have come here."""
        if self.count > 1:
            dist.barrier()

    def share(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give all the values of the first one's tensors, in place."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)

    def join_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Join the row numbers of all, of which each has as many, in the order of the processes."""
        if self.count == 1:
            return rows
        own = torch.from_numpy(rows).to(self.device)
        received = [torch.empty_like(own) for _ in range(self.count)]
        dist.all_gather(received, own)
        return torch.cat(received).cpu().numpy()

    def any(self, flag: bool) -> bool:
        """Tell all whether it is so for one of them."""
        if self.count == 1:
            return flag
        votes = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(votes)
        return bool(votes.item())


@contextmanager
def joined(machine: Machine) -> Iterator[Processes]:
    """Join the other processes that ``torchrun`` started, if it did.

    Raises:
        MachineError: if the device is not there.
    """
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = _device(machine.device, int(os.environ.get("LOCAL_RANK", "0")) if count > 1 else None)
    threads = torch.get_num_threads()
    if machine.threads:
        torch.set_num_threads(machine.threads)
    if count > 1:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(rank, count, device)
    finally:
        if count > 1:
            dist.destroy_process_group()
        torch.set_num_threads(threads)


def _device(name: str, local_rank: int | None) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise MachineError(f"--device {name}: choose auto, cpu, cuda or cuda:N") from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise MachineError(f"--device {name}: choose auto, cpu, cuda or cuda:N")
    number = local_rank if local_rank is not None else device.index or 0
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= there:
        raise MachineError(f"--device {name}: torch {torch.__version__} sees {there} CUDA devices; use --device cpu")
    return torch.device("cuda", number)


def use_bfloat16(precision: Precision, device: torch.device) -> bool:
    """Whether a step computes in bfloat16: where it is asked for, or where the hardware has it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
