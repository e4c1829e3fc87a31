"""The refiner: CRM's network at four scales, each refining the last one's mask (Shen et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from samref.backbones.device import resolve_device
from samref.backbones.weights.by_hand import CRM as FAMILY
from samref.backbones.weights.by_hand import HAND_FETCHED, find_by_hand, read_for, show_terms
from samref.backbones.weights.checkpoint import load_strictly
from samref.errors import ConfigError
from samref.refiners.crm.implicit import project, query
from samref.refiners.crm.network import STRIDES, CrmNetwork
from samref.refiners.network_refiner import NetworkRefiner, check_precision
from samref.refiners.settling import Kept, blank_logits, log_odds, refine_each
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, FloatArray, Refinement, Sample

SCALES = (0.125, 0.25, 0.5, 1.0)
# px on each side, mirrored.
PAD = 32
STRIDE = STRIDES[-1]
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)
# The authors write gray values int(255 p) and score what is above 128.
FOREGROUND = 129 / 255
# They score the coarse mask itself where its gray values, 255 a pixel, add up to less.
LEAST_GRAY = 1024
# A mask with less than this much foreground on its way, in pixels twice over, is lost.
LOST = 2


class CRM(NetworkRefiner):
    """CRM, mask by mask; `timing` counts the features as `encode` and the implicit function as `decode`.

    The full image is refined, whatever its size. Masks of 4 px or fewer are kept, as the authors score them.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        device: str = "auto",
        sha256: str | None = None,
        precision: str = "fp32",
        tile: int | None = 2048,
        network: CrmNetwork | None = None,
    ) -> None:
        """Loads the network.

        Args:
            weights: the authors' checkpoint; None: as it lies in the cache folder.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            sha256: accept only weights with this hash.
            precision: of the features: `fp32` or `bf16`.
            tile: px of the image in the network at once, a multiple of 8, beside a margin as wide as features see;
                bounds memory and changes results by no more than rounding. None: all of it.
            network: a network in place of one with `weights`.

        Raises:
            ConfigError: for an option that makes no sense.
            WeightsError: if there are no weights, or others' ones.
        """
        check_precision(precision)
        if tile is not None and (tile < STRIDE or tile % STRIDE):
            raise ConfigError(f"refiner.tile is {tile}; expected a multiple of {STRIDE} px, or null for all of it")
        self.tile = tile
        network = load_network(weights, sha256) if network is None else network
        super().__init__(network, resolve_device(device), precision)

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image.

        Logits are log-odds of the output, moved so that the foreground begins at 0.

        Args:
            sample: image and coarse masks; ground truth is not looked at.
            keep_candidates: ignored, as there are none to choose from.
            keep_logits: whether `Refinement.logits` is wanted.

        Returns:
            The refined masks, in the sample's order.
        """
        watch = Stopwatch(self.device)
        logits = blank_logits(sample) if keep_logits else None
        image = mirrored(normalize(sample.image)) if sample.masks.any() else None

        def refine(row: int) -> BoolArray | Kept:
            if 255 * np.count_nonzero(sample.masks[row]) < LEAST_GRAY:
                return Kept("kept: 4 px or fewer, which CRM does not refine")
            assert image is not None
            probability = self._refined(image, sample.masks[row], watch)
            if logits is not None:
                logits[row] = log_odds(probability, float(np.log1p(-FOREGROUND) - np.log(FOREGROUND)))
            refined: BoolArray = probability >= FOREGROUND
            return refined

        with torch.inference_mode():
            return refine_each(sample, refine, watch.seconds, logits)

    def _refined(self, image: Tensor, mask: BoolArray, watch: Stopwatch) -> FloatArray:
        """H x W probabilities of the foreground, from an image that is mirrored at its rim."""
        with watch("postprocess"):
            current = mirrored(torch.from_numpy(mask)[None, None].float() * 2 - 1)
        for probability in self.scales(image, current, watch):
            current = probability
        final: FloatArray = current[0, 0, PAD:-PAD, PAD:-PAD].numpy()
        return final

    def scales(self, image: Tensor, mask: Tensor, watch: Stopwatch) -> Iterator[Tensor]:
        """The probabilities of the foreground after each scale, 1 x 1 x H x W.

        Args:
            image: 1 x 3 x H x W, normalized.
            mask: 1 x 1 x H x W, from -1 to 1.
            watch: of the refinement.
        """
        for scale in SCALES:
            if float((mask + 1).sum()) < LOST:
                yield torch.zeros_like(mask)
                return
            probability = self.logits(image, mask, scale, watch).sigmoid()[None, None]
            yield probability
            mask = (probability - 0.5) * 2

    def logits(self, image: Tensor, mask: Tensor, scale: float, watch: Stopwatch) -> Tensor:
        """Logits at one scale, H x W on the CPU; see `scales`."""
        height, width = image.shape[-2:]
        size = (round(height * scale), round(width * scale))
        with watch("encode"):
            small = [F.interpolate(x, size=size, mode="bilinear", align_corners=True) for x in (image, mask)]
            with self.computing():
                bands = self.network.features(torch.cat(small, dim=1).to(self.device), self.tile)
                features = project(bands, self.network.imnet.first)
        with watch("decode"):
            return query(features, self.network.imnet, (height, width)).cpu()


def normalize(image: npt.NDArray[np.uint8]) -> Tensor:
    """1 x 3 x H x W float32 of an H x W x 3 RGB image, by ImageNet's statistics."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    return pixels.sub_(torch.tensor(PIXEL_MEAN).view(3, 1, 1)).div_(torch.tensor(PIXEL_STD).view(3, 1, 1))


def mirrored(x: Tensor) -> Tensor:
    """1 x C x H x W with 32 px more on each side: what lies inside, back and forth where it is narrower than that."""
    rows, columns = (np.pad(np.arange(length), PAD, mode="reflect") for length in x.shape[-2:])
    return x[:, :, torch.from_numpy(rows)][..., torch.from_numpy(columns)]


def load_network(weights: str | Path | None, sha256: str | None = None) -> CrmNetwork:
    """CRM's network with the authors' weights, whose terms are shown once.

    Args:
        weights: path of a checkpoint; None: the one in the cache folder.
        sha256: accept only a file with this hash.

    Raises:
        WeightsError: if there are none, or they are not this network's.
    """
    path = find_by_hand("crm", weights, sha256)
    state = read_for(FAMILY, path)
    with torch.device("meta"):
        network = CrmNetwork()
    load_strictly(network, state, f"{path} for refiner=crm", "network")
    show_terms(HAND_FETCHED["crm"])
    return network
