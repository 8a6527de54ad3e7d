"""Learning from another network: its embeddings of the clean crops, matched by those of the changed ones.

No names are needed, so any faces will do. The teacher sees each crop once; what it says is kept with the
run, in blocks that are whole or not there, so that a run that was killed goes on and many processes
share the work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from trainer.crops import CropsError, CropsFolder, inner
from trainer.evaluate import embed_crops
from trainer.loader import clean_batches, readable_crops
from trainer.losses.outcome import full_precision
from trainer.processes import Processes
from trainer.start import Start
from trainer.templates import Template

_BLOCK = 2048  # crops
_ASKED_EVERY = 128  # crops: a second or so
_ENOUGH, _FITTED_AT_ONCE = 20_000, 32  # crops to fit a last layer to


@dataclass(frozen=True)
class Teaching:
    """What the teacher says of the crops that are trained on.

    Attributes:
        rows: int64 (N,), the crops, rising.
        blocks: float16 (n, D), unit rows, mapped from files; one after the other they are the teacher's N embeddings.
            Of a crop that could not be read it is all zeros.
    """

    rows: NDArray[np.int64]
    blocks: list[NDArray[np.float16]]

    def of(self, rows: NDArray[np.int64], device: torch.device) -> Tensor:
        """Give the teacher's embeddings of some of the crops: float32 (n, D), zeros where it could not read them."""
        places = np.searchsorted(self.rows, rows)
        chosen = [self.blocks[place // _BLOCK][place % _BLOCK] for place in places.tolist()]
        return functional.normalize(torch.from_numpy(np.stack(chosen).astype(np.float32)).to(device))


def clean_lessons(teaching: Teaching, folder: CropsFolder, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield crops as they are, and what the teacher says of them; of very many only some, evenly chosen.

    Yields:
        (crops float (n, 3, size, size), wanted float32 (n, D), unit rows).
    Raises:
        trainer.crops.CropsError: if a crop cannot be read that could be before.
    """
    rows = teaching.rows[:: -(-len(teaching.rows) // _ENOUGH)] if len(teaching.rows) else teaching.rows
    rows = rows[(teaching.of(rows, torch.device("cpu")) != 0).any(dim=1).numpy()] if len(rows) else rows
    batches = clean_batches(folder, rows, _FITTED_AT_ONCE, lambda crop: inner(crop, folder.settings))
    for number, crops in enumerate(batches):
        some = rows[number * _FITTED_AT_ONCE :][: len(crops)]
        yield crops.to(device).float(), teaching.of(some, device)


def distillation(embeddings: Tensor, wanted: Tensor, relation_weight: float) -> Tensor:
    """How far a batch is from its teacher: mean of 1 - cos(x, t), and the difference of all similarities.

    The second term, r · mean over all pairs of (x_i·x_j - t_i·t_j)², keeps what is alike to the teacher alike
    (Tung & Mori 2019, "Similarity-preserving knowledge distillation", arXiv 1907.09682, on unit vectors).

    Args:
        embeddings: float (N, D), of any length.
        wanted: float (N, D), unit rows, the teacher's; rows of zeros, of which it said nothing, do not count.
        relation_weight: r.
    """
    with full_precision(embeddings) as rows:
        said = (wanted != 0).any(dim=1)
        unit, wanted = functional.normalize(rows[said]), wanted[said]
        if not len(unit):
            return rows.sum() * 0
        distance = 1 - (unit * wanted).sum(dim=1).mean()
        if relation_weight == 0 or len(unit) < 2:
            return distance
        apart = (unit @ unit.T - wanted @ wanted.T).square()
        return distance + relation_weight * apart.sum() / (len(unit) * (len(unit) - 1))


def teach(
    teacher: Start,
    folder: CropsFolder,
    rows: NDArray[np.int64],
    where: Path,
    processes: Processes,
    *,
    bfloat16: bool,
    tell: Callable[[int, int], None],
    complain: Callable[[str], None] = lambda text: None,
    stop: Callable[[], bool] = lambda: False,
) -> Teaching | None:
    """Let the teacher embed the crops, as far as it has not yet.

    Args:
        teacher: a network.
        folder, rows: the crops, rising row numbers.
        where: folder of the blocks; it must be another one for another teacher or other crops.
        processes: each takes some of the blocks.
        bfloat16: whether it computes in it.
        tell: called with how many crops are done, and of how many.
        complain: told of crops that cannot be read; nothing is learned from them.
        stop: asked again and again whether to end; what is done by then is kept in whole blocks.
    Returns:
        What the teacher says; None if it was stopped.
    """
    where.mkdir(parents=True, exist_ok=True)
    starts, stopped = range(0, len(rows), _BLOCK), False
    for number, start in enumerate(starts):
        path = where / f"{number:06d}.npy"
        if number % processes.count == processes.rank and not path.exists():
            found = []
            for first in range(start, min(start + _BLOCK, len(rows)), _ASKED_EVERY):
                if stopped := stop():
                    break
                some = rows[first : min(first + _ASKED_EVERY, start + _BLOCK)]
                embed = partial(_embed, teacher, folder, device=processes.device, bfloat16=bfloat16)
                found.append(_readable_embedded(embed, folder, some, teacher.settings.dimension, complain))
            if stopped:
                break
            _write(path, np.concatenate(found).astype(np.float16))
        tell(min(start + _BLOCK, len(rows)), len(rows))
    if processes.any(stopped):
        return None
    blocks = [np.load(where / f"{number:06d}.npy", mmap_mode="r") for number in range(len(starts))]
    return Teaching(rows, blocks)


def _write(path: Path, block: NDArray[np.float16]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        np.save(file, block)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _readable_embedded(
    embed: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    folder: CropsFolder,
    rows: NDArray[np.int64],
    dimension: int,
    complain: Callable[[str], None],
) -> NDArray[np.float32]:
    """Embed crops; a row of zeros for each that cannot be read."""
    try:
        return embed(rows)
    except CropsError:
        readable, complaints = readable_crops(folder, rows)
    for complaint in complaints:
        complain(f"{complaint}. Nothing is learned from it")
    embeddings = np.zeros((len(rows), dimension), np.float32)
    if len(readable):
        embeddings[np.isin(rows, readable)] = embed(readable)
    return embeddings


def _embed(
    teacher: Start, folder: CropsFolder, rows: NDArray[np.int64], device: torch.device, bfloat16: bool
) -> NDArray[np.float32]:
    wanted, cut = teacher.settings, folder.settings
    matrix = from_template(cut.template, wanted.template)
    matrix[:, 2] -= matrix[:, :2] @ [cut.margin, cut.margin]  # a stored crop begins with its margin
    size = wanted.input_size

    def recut(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        flags = cv2.INTER_AREA if matrix[0, 0] < 0.5 else cv2.INTER_LINEAR
        moved = cv2.warpAffine(crop, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return moved.astype(np.uint8, copy=False)

    same = size == cut.size and np.allclose(wanted.template, cut.template, atol=0.1)
    return embed_crops(teacher.network, folder, rows, device, bfloat16=bfloat16, cut=None if same else recut)


def from_template(one: Template, other: Template) -> NDArray[np.float64]:
    """Fit the rotation, scale and shift from one template's points to another's: float (2, 3).

    Umeyama 1991 (IEEE TPAMI 13:4), where a rotation with scale is one complex number.
    """
    points = np.array([complex(*point) for point in one])
    goal = np.array([complex(*point) for point in other])
    centred = points - points.mean()
    turn = (centred.conj() * (goal - goal.mean())).sum() / (abs(centred) ** 2).sum()
    shift = goal.mean() - turn * points.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
