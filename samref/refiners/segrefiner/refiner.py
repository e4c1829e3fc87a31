"""The refiner: SegRefiner's network, its diffusion and one of its two modes (Wang et al., NeurIPS 2023; Table 5)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from samref.backbones.device import resolve_device
from samref.backbones.weights.by_hand import HAND_FETCHED, SEGREFINER, find_by_hand, read_for
from samref.backbones.weights.checkpoint import file_sha256, load_strictly
from samref.errors import ConfigError
from samref.refiners.network_refiner import NetworkRefiner, check_precision
from samref.refiners.segrefiner.diffusion import TIMES, Draw, Uniform, denoise, given_draw, seeded_draw
from samref.refiners.segrefiner.instance import Instance
from samref.refiners.segrefiner.mode import HALF, Mode
from samref.refiners.segrefiner.semantic import Semantic
from samref.refiners.segrefiner.unet import STRIDE, WIDTH, DenoisingUNet
from samref.refiners.settling import Kept, blank_logits, log_odds, refine_each
from samref.refiners.windows import chunks
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, Refinement, Sample

INSTANCE, SEMANTIC = "instance", "semantic"
MODES = {INSTANCE: "segrefiner_lr", SEMANTIC: "segrefiner_hr"}


class SegRefiner(NetworkRefiner):
    """SegRefiner, in instance or in semantic mode; `timing` counts the network as `decode`.

    Where the authors' code raises an error or empties a mask, the coarse mask or an earlier result stands instead:

    * semantic mode, 128 foreground pixels or fewer: the coarse mask is kept;
    * semantic mode, image smaller than the network's size in both directions: the global step has seen every pixel,
      and its result stands; in one direction: the image is mirrored at its end;
    * both modes, an empty result: the coarse mask stays (flag `fallback`).

    Masks come back in the order in which they went in, small ones too.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        mode: str = INSTANCE,
        seed: int = 0,
        device: str = "auto",
        sha256: str | None = None,
        precision: str = "fp32",
        chunk_size: int = 8,
        steps: int = TIMES,
        pad: int = 20,
        min_area: int = 512,
        fine_threshold: float = 0.9,
        iou_threshold: float = 0.3,
        size: int = 256,
        width: int = WIDTH,
        uniform: Uniform | None = None,
        network: nn.Module | None = None,
    ) -> None:
        """Loads the network.

        Args:
            weights: the authors' checkpoint: LR for instance mode, HR for semantic mode; None: as it lies in the cache
                folder.
            mode: `instance` (each mask in a crop around it: COCO, LVIS, DAVIS) or `semantic` (the full image, then
                patches at full resolution: BIG, VOC, DIS).
            seed: of the draws, which each mask makes for itself.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            sha256: accept only weights with this hash.
            precision: of the network: `fp32` or `bf16`.
            chunk_size: crops or patches in the network at once; bounds memory, never changes results.
            steps: of instance mode, 1 to 6.
            pad: px around a mask's tight box in instance mode.
            min_area: px of a mask below which instance mode keeps it.
            fine_threshold: in semantic mode, share of the highest probability of being fine below which a patch looks
                closer.
            iou_threshold: of patches, from which the surer one is left out.
            size: px of crops and patches, a multiple of 32.
            width: channels of the network's finest level; the published ones have 128.
            uniform: makes the draws in place of the seeded ones: numbers in [0, 1) of the shape it is given, which is
                B x 1 x S x S, called once for each step but the last of each chunk.
            network: a network in place of one with `weights`.

        Raises:
            ConfigError: for an option that makes no sense.
            WeightsError: if there are no weights, or others' ones.
        """
        if mode not in MODES:
            raise ConfigError(f"refiner.mode is '{mode}'; expected {' or '.join(MODES)}")
        check_precision(precision)
        if chunk_size < 1:
            raise ConfigError(f"refiner.chunk_size is {chunk_size}; expected at least 1")
        if size < STRIDE or size % STRIDE or width < STRIDE or width % STRIDE:
            raise ConfigError(f"refiner has size={size}, width={width}; expected multiples of {STRIDE} for both")
        self.mode: Mode = (
            Instance(size, steps, pad, min_area)
            if mode == INSTANCE
            else Semantic(size, fine_threshold, iou_threshold, chunk_size)
        )
        self.seed, self.chunk_size, self.uniform = seed, chunk_size, uniform
        network = load_network(weights, mode, width, sha256) if network is None else network
        super().__init__(network, resolve_device(device), precision)

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image.

        Logits are log-odds of the network's probabilities.

        Args:
            sample: image and coarse masks; ground truth is not looked at.
            keep_candidates: ignored, as there are none to choose from.
            keep_logits: whether `Refinement.logits` is wanted.

        Returns:
            The refined masks, in the sample's order.
        """
        watch = Stopwatch(self.device)
        logits = blank_logits(sample) if keep_logits else None
        with torch.inference_mode():
            found = self._denoised(sample, watch)

            def refine(row: int) -> BoolArray | Kept:
                if row not in found:
                    return self.mode.kept
                probability = self.mode.finish(sample.image, sample.masks[row], *found[row], self._closer, watch)
                with watch("postprocess"):
                    if logits is not None:
                        logits[row] = log_odds(probability)
                    refined: BoolArray = probability >= HALF
                    return refined

            return refine_each(sample, refine, watch.seconds, logits)

    def _denoised(self, sample: Sample, watch: Stopwatch) -> dict[int, tuple[Tensor, Tensor]]:
        """By row of the masks that are refined: probabilities of the foreground and of being fine, S x S."""
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for rows in chunks([row for row, mask in enumerate(sample.masks) if self.mode.refines(mask)], self.chunk_size):
            masks = [sample.masks[row] for row in rows]
            with watch("postprocess"):
                images, shapes = self.mode.prepare(sample.image, masks)
            with watch("decode"):
                draw = seeded_draw(masks, self.seed) if self.uniform is None else given_draw(self.uniform)
                probability, fine = self._denoise(images, shapes, self.mode.times, draw)
                found |= {row: (probability[k, 0], fine[k, 0]) for k, row in enumerate(rows)}
        return found

    def _closer(self, images: Tensor, shapes: Tensor) -> Tensor:
        return self._denoise(images, shapes, (0,), seeded_draw((), self.seed))[0]

    def _denoise(self, images: Tensor, shapes: Tensor, times: Sequence[int], draw: Draw) -> tuple[Tensor, Tensor]:
        with self.computing():
            probability, fine = denoise(self.network, images.to(self.device), shapes.to(self.device), times, draw)
        return probability.cpu(), fine.cpu()


def load_network(weights: str | Path | None, mode: str, width: int = WIDTH, sha256: str | None = None) -> nn.Module:
    """SegRefiner's network with the authors' weights.

    Args:
        weights: path of a checkpoint; None: the mode's own in the cache folder.
        mode: what it will be used for; weights made for the other mode are warned of.
        width: of the network.
        sha256: accept only a file with this hash.

    Raises:
        WeightsError: if there are none, or they are not this network's.
    """
    path = find_by_hand(MODES[mode], weights, sha256)
    state = read_for(SEGREFINER, path)
    with torch.device("meta"):
        network: Any = nn.ModuleDict({"denoise_model": DenoisingUNet(width)})
    load_strictly(network, state, f"{path} for refiner=segrefiner", "network")
    warn_of_other_mode(path, mode)
    denoiser: nn.Module = network["denoise_model"]
    return denoiser


def warn_of_other_mode(path: Path, mode: str) -> None:
    """Warns where a file is known to be made for the other mode: all weights fit the network."""
    for other, name in MODES.items():
        entry = HAND_FETCHED[name]
        named = path.name.startswith(name)
        known = entry.size == path.stat().st_size and file_sha256(path) == entry.sha256
        if other != mode and (named or known):
            right = HAND_FETCHED[MODES[mode]].filename
            warnings.warn(
                f"{path} is SegRefiner's checkpoint for {other} mode, and refiner.mode={mode}: it runs, and is less "
                f"accurate; use {right}, or refiner.mode={other}",
                stacklevel=2,
            )
