import pytest
import torch

from trainer.processes import MachineError, joined, use_bfloat16
from trainer.settings import Machine


def test_one_process_is_first_and_waits_for_nobody():
    before = torch.get_num_threads()
    with joined(Machine("cpu", threads=3)) as alone:
        assert (alone.rank, alone.count, alone.device.type, alone.first) == (0, 1, "cpu", True)
        assert torch.get_num_threads() == 3
        alone.wait()
        assert alone.any(True)
        assert not alone.any(False)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:7"])
def test_a_device_that_is_not_there_is_an_error(name):
    with pytest.raises(MachineError, match=f"--device {name}: "), joined(Machine(name)):
        pass


def test_precision_is_what_was_asked_for():
    cpu = torch.device("cpu")
    assert use_bfloat16("bf16", cpu)
    assert not use_bfloat16("fp32", cpu)
    assert use_bfloat16("auto", cpu) in (True, False)
