"""How a trained network is tested: scales and mirrored images averaged, a dense CRF after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from samref.errors import ConfigError
from samref.structures import FloatArray
from samref.training.networks.network import SEMANTIC, Network

# Of the code that kazuto1011/deeplab-pytorch tests with: iterations, and weight and reach of both kernels.
CRF_ITERATIONS = 10
GAUSSIAN = {"sxy": 1, "compat": 3}
BILATERAL = {"sxy": 67, "srgb": 3, "compat": 4}


@dataclass(frozen=True)
class Evaluation:
    """How a semantic network is tested; instance networks are tested as they are.

    Attributes:
        scales: factors of the image's size, over which probabilities are averaged.
        flip: whether each scale is seen mirrored, too.
        crf: whether a dense CRF decides from the averaged probabilities.
    """

    scales: Sequence[float]
    flip: bool
    crf: bool

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) <= 0:
            raise ConfigError(f"schedule.evaluation.scales is {list(self.scales)}; expected factors above 0")
        if self.crf:
            _package()

    def labels(self, network: Network, image: Tensor) -> npt.NDArray[np.int64]:
        """The class of each pixel, as its place among the network's.

        Args:
            network: a semantic one.
            image: 3 x H x W uint8.

        Returns:
            H x W int64.
        """
        probabilities = self.probabilities(network, image).cpu().numpy()
        if self.crf:
            probabilities = dense_crf(image.permute(1, 2, 0).cpu().numpy(), probabilities)
        labels: npt.NDArray[np.int64] = probabilities.argmax(axis=0).astype(np.int64)
        return labels

    def probabilities(self, network: Network, image: Tensor) -> Tensor:
        """Mean softmax over scales and mirrored images, classes x H x W float32."""
        assert network.kind == SEMANTIC
        size = (image.shape[-2], image.shape[-1])
        total: Any = 0
        for scale in self.scales:
            seen = image
            if scale != 1:
                sides = [max(1, round(side * scale)) for side in size]
                resized = F.interpolate(image[None].float(), size=sides, mode="bilinear", align_corners=False)
                seen = resized[0].round().to(torch.uint8)
            for mirrored in (False, True) if self.flip else (False,):
                scores = network.predict(seen.flip(-1) if mirrored else seen)
                scores = scores.flip(-1) if mirrored else scores
                full = F.interpolate(scores[None].float(), size=size, mode="bilinear", align_corners=False)[0]
                total = total + full.softmax(dim=0)
        mean: Tensor = total / (len(self.scales) * (2 if self.flip else 1))
        return mean


def dense_crf(image: npt.NDArray[np.uint8], probabilities: FloatArray) -> FloatArray:
    """Probabilities of several classes, drawn toward the color edges of the image.

    Args:
        image: H x W x 3 uint8 RGB.
        probabilities: classes x H x W float32.

    Returns:
        The marginals of a fully connected CRF, of the same shape.

    Raises:
        ConfigError: if the package is not installed.
    """
    classes, height, width = probabilities.shape
    crf = _package().DenseCRF2D(width, height, classes)
    unary = -np.log(probabilities.clip(1e-8)).reshape(classes, -1)
    crf.setUnaryEnergy(np.ascontiguousarray(unary, dtype=np.float32))
    crf.addPairwiseGaussian(**GAUSSIAN)
    crf.addPairwiseBilateral(rgbim=np.require(image, requirements=["C", "W"]), **BILATERAL)
    marginals: FloatArray = np.asarray(crf.inference(CRF_ITERATIONS), dtype=np.float32).reshape(probabilities.shape)
    return marginals


def _package() -> Any:
    try:
        import pydensecrf.densecrf
    except ImportError as error:
        raise ConfigError(
            "schedule.evaluation.crf needs the package pydensecrf2, which is not installed; install it by pip install "
            "'samref[crf]', or leave it false"
        ) from error
    return pydensecrf.densecrf
