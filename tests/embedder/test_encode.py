"""Crops become unit embeddings, each face as its mirror image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from embedder.device import Compute
from embedder.encode import FaceEncoder
from embedder.pretrained import NETWORKS
from trainer.dlib_network import DlibFileError, load_dlib
from trainer.onnx_graph import OnnxError, load_onnx


@pytest.fixture(scope="module", params=NETWORKS)
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def encoder(network: str, weights: Callable[[str], Path], exact_compute: Compute) -> FaceEncoder:
    return FaceEncoder(weights(network), exact_compute)


@pytest.fixture(scope="module")
def crops(network: str, portrait_crops: Callable[[str], np.ndarray]) -> np.ndarray:
    """Five: the portraits, darker ones, and one of noise."""
    portraits = portrait_crops(network)
    noise = np.random.default_rng(1).integers(0, 256, portraits[:1].shape, dtype=np.uint8)
    return np.concatenate([portraits, portraits // 2, noise])


def test_embeddings_agree_with_the_definition(
    network: str, encoder: FaceEncoder, crops: np.ndarray, weights: Callable[[str], Path]
):
    """Each view is brought to unit length, their sum too; the network is the one without fused norms."""
    plain = load_dlib(weights(network)) if network == "dlib" else load_onnx(weights(network))

    def unit_rows(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            output = plain(torch.from_numpy(images.copy()).permute(0, 3, 1, 2).float())
        rows = (output if isinstance(output, torch.Tensor) else output[0]).numpy().astype(np.float64)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    total = unit_rows(crops) + unit_rows(crops[:, :, ::-1])
    embeddings = encoder.encode(crops)
    expected = total / np.linalg.norm(total, axis=1, keepdims=True)
    np.testing.assert_allclose(embeddings, expected, rtol=0, atol=1e-5)
    assert embeddings.dtype == np.float32


def test_embeddings_are_unit_rows(network: str, encoder: FaceEncoder, crops: np.ndarray):
    embeddings = encoder.encode(crops)
    assert embeddings.shape == (5, encoder.dimension) == (5, NETWORKS[network].dimension)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=0, atol=1e-6)


def test_a_face_and_its_mirror_image_are_the_same(encoder: FaceEncoder, crops: np.ndarray):
    mirrored = np.ascontiguousarray(crops[:, :, ::-1])
    assert not np.array_equal(mirrored, crops)
    np.testing.assert_allclose(encoder.encode(mirrored), encoder.encode(crops), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("batch", "lanes"), [(1, 1), (2, 3), (64, 1)])
def test_a_face_is_the_same_in_any_batch(
    batch: int, lanes: int, encoder: FaceEncoder, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    expected = encoder.encode(crops)
    compute = dataclasses.replace(encoder._compute, encode_batch=batch, lanes=lanes)
    monkeypatch.setattr(encoder, "_compute", compute)
    np.testing.assert_allclose(encoder.encode(crops), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("crops_at_once", [4, 16])
def test_a_face_is_the_same_to_the_last_bit_in_any_company(
    crops_at_once: int, encoder: FaceEncoder, crops: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    """Alone, with others in another order, or in the last batch: what is stored depends on no interruption."""
    monkeypatch.setattr(encoder, "crops_at_once", crops_at_once)
    expected = encoder.encode_faces(np.concatenate([crops] * 4), repeatable=True)
    for rows in ([2], [3, 2], [0, 1, 2, 3, 4, 2]):
        found = encoder.encode_faces(crops[rows], repeatable=True)
        np.testing.assert_array_equal(found.embeddings, expected.embeddings[rows])
        np.testing.assert_array_equal(found.lengths, expected.lengths[rows])
        np.testing.assert_array_equal(found.agreements, expected.agreements[rows])


def test_no_face_gives_no_embedding(encoder: FaceEncoder, crops: np.ndarray):
    embeddings = encoder.encode(crops[:0])
    assert embeddings.shape == (0, encoder.dimension)
    assert embeddings.dtype == np.float32


def test_bfloat16_means_the_same_face(
    network: str,
    encoder: FaceEncoder,
    portrait_crops: Callable[[str], np.ndarray],
    weights: Callable[[str], Path],
    fast_compute: Compute,
):
    faces = portrait_crops(network)
    exact, fast = encoder.encode(faces), FaceEncoder(weights(network), fast_compute).encode(faces)
    assert (exact * fast).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(np.linalg.norm(fast, axis=1), 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "error"), [("face.onnx", OnnxError), ("face.dat", DlibFileError)])
def test_a_file_that_is_not_what_its_name_says_is_refused(
    name: str, error: type[Exception], tmp_path: Path, exact_compute: Compute
):
    path = tmp_path / name
    path.write_bytes(b"something else\n" * 99)
    with pytest.raises(error, match=name):
        FaceEncoder(path, exact_compute)
