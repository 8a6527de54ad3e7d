"""Two processes with half a batch each learn what one process learns from the whole."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from trainer.distributed import gather_batch
from trainer.gradient_cache import backward_in_parts
from trainer.losses.arcface import ArcFace
from trainer.losses.batch_hard import BatchHard

# Persons 0 and 2 have crops in both processes, so that what is mined crosses them; the halves differ in size.
LABELS = torch.tensor([0, 0, 1, 1, 2, 0, 2, 2, 3, 3, 0])
SIZES = (6, 5)


def crops():
    return torch.rand(11, 6, generator=torch.Generator().manual_seed(2))


def network():
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 5))


def classifier():
    torch.manual_seed(5)
    return ArcFace().objective(4, 5)


def gradients(module):
    return {name: parameter.grad.contiguous() for name, parameter in module.named_parameters()}


def run_process(rank: int, folder: str) -> None:
    """One of two: gradients in one piece, in parts, and of a loss with weights, each into a file."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # this machine only
    store = dist.FileStore(f"{folder}/store", 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=120))
    own = slice(0, SIZES[0]) if rank == 0 else slice(SIZES[0], None)
    rows, labels = crops()[own], LABELS[own]

    whole = DistributedDataParallel(network())
    outcome = BatchHard()(*gather_batch(whole(rows), labels))
    outcome.loss.backward()
    save_file(gradients(whole.module) | {"loss": outcome.loss.detach()}, f"{folder}/whole-{rank}")

    parts = DistributedDataParallel(network())
    backward_in_parts(parts, rows, lambda own_rows: BatchHard()(*gather_batch(own_rows, labels)), part=2)
    save_file(gradients(parts.module), f"{folder}/parts-{rank}")

    classified, loss = DistributedDataParallel(network()), classifier()
    loss(*gather_batch(classified(rows), labels)).loss.backward()
    save_file(gradients(classified.module) | gradients(loss), f"{folder}/classified-{rank}")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(run_process, (str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_give_the_gradients_of_one(results, rank):
    alone = network()
    outcome = BatchHard()(alone(crops()), LABELS)
    outcome.loss.backward()
    found = load_file(results / f"whole-{rank}")
    assert found.pop("loss").item() == pytest.approx(outcome.loss.item(), abs=1e-6)
    torch.testing.assert_close(found, gradients(alone), atol=1e-6, rtol=1e-5)
    assert max(float(g.abs().max()) for g in found.values()) > 1e-3


@pytest.mark.parametrize("rank", [0, 1])
def test_parts_in_two_processes_give_the_gradients_of_one(results, rank):
    expected = load_file(results / "whole-0")
    del expected["loss"]
    torch.testing.assert_close(load_file(results / f"parts-{rank}"), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("rank", [0, 1])
def test_weights_of_the_loss_get_the_gradients_of_one(results, rank):
    alone, loss = network(), classifier()
    loss(alone(crops()), LABELS).loss.backward()
    expected = gradients(alone) | gradients(loss)
    torch.testing.assert_close(load_file(results / f"classified-{rank}"), expected, atol=1e-5, rtol=1e-4)


def test_one_process_gathers_nothing():
    rows = torch.rand(3, 2, requires_grad=True)
    assert gather_batch(rows, LABELS[:3])[0] is rows
    with pytest.raises(ValueError, match="3 embeddings need as many labels, not 2"):
        gather_batch(rows, LABELS[:2])
