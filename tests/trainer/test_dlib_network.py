"""dlib's network in torch, against dlib; and files that must be refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from trainer.dlib_limits import LIMITS
from trainer.dlib_network import SMALLEST_CROP, DlibFileError, DlibResNet, load_dlib

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of dlib's bindings, while they are imported
    import dlib

CONVOLUTIONS = 29


@pytest.fixture(scope="module")
def content(weights: Callable[[str], Path]) -> bytes:
    return weights("dlib").read_bytes()


@pytest.fixture(scope="module")
def network(weights: Callable[[str], Path]) -> DlibResNet:
    return load_dlib(weights("dlib"), limits=())


def embed(network: DlibResNet, chips: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(chips).permute(0, 3, 1, 2).float()).numpy()


def test_agrees_with_dlib(
    network: DlibResNet, weights: Callable[[str], Path], portrait_crops: Callable[[str], np.ndarray]
):
    """On the portraits, and on noise, which no layer can have been spared by luck."""
    noise = np.random.default_rng(1).integers(0, 256, (1, 150, 150, 3), dtype=np.uint8)
    chips = np.concatenate([portrait_crops("dlib"), noise])
    theirs = dlib.face_recognition_model_v1(str(weights("dlib")))
    expected = np.array([theirs.compute_face_descriptor(chip) for chip in chips])
    embeddings = embed(network, chips)
    assert embeddings.shape == (3, 128)
    assert np.linalg.norm(expected[0] - expected[1]) > 0.6  # dlib's own threshold: two people
    np.testing.assert_allclose(embeddings, expected, rtol=0, atol=1e-5)


def test_limits_cut_off_what_faces_seldom_reach(
    network: DlibResNet, weights: Callable[[str], Path], portrait_crops: Callable[[str], np.ndarray]
):
    """A face is hardly another one; each map but the last stays below its limit, and the highest reach it."""
    limited, noise = load_dlib(weights("dlib")), np.random.default_rng(1).integers(0, 256, (4, 150, 150, 3), np.uint8)
    faces = [torch.from_numpy(embed(one, portrait_crops("dlib"))) for one in (network, limited)]
    assert 0.995 < float(torch.nn.functional.cosine_similarity(*faces).min()) < 0.999999
    seen: list[float] = []
    rectifiers = [part for part in limited.modules() if isinstance(part, torch.nn.Hardtanh)]
    for part in rectifiers:
        part.register_forward_hook(lambda layer, inputs, output: seen.append(float(output.max())))
    embed(limited, np.concatenate([noise // 255 * 255, noise]))
    limits = np.float32(LIMITS)
    assert (np.float32(seen) <= limits).all()
    assert (np.float32(seen) == limits).sum() > 3


def test_limits_must_be_as_many_as_the_maps():
    with pytest.raises(ValueError, match="27 limits, but 28 maps"):
        DlibResNet([1.0] * 27)


def test_no_chip_gives_no_embedding(network: DlibResNet):
    assert embed(network, np.empty((0, 150, 150, 3), np.uint8)).shape == (0, 128)


def test_has_the_published_number_of_layers(network: DlibResNet):
    convolutions = [part for part in network.modules() if isinstance(part, torch.nn.Conv2d)]
    assert len(convolutions) == CONVOLUTIONS
    assert not network.training


def read(content: bytes, folder: Path) -> str:
    """The reason for which a file with this content is refused."""
    path = folder / "network.dat"
    path.write_bytes(content)
    with pytest.raises(DlibFileError) as caught:
        load_dlib(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def name_positions(content: bytes) -> list[int]:
    """Where the names of the first ten convolutions stand."""
    positions = [content.find(b"con_4")]
    while len(positions) < 10:
        positions.append(content.find(b"con_4", positions[-1] + 1))
    return positions


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_cut_short_is_refused(share: float, content: bytes, tmp_path: Path):
    read(content[: int(len(content) * share)], tmp_path)


def test_cut_short_within_a_layer_head_is_refused(content: bytes, tmp_path: Path):
    """Where version and sizes stand, each byte that is missing could be read as another number."""
    start = name_positions(content)[3]
    for length in range(start + len(b"con_4"), start + len(b"con_4") + 12):
        read(content[:length], tmp_path)


def test_a_flipped_layer_name_is_refused(content: bytes, tmp_path: Path):
    position = name_positions(content)[5]
    message = read(content[:position] + b"c0n" + content[position + 3 :], tmp_path)
    assert "expected layer con_4" in message
    assert "found affine_" in message


def test_a_flipped_name_of_the_last_layer_is_refused(content: bytes, tmp_path: Path):
    message = read(content.replace(b"fc_2", b"fc-2"), tmp_path)
    assert "expected layer fc_2 with 32768 numbers, found the end of the file" in message


def test_a_layer_of_another_version_or_size_is_refused(content: bytes, tmp_path: Path):
    """Behind a layer's name stand a version and four sizes, in 11 bytes; one bit of each is flipped."""
    _, second, _, fourth, *_ = name_positions(content)
    three_layers = content[:fourth]
    assert "found the end of the file" in read(three_layers, tmp_path)
    for position in range(second + len(b"con_4"), second + len(b"con_4") + 11):
        broken = bytearray(three_layers)
        broken[position] ^= 1
        assert "found the end of the file" not in read(bytes(broken), tmp_path)


def test_other_files_are_refused(tmp_path: Path, weights: Callable[[str], Path]):
    read(b"", tmp_path)
    read(b"no network, but a letter\n" * 99, tmp_path)
    read(b"con_4affine_fc_2" * 9, tmp_path)
    with pytest.raises(DlibFileError, match="does not hold dlib's face network"):
        load_dlib(weights("sface"))


@pytest.mark.parametrize("size", [SMALLEST_CROP, 103, 112, 149])
def test_smaller_crops_look_alike(network: DlibResNet, portrait_crops: Callable[[str], np.ndarray], size: int):
    """The same weights take smaller crops; the two portraits stay nearer to themselves than to each other."""
    chips = portrait_crops("dlib")
    small = np.stack([cv2.resize(chip, (size, size), interpolation=cv2.INTER_AREA) for chip in chips])
    whole, shrunk = embed(network, chips), embed(network, small)
    distances = np.linalg.norm(whole[:, None] - shrunk[None], axis=2)
    assert shrunk.shape == (2, 128)
    assert (distances.diagonal() < distances[[0, 1], [1, 0]]).all()
