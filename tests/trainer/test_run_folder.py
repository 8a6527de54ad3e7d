import json

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
