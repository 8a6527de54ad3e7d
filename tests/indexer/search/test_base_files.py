"""A base on the disk is used only if every byte of it is what was written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexer.search import base_files
from indexer.search.base_files import BaseFileError, check_base, delete_base, read_base, write_base
from indexer.search.cells import Base, build_base
from indexer.search.tuning import FirstLook


@pytest.fixture(scope="module")
def base() -> Base:
    return build_base(_rows(0), np.arange(1000, 1300), None, floor=0.5)


def _rows(seed: int) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal((300, 16)).astype(np.float32)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


@pytest.mark.parametrize("look", [None, FirstLook(3, 32, 0.61)])
def test_a_base_is_read_as_it_was_written(tmp_path: Path, base: Base, look: FirstLook | None) -> None:
    base = replace(base, tuning=replace(base.tuning, first_look=look))
    write_base(tmp_path / "index", base, "f00d")
    again = read_base(tmp_path / "index", "f00d")
    assert again is not None and again.tuning == base.tuning
    np.testing.assert_array_equal(again.face_ids, base.face_ids)
    queries = _rows(1)
    np.testing.assert_array_equal(
        again.codes.candidates(queries, 9, 5, None), base.codes.candidates(queries, 9, 5, None)
    )
    assert check_base(tmp_path / "index") == []
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "index").iterdir())


def test_no_base_is_no_problem(tmp_path: Path) -> None:
    assert read_base(tmp_path, "f00d") is None
    assert check_base(tmp_path) == []
    delete_base(tmp_path)


def test_a_base_of_another_model_is_refused(tmp_path: Path, base: Base) -> None:
    write_base(tmp_path, base, "f00d")
    with pytest.raises(BaseFileError, match="holds an index of model f00d, the album is of beef"):
        read_base(tmp_path, "beef")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_altered_bit_is_noticed_before_faiss_sees_it(
    tmp_path: Path, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_base(tmp_path, base, "f00d")
    monkeypatch.setattr(base_files, "codes_from_bytes", _fails_if_called_with(tmp_path))
    for name in _names(tmp_path):
        path = tmp_path / name
        whole = path.read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 150)):
            altered = bytearray(whole)
            altered[place] ^= 1 << place % 8
            path.write_bytes(altered)
            with pytest.raises(BaseFileError, match=path.name):
                read_base(tmp_path, "f00d")
            assert [problem for problem in check_base(tmp_path) if path.name in problem]
        path.write_bytes(whole)


def _fails_if_called_with(folder: Path):
    codes = next(folder.glob("cells-*.faiss")).read_bytes()
    real = base_files.codes_from_bytes

    def read(content: bytes):
        assert content == codes, "FAISS was given bytes that are not what was written"
        return real(content)

    return read


@pytest.mark.parametrize("kept", [0, 1, 0.5, -1])
@pytest.mark.parametrize("kind", ["base.json", "cells-*.faiss", "faces-*.npy"])
def test_a_file_cut_short_is_noticed(tmp_path: Path, base: Base, kind: str, kept: float) -> None:
    write_base(tmp_path, base, "f00d")
    path = next(tmp_path.glob(kind))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if kept == 0.5 else int(kept)])
    with pytest.raises(BaseFileError, match=path.name):
        read_base(tmp_path, "f00d")
    assert check_base(tmp_path) != []


@pytest.mark.parametrize("kind", ["cells-*.faiss", "faces-*.npy"])
def test_a_missing_file_is_noticed(tmp_path: Path, base: Base, kind: str) -> None:
    write_base(tmp_path, base, "f00d")
    next(tmp_path.glob(kind)).unlink()
    with pytest.raises(BaseFileError, match="is missing"):
        read_base(tmp_path, "f00d")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b'{"format": 2}', b"\xff"])
def test_a_damaged_manifest_is_told(tmp_path: Path, base: Base, content: bytes) -> None:
    write_base(tmp_path, base, "f00d")
    (tmp_path / "base.json").write_bytes(content)
    with pytest.raises(BaseFileError, match=r"base\.json is damaged"):
        read_base(tmp_path, "f00d")


def test_a_newer_format_is_told(tmp_path: Path, base: Base) -> None:
    write_base(tmp_path, base, "f00d")
    about = json.loads((tmp_path / "base.json").read_text())
    (tmp_path / "base.json").write_text(json.dumps({**about, "format": 9}))
    with pytest.raises(BaseFileError, match="has format 9, this version knows 3"):
        read_base(tmp_path, "f00d")


def test_writing_anew_leaves_nothing_of_the_former(tmp_path: Path, base: Base) -> None:
    for name in ("faces.faiss", "faces.json", "groups.parquet"):
        (tmp_path / name).write_text("of another time")
    write_base(tmp_path, base, "f00d")
    former = _names(tmp_path)
    assert "faces.faiss" not in former and "groups.parquet" in former
    write_base(tmp_path, build_base(_rows(7), np.arange(300), None, floor=0.5), "f00d")
    assert len(_names(tmp_path)) == len(former) == 4
    assert len(set(_names(tmp_path)) & set(former)) == 2  # the manifest and what is not ours
    delete_base(tmp_path)
    assert _names(tmp_path) == ["groups.parquet"]


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_a_kill_while_writing_leaves_the_former_base(
    tmp_path: Path, base: Base, moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_base(tmp_path, base, "f00d")
    written: list[str] = []

    def killed(path: Path, content: bytes) -> None:
        if len(written) == moment:
            raise KeyboardInterrupt
        written.append(path.name)
        path.write_bytes(content)

    monkeypatch.setattr(base_files, "write_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        write_base(tmp_path, build_base(_rows(7), np.arange(300), None, floor=0.5), "f00d")
    again = read_base(tmp_path, "f00d")
    assert again is not None
    np.testing.assert_array_equal(again.face_ids, base.face_ids)
    monkeypatch.undo()
    write_base(tmp_path, base, "f00d")
    assert len(_names(tmp_path)) == 3  # what the killed run left is gone
