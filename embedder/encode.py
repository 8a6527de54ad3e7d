"""Turn crops into unit embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from embedder.device import Compute
from embedder.face_network import load_face_network
from embedder.pretrained import FaceNetwork


@dataclass(frozen=True)
class Encoded:
    """N faces.

    Attributes:
        embeddings: float32 (N, D), unit rows.
        lengths: float32 (N,), the mean length of the two views' vectors before they were brought to unit length.
        agreements: float32 (N,), the cosine of the two views.
    """

    embeddings: np.ndarray
    lengths: np.ndarray
    agreements: np.ndarray


class FaceEncoder:
    """A face network on one device. Each face and its mirror image are averaged.

    Attributes:
        crops_at_once: how many go through the network in one pass.
    """

    def __init__(self, weights: Path, compute: Compute, settings: FaceNetwork | None = None) -> None:
        """Load the network; arguments and errors as of ``embedder.model_files.load_model_file``."""
        self._compute = compute
        self.crops_at_once = compute.encode_batch
        self._network = load_face_network(weights, compute, settings)

    def encode(self, crops: np.ndarray) -> np.ndarray:
        """Embed crops.

        Args:
            crops: uint8 RGB (N, size, size, 3), aligned to the network's template.
        Returns:
            embeddings float32 (N, D), rows of unit length.
        """
        return self.encode_faces(crops).embeddings

    def encode_faces(self, crops: np.ndarray, *, repeatable: bool = False) -> Encoded:
        """Embed crops, as ``encode`` does, and tell what quality is judged by.

        Args:
            repeatable: a face gets the same numbers, to the last bit, whatever faces it is embedded with, for what is
                stored. A batch of another size is added up in another order (float32 on AVX2: SFace's network by 6e-6),
                so the last batch is filled up to the size of the others, which costs as much as full ones.
        """
        if not len(crops):
            nothing = np.empty(0, np.float32)
            return Encoded(np.empty((0, self.dimension), np.float32), nothing, nothing)
        batches = self._batches(np.concatenate([crops, crops[:, :, ::-1]]))
        if repeatable:
            filled = np.zeros((self.crops_at_once, *crops.shape[1:]), np.uint8)
            filled[: len(batches[-1])] = batches[-1]
            batches[-1] = filled
        vectors = self._encode_batches(batches)[: 2 * len(crops)]
        units = functional.normalize(vectors)
        first, second = units[: len(crops)], units[len(crops) :]
        lengths = vectors.norm(dim=1).reshape(2, -1).mean(dim=0)
        agreements = functional.cosine_similarity(first, second)
        return Encoded(functional.normalize(first + second).numpy(), lengths.numpy(), agreements.numpy())

    def encode_views(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embed crops, (N, size, size, 3), as they are, for measuring: unit rows float32 (N, D), lengths (N,)."""
        vectors = self._encode_batches(self._batches(crops))
        return functional.normalize(vectors).numpy(), vectors.norm(dim=1).numpy()

    @property
    def dimension(self) -> int:
        """D, the length of an embedding."""
        return self._network.dimension

    def _batches(self, crops: np.ndarray) -> list[np.ndarray]:
        return [crops[i : i + self.crops_at_once] for i in range(0, len(crops), self.crops_at_once)]

    def _encode_batches(self, batches: list[np.ndarray]) -> Tensor:
        return torch.cat(self._compute.map(self._network.run, batches))
