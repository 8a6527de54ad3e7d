"""`visavis index`: what is new is embedded, what cannot be read is told, nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.catalogue import read_catalogue, shown_faces
from embedder.pretrained import WEIGHT_FILES
from embedder.tables import read_tables


def test_a_first_run_tells_what_it_found(demo_album, run) -> None:
    status = json.loads(run("status", "--album", demo_album, "--json").stdout)
    assert status["photos"] == 19 and status["unreadable"] == 1
    assert status["faces"] == 18, "16 portraits and a picture of two"
    assert status["model"] == "sface"


def test_a_second_run_embeds_nothing_and_loads_no_model(demo_album, demo_photos, run, monkeypatch) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(demo_album / "no-weights-here"))
    result = run("index", "--album", demo_album, "--json", demo_photos.archive)
    assert result.exit_code == 0, result.output
    line = json.loads(result.stdout)
    assert (line["photos"], line["faces"], line["new_photos"], line["unreadable"]) == (19, 18, 0, 1)
    assert (line["unchanged"], line["new"], line["deleted"], line["newly_unreadable"]) == (19, 0, 0, 0)


def test_another_detector_plugs_in(demo_photos, run, tmp_path, monkeypatch, shared_data, weights) -> None:
    """Its faces are where the other detector finds them; without its file, the command says how to get it."""
    yunet = shared_data("models/face_detection_yunet_2026may.onnx", "YuNet")
    models = tmp_path / "models"
    models.mkdir()
    (models / WEIGHT_FILES["sface"].file_name).symlink_to(weights("sface"))
    monkeypatch.setenv("VISAVIS_MODELS", str(models))
    arguments = ("index", "--detector", "yunet", "--detection", "fast", "--album", tmp_path / "album", "--json")
    result = run(*arguments, demo_photos.archive)
    assert result.exit_code == 1 and "visavis models pull yunet" in result.stderr
    (models / yunet.name).symlink_to(yunet.resolve())
    result = run(*arguments, demo_photos.archive)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["faces"] == 18
    about = json.loads((tmp_path / "album" / "album.json").read_text())
    assert about["detection"] == {"detector": "yunet", "level": "fast"}


def test_an_unreadable_file_is_named_with_its_reason(demo_album, run) -> None:
    result = run("status", "--unreadable", "--json", "--album", demo_album)
    row = json.loads(result.stdout)
    assert row["photo"].endswith("broken.jpg") and row["reason"].startswith("broken JPEG")


def test_new_moved_changed_deleted_and_duplicate_photos_are_told_apart(demo_album, demo_photos, run, tmp_path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    shutil.copy(demo_photos.group, folder / "copy.jpg")
    (folder / "empty.jpg").write_bytes(b"")
    first = run("index", "--album", demo_album, folder)
    assert "0 new photos, 1 duplicate, 1 unreadable; 0 new faces" in first.stderr
    assert "empty.jpg: the file is empty" in first.stderr
    (folder / "copy.jpg").rename(folder / "elsewhere.jpg")
    assert "0 new photos, 1 moved, 1 unchanged; 0 new faces" in run("index", "--album", demo_album, folder).stderr
    picture = Image.open(demo_photos.group)
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "elsewhere.jpg")
    (folder / "empty.jpg").unlink()
    changed = json.loads(run("index", "--album", demo_album, "--json", folder).stdout)
    assert (changed["new"], changed["changed"], changed["new_photos"], changed["new_faces"]) == (0, 1, 1, 2)
    assert changed["unreadable"] == 1, "what is said of a file that could not be read ends with it"
    (folder / "elsewhere.jpg").rename(tmp_path / "out of sight.jpg")
    picture.resize((300, 300)).save(folder / "new.jpg")
    gone = run("index", "--album", demo_album, folder)
    assert "1 new photo, 1 deleted; 2 new faces" in gone.stderr and "`visavis remove --missing`" in gone.stderr
    assert json.loads(run("status", "--album", demo_album, "--json").stdout)["photos"] == changed["photos"] + 1
    assert run("verify", "--album", demo_album).exit_code == 0


def test_a_moved_photo_is_found_where_it_is_now(demo_album, demo_photos, run, tmp_path) -> None:
    """And no longer where it was, though that comes first by name."""
    folder = tmp_path / "more"
    folder.mkdir()
    Image.open(demo_photos.group).resize((310, 310)).save(folder / "a.jpg")
    run("index", "--album", demo_album, folder)
    (folder / "a.jpg").rename(folder / "z.jpg")
    run("index", "--album", demo_album, folder)
    shown = {row.path for row in read_catalogue(demo_album / "shards").photos.of_status("ok")}
    assert str(folder / "z.jpg") in shown and str(folder / "a.jpg") not in shown


def test_the_limit_of_pixels_can_be_chosen(demo_album, run, tmp_path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    Image.new("RGB", (1200, 1000)).save(folder / "large.png")
    small = run("index", "--album", demo_album, "--max-megapixels", 1, folder)
    assert "1200×1000 pixels are more than the limit of 1 million" in small.stderr
    assert "1 unchanged" in run("index", "--album", demo_album, folder).stderr
    assert "1 new photo" in run("index", "--album", demo_album, "--retry-unreadable", folder).stderr


def test_an_empty_folder_is_an_error_that_says_so(run, tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    result = run("index", "--album", tmp_path / "album", tmp_path / "photos")
    assert result.exit_code == 1
    assert "no photo in" in result.stderr and "nothing to do" in result.stderr
    assert not (tmp_path / "album").exists()


def test_a_missing_folder_is_an_error_that_names_it(run, tmp_path) -> None:
    result = run("index", "--album", tmp_path / "album", tmp_path / "nowhere")
    assert result.exit_code == 1 and "nowhere is not there" in result.stderr


def test_another_command_leaves_an_album_of_another_model_alone(demo_album, demo_photos, run) -> None:
    """`index --model` alone makes it go over, see test_renewal."""
    result = run("enroll", "--album", demo_album, "--model", "dlib", demo_photos.archive)
    assert result.exit_code == 1
    assert "holds embeddings of model sface" in result.stderr and "choose another --album" in result.stderr
    assert json.loads(run("status", "--album", demo_album, "--json").stdout)["model"] == "sface"


def test_missing_weights_say_how_to_get_them(demo_photos, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "models"))
    result = run("index", "--album", tmp_path / "album", demo_photos.archive)
    assert result.exit_code == 1
    assert (
        "centerface.onnx (7.3 MB, licence MIT)" in result.stderr and "visavis models pull centerface" in result.stderr
    )


def test_altered_weights_are_not_used(demo_photos, run, tmp_path, monkeypatch, weights) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name in ("centerface", "sface"):
        shutil.copy(weights(name), models / WEIGHT_FILES[name].file_name)
    content = bytearray((models / "centerface.onnx").read_bytes())
    content[1000] ^= 1
    (models / "centerface.onnx").write_bytes(content)
    monkeypatch.setenv("VISAVIS_MODELS", str(models))
    result = run("index", "--album", tmp_path / "album", demo_photos.archive)
    assert result.exit_code == 1 and "is not the file that visavis knows" in result.stderr


@pytest.mark.parametrize("device", ["cuda:99", "cuda", "tpu"])
def test_a_device_that_is_not_there_is_an_error(demo_photos, run, tmp_path, weights, device) -> None:
    import torch

    if torch.cuda.is_available() and device == "cuda":
        pytest.skip("this machine has the device")
    weights("centerface")
    result = run("index", "--album", tmp_path / "album", "--device", device, demo_photos.archive)
    assert result.exit_code == 1 and f"--device {device}" in result.stderr


def test_no_argument_is_misuse(run) -> None:
    assert run("index").exit_code == 2
    assert run("index", "--model", "nonsense", "x").exit_code == 2


def _faces(album: Path):
    faces = shown_faces(read_tables(album / "shards"))
    order = np.argsort(faces.face_ids)
    return faces.face_ids[order], faces.boxes_xywh[order], faces.embeddings[order], len(faces)


def test_a_killed_run_continues_to_the_same_rows(embedded_demo, demo_photos, run, tmp_path) -> None:
    """Kill everything at the moment when the first shard is whole; go on; compare with a run in one go."""
    album = tmp_path / "killed"
    code = (
        "import embedder.pipeline as p, functools; p.EmbedSettings = functools.partial(p.EmbedSettings, "
        "shard_photos=4, chunk_photos=4); from indexer.cli import cli; cli()"
    )
    command = [sys.executable, "-c", code, "index", "--album", str(album), str(demo_photos.archive)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (album / "shards" / "000001").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = len(list((album / "shards").glob("0*")))
    assert before >= 1
    result = run("index", "--album", album, demo_photos.archive)
    assert result.exit_code == 0, result.stderr
    assert run("verify", "--album", album).exit_code == 0
    for ours, whole in zip(_faces(album), _faces(embedded_demo), strict=True):
        np.testing.assert_array_equal(ours, whole)


def test_an_interrupted_run_keeps_what_was_finished(demo_photos, run, tmp_path, monkeypatch) -> None:
    import embedder.pipeline as pipeline

    real = pipeline.embed_photos

    def interrupted(files, model, shards, catalogue, settings, on_progress, *, decode):
        def stop(report):
            on_progress(report)
            raise KeyboardInterrupt

        small = pipeline.EmbedSettings(chunk_photos=5)
        return real(files, model, shards, catalogue, small, stop, decode=decode)

    monkeypatch.setattr(pipeline, "embed_photos", interrupted)
    result = run("index", "--album", tmp_path / "album", demo_photos.archive)
    assert result.exit_code == 1 and "What was finished is kept" in result.stderr
    assert json.loads(run("status", "--album", tmp_path / "album", "--json").stdout)["photos"] == 5
