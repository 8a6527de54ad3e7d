import json
import signal
import subprocess
import sys

import pytest

from trainer.run_folder import (
    LOG,
    RunError,
    RunFolder,
    forget_run,
    read_log,
    read_settings,
    read_suspects,
    read_triplets,
    triplets_file,
)

# A file that grows beyond 10,000 bytes kills the process.
KILLED = """
import resource, signal, sys
from pathlib import Path
import torch
from trainer.checkpoint import Checkpoint, save_checkpoint
from trainer.networks import NetworkSettings, build_network
from trainer.weights import Description, save_weights
root, tensors = Path(sys.argv[1]), {"part/a": torch.zeros(9000)}
small = NetworkSettings("small", 32, 64, depths=(1,))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
"""


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin({"settings": {"seed": 1}})
    return folder


def test_what_was_written_is_read(run):
    run.log("step", step=1, loss=0.25, same=(1.0, float("nan")), figures={"x": float("inf")})
    run.log("end", step=1, text="Zoë")
    run.write_triplets(3, [{"anchor": "a/1.png", "same": 0.1}])
    run.write_suspects([{"crop": "a/2.png"}])
    assert read_log(run.root) == [
        {"kind": "step", "step": 1, "loss": 0.25, "same": [1.0, None], "figures": {"x": None}},
        {"kind": "end", "step": 1, "text": "Zoë"},
    ]
    assert read_settings(run.root) == {"settings": {"seed": 1}}
    assert read_triplets(run.root, 3) == [{"anchor": "a/1.png", "same": 0.1}]
    assert triplets_file(3) == "triplets/epoch-003.jsonl"
    assert read_triplets(run.root, 4) == []
    assert read_suspects(run.root) == [{"crop": "a/2.png"}]
    assert (run.root.stat().st_mode & 0o777) == 0o700


def test_what_will_be_done_again_is_cut_out_of_the_log(run):
    for step in range(5):
        run.log("step", step=step)
    with (run.root / LOG).open("a") as file:
        file.write('{"kind": "st')  # killed while it wrote
    run.cut_log(2)
    assert [line["step"] for line in read_log(run.root)] == [0, 1, 2]
    run.log("step", step=3)
    assert [line["step"] for line in read_log(run.root)] == [0, 1, 2, 3]


def test_other_processes_write_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run", silent=True)
    folder.begin({})
    folder.log("step", step=1)
    folder.write_triplets(1, [])
    folder.write_suspects([])
    folder.cut_log(0)
    assert list(tmp_path.iterdir()) == []


def test_a_run_can_be_forgotten(run):
    run.log("step", step=1)
    (run.root / "notes.txt").write_text("mine")
    files = ("checkpoint.safetensors", "best.safetensors", "report.html", "suspects.jpg", "triplets/epoch-012.jsonl")
    for name in (*files, "triplets/epoch-012.jpg", "events.out.tfevents.17.host.1.0"):
        (run.root / name).write_bytes(b"")
    forget_run(run.root)
    assert sorted(path.name for path in run.root.iterdir()) == ["notes.txt", "settings.json", "triplets"]
    assert list((run.root / "triplets").iterdir()) == []


@pytest.mark.parametrize("mend", [forget_run, lambda root: RunFolder(root).begin({})])
def test_what_a_killed_run_was_writing_is_removed(run, mend):
    """A process is killed in the middle of each file of tensors, as by ``kill -9``."""
    for write in ("save_checkpoint(root / 'checkpoint.safetensors', Checkpoint(tensors, {}))",
                  "save_weights(root / 'best.safetensors', build_network(small), Description(small, ''))"):  # fmt: skip
        killed = subprocess.run([sys.executable, "-c", KILLED + write, run.root], check=False)
        assert killed.returncode == -signal.SIGXFSZ
    (run.root / ".suspects.json").write_text("[")
    (run.root / ".last.safetensors.k3_x9a").write_bytes(b"")
    assert len([path for path in run.root.iterdir() if path.name.startswith(".tmp")]) == 2
    assert len([path for path in run.root.iterdir() if path.name.startswith(".best.safetensors.")]) == 1
    own = {".notes", ".tmp", ".tmp-of-mine", ".best"}
    for name in own:
        (run.root / name).write_text("mine")
    (run.root / ".tmpABC123").mkdir()
    mend(run.root)
    assert {path.name for path in run.root.glob(".*")} == own | {".tmpABC123"}


def test_folders_of_no_run_are_refused(run, tmp_path):
    with pytest.raises(RunError, match=r"no folder of a run: it has no settings\.json"):
        read_settings(tmp_path)
    with pytest.raises(RunError, match=r"holds no log\.jsonl"):
        read_log(tmp_path)
    (run.root / "suspects.json").write_text("[")
    with pytest.raises(RunError, match=r"suspects\.json is damaged"):
        read_suspects(run.root)
    (run.root / LOG).write_text("no json\n" + json.dumps({"kind": "end"}) + "\n")
    with pytest.raises(RunError, match=r"log\.jsonl is damaged"):
        read_log(run.root)
