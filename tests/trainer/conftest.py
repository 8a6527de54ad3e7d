"""Small folders of crops, and settings to train on them in a moment."""

from collections.abc import Iterator

import pytest
import torch

from tests.trainer.small_crops import write_crops
from trainer.settings import TrainSettings


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny steps are slowed down by threads, above all where other programs run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def crops(tmp_path):
    """Twelve people with four crops each."""
    return write_crops(tmp_path / "crops")


@pytest.fixture(scope="session")
def quick():
    """Settings of a run of seconds: a tiny network, batches of 3 people with 2 crops."""
    return TrainSettings(
        kind="small", width=4, depths=(1,), dimension=8, people=3, crops=2, epochs=3,
        log_every=1, checkpoint_every=2, rate=1e-3, precision="fp32", held_out=0.3,
    )  # fmt: skip
