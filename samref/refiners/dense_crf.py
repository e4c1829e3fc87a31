"""Dense CRF (Krähenbühl and Koltun, 2011): coarse masks drawn toward the color edges of the image (Table 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from samref.errors import ConfigError
from samref.refiners.settling import blank_logits, refine_each
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, FloatArray, Refinement, Sample


class DenseCrf:
    """One binary, fully connected CRF a mask, solved by mean field over the full image.

    The energy of a labeling is the sum over pixels of -log `confidence` where it agrees with the coarse mask and of
    -log(1 - `confidence`) where it does not, and over all pairs of pixels that differ in label of

        gaussian_compat  * exp(-|p - q|^2 / 2 gaussian_sxy^2)
      + bilateral_compat * exp(-|p - q|^2 / 2 bilateral_sxy^2 - |I_p - I_q|^2 / 2 bilateral_srgb^2)

    with both kernels normalized symmetrically, as the packaged solver does. Every pixel sees every other one, so a crop
    around the mask would give other results; the pairwise terms depend on the image alone and are built once for all
    its masks. `timing` counts them as `encode`, and mean field as `decode`.
    """

    def __init__(
        self,
        confidence: float,
        iterations: int,
        gaussian_sxy: float,
        gaussian_compat: float,
        bilateral_sxy: float,
        bilateral_srgb: float,
        bilateral_compat: float,
    ) -> None:
        """Checks the parameters.

        Args:
            confidence: probability that a pixel's coarse label is right, above 0.5 and below 1.
            iterations: of mean field.
            gaussian_sxy: reach of the smoothing kernel in image px.
            gaussian_compat: its weight.
            bilateral_sxy: reach of the color kernel in image px.
            bilateral_srgb: color difference (0 to 255) that the color kernel bridges.
            bilateral_compat: its weight.

        Raises:
            ConfigError: for a value out of range, or if the package is not installed.
        """
        if not 0.5 < confidence < 1:
            raise ConfigError(f"refiner.confidence is {confidence}; expected a probability above 0.5 and below 1")
        if iterations < 1:
            raise ConfigError(f"refiner.iterations is {iterations}; expected at least 1")
        for name, reach in (("gaussian", gaussian_sxy), ("bilateral", bilateral_sxy), ("color", bilateral_srgb)):
            if reach <= 0:
                raise ConfigError(f"the reach of refiner's {name} kernel is {reach}; expected more than 0")
        self.confidence, self.iterations = confidence, iterations
        self.gaussian = {"sxy": gaussian_sxy, "compat": gaussian_compat}
        self.bilateral = {"sxy": bilateral_sxy, "srgb": bilateral_srgb, "compat": bilateral_compat}
        self._package = _import_package()

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image; see `samref.refiners.samrefiner.Refiner`.

        Logits are log-odds of the marginals.
        """
        watch = Stopwatch(torch.device("cpu"))
        logits = blank_logits(sample) if keep_logits else None
        crf = None
        if sample.masks.any():
            with watch("encode"):
                crf = self._pairwise(sample.image)

        def refine(row: int) -> BoolArray:
            with watch("decode"):
                log_odds = self._infer(crf, sample.masks[row])
            if logits is not None:
                logits[row] = log_odds
            refined: BoolArray = log_odds > 0
            return refined

        return refine_each(sample, refine, watch.seconds, logits)

    def _pairwise(self, image: npt.NDArray[np.uint8]) -> Any:
        """A CRF of the image without unary terms."""
        crf = self._package.DenseCRF2D(image.shape[1], image.shape[0], 2)
        crf.addPairwiseGaussian(**self.gaussian)
        # The package takes writable memory only, though it does not write.
        crf.addPairwiseBilateral(rgbim=np.require(image, requirements=["C", "W"]), **self.bilateral)
        return crf

    def _infer(self, crf: Any, mask: BoolArray) -> FloatArray:
        """H x W float32 log-odds of the foreground."""
        agree, differ = -np.log(self.confidence), -np.log(1 - self.confidence)
        foreground = mask.reshape(-1)
        unary = np.stack([np.where(foreground, differ, agree), np.where(foreground, agree, differ)])
        # A new unary takes the place of the last mask's, and mean field starts afresh from it.
        crf.setUnaryEnergy(np.ascontiguousarray(unary, dtype=np.float32))
        marginals = np.asarray(crf.inference(self.iterations), dtype=np.float32).clip(np.finfo(np.float32).tiny)
        log_odds: FloatArray = (np.log(marginals[1]) - np.log(marginals[0])).reshape(mask.shape)
        return log_odds


def _import_package() -> Any:
    try:
        import pydensecrf.densecrf
    except ImportError as error:
        raise ConfigError(
            "refiner=dense_crf needs the package pydensecrf2, which is not installed; "
            "install it with pip install 'samref[crf]' (it is compiled, so a C++ compiler is needed)"
        ) from error
    return pydensecrf.densecrf
