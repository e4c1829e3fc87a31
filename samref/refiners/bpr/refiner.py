"""The refiner: BPR's network on small patches along a mask's contour (Tang et al., CVPR 2021)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from samref.backbones.device import resolve_device
from samref.backbones.weights.by_hand import BPR as FAMILY
from samref.backbones.weights.by_hand import find_by_hand, read_for
from samref.backbones.weights.checkpoint import StateDict, load_strictly
from samref.errors import ConfigError
from samref.refiners.bpr.network import ARCHITECTURES, Architecture, BprNetwork, architecture
from samref.refiners.bpr.patches import averaged, network_input, patch_windows
from samref.refiners.network_refiner import NetworkRefiner, check_precision
from samref.refiners.settling import Kept, blank_logits, log_odds, refine_each
from samref.refiners.windows import Window, chunks
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, FloatArray, Refinement, Sample

HALF = 0.5
SMALLEST_SIZE = 32


class BPR(NetworkRefiner):
    """BPR, mask by mask; `timing` counts the network as `decode`.

    Masks of images that are no larger than a patch in some direction stay as they are, where the authors' code fails.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        device: str = "auto",
        sha256: str | None = None,
        precision: str = "fp32",
        architecture: str | None = None,
        chunk_size: int = 32,
        patch: int = 64,
        iou_threshold: float = 0.25,
        size: int | None = None,
        network: BprNetwork | None = None,
    ) -> None:
        """Loads the network.

        Args:
            weights: the authors' checkpoint; None: as it lies in the cache folder.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            sha256: accept only weights with this hash.
            precision: of the network: `fp32` or `bf16`.
            architecture: `hrnet18s` or `hrnet48`; None: that of the weights.
            chunk_size: patches in the network at once; bounds memory, never changes results.
            patch: px of a patch in the image.
            iou_threshold: IoU of patches above which one is left out.
            size: px to which a patch is enlarged, a multiple of 32; None: 128 for HRNet-18s, 256 for HRNet-48.
            network: a network in place of one with `weights`.

        Raises:
            ConfigError: for an option that makes no sense.
            WeightsError: if there are no weights, or others' ones.
        """
        check_precision(precision)
        if architecture is not None and architecture not in ARCHITECTURES:
            raise ConfigError(
                f"refiner.architecture is '{architecture}'; expected {' or '.join(ARCHITECTURES)}, or null"
            )
        if chunk_size < 1 or patch < 2 or patch % 2 or not 0 <= iou_threshold <= 1:
            raise ConfigError(
                f"refiner has chunk_size={chunk_size}, patch={patch}, iou_threshold={iou_threshold}; expected at least "
                "1, an even number, and a share from 0 to 1"
            )
        if size is not None and (size < SMALLEST_SIZE or size % SMALLEST_SIZE):
            raise ConfigError(f"refiner.size is {size}; expected a multiple of {SMALLEST_SIZE}, or null")
        self.chunk_size, self.patch, self.iou_threshold = chunk_size, patch, iou_threshold
        network = load_network(weights, architecture, sha256) if network is None else network
        self.size = size or network.size
        super().__init__(network, resolve_device(device), precision)

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image.

        Logits are log-odds of the network's probabilities; 0 for the coarse foreground where no patch lies.

        Args:
            sample: image and coarse masks; ground truth is not looked at.
            keep_candidates: ignored, as there are none to choose from.
            keep_logits: whether `Refinement.logits` is wanted.

        Returns:
            The refined masks, in the sample's order.
        """
        watch = Stopwatch(self.device)
        logits = blank_logits(sample) if keep_logits else None

        def refine(row: int) -> BoolArray | Kept:
            coarse = sample.masks[row]
            if min(coarse.shape) <= self.patch:
                return Kept(f"kept: no side of the image may be {self.patch} px or shorter for BPR")
            with watch("postprocess"):
                windows = patch_windows(coarse, self.patch, self.iou_threshold)
            found = self._looked_at(sample, coarse, windows, watch)
            with watch("postprocess"):
                probability = averaged(sample.original_size, windows, found)
                seen = ~np.isnan(probability)
                if logits is not None:
                    logits[row] = np.where(seen, log_odds(probability), np.where(coarse, 0.0, -np.inf))
                refined: BoolArray = np.where(seen, probability > HALF, coarse)
                return refined

        with torch.inference_mode():
            return refine_each(sample, refine, watch.seconds, logits)

    def _looked_at(
        self, sample: Sample, coarse: BoolArray, windows: list[Window], watch: Stopwatch
    ) -> list[FloatArray]:
        """Probabilities of the foreground in each patch."""
        found: list[FloatArray] = []
        for chunk in chunks(windows, self.chunk_size):
            with watch("postprocess"):
                patches = network_input(sample.image, coarse, chunk, self.size)
            with watch("decode"), self.computing():
                found.extend(self.network.probabilities(patches.to(self.device), self.patch).float().cpu().numpy())
        return found


def load_network(weights: str | Path | None, name: str | None = None, sha256: str | None = None) -> BprNetwork:
    """BPR's network with the authors' weights.

    Args:
        weights: path of a checkpoint; None: the architecture's own in the cache folder, HRNet-18s by default.
        name: of the architecture; None: that of the weights.
        sha256: accept only a file with this hash.

    Raises:
        WeightsError: if there are none, or they are not this network's.
    """
    path = find_by_hand(f"bpr_{name or 'hrnet18s'}", weights, sha256)
    state = read_for(FAMILY, path)
    with torch.device("meta"):
        network = BprNetwork(ARCHITECTURES[name] if name else architecture_of(state))
    load_strictly(network, state, f"{path} for refiner=bpr", "network")
    return network


def architecture_of(state: StateDict) -> Architecture:
    """The architecture of a state dict by its widths; all else of it is checked when it is loaded."""
    finest = state.get("backbone.transition1.0.0.weight")
    narrow = state.get("backbone.layer1.0.conv1.weight")
    if finest is None or narrow is None or len(finest) == ARCHITECTURES["hrnet18s"].stages[0].widths[0]:
        return ARCHITECTURES["hrnet18s"]
    if len(finest) == ARCHITECTURES["hrnet48"].stages[0].widths[0]:
        return ARCHITECTURES["hrnet48"]
    return architecture(len(finest), small=True, first=4 * len(narrow))
