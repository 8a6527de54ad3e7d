"""Turn crops into unit embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from embedder.device import Compute
from trainer.dlib_network import load_dlib
from trainer.onnx_graph import fuse_batch_norm, load_onnx


class FaceEncoder:
    """A face network on one device. Each face and its mirror image are averaged."""

    def __init__(self, weights: Path, compute: Compute) -> None:
        """Load the network: ``.dat`` is dlib's, anything else is read as ONNX.

        Raises:
            trainer.onnx_graph.OnnxError, trainer.dlib_network.DlibFileError: if the file is not
            what its name says.
        """
        self._compute = compute
        network: nn.Module = load_dlib(weights) if weights.suffix == ".dat" else fuse_batch_norm(load_onnx(weights))
        self._network = compute.prepare(network)

    def encode(self, crops: np.ndarray) -> np.ndarray:
        """Embed crops.

        Args:
            crops: uint8 RGB (N, size, size, 3), aligned to the network's template.
        Returns:
            embeddings float32 (N, D), rows of unit length.
        """
        if not len(crops):
            return np.empty((0, self.dimension), np.float32)
        size = self._compute.encode_batch
        straight = [crops[i : i + size] for i in range(0, len(crops), size)]
        mirrored = [np.ascontiguousarray(batch[:, :, ::-1]) for batch in straight]
        vectors = torch.cat(self._compute.map(self._encode_batch, straight + mirrored))
        return functional.normalize(vectors[: len(crops)] + vectors[len(crops) :]).numpy()

    @property
    def dimension(self) -> int:
        """D, the length of an embedding: the rows of the network's last matrix."""
        last = [module for module in self._network.modules() if isinstance(module, nn.Linear)][-1]
        return last.out_features

    def _encode_batch(self, crops: np.ndarray) -> Tensor:
        output = self._compute.run(self._network, crops)
        return functional.normalize(output if isinstance(output, Tensor) else output[0])
