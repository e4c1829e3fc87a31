"""The refiner: pixels near boundaries take the value of one farther inside (Yuan et al., ECCV 2020; Table 9)."""

from __future__ import annotations

from pathlib import Path

import torch

from samref.backbones.device import resolve_device
from samref.backbones.weights.by_hand import SEGFIX as FAMILY
from samref.backbones.weights.by_hand import find_by_hand, read_for
from samref.backbones.weights.checkpoint import StateDict, load_strictly
from samref.errors import ConfigError
from samref.refiners.network_refiner import NetworkRefiner, check_precision
from samref.refiners.segfix.network import BACKBONES, HrNet, HrNet2x, SegFixNetwork, with_plain_norms
from samref.refiners.segfix.offsets import Offsets, moved, normalize, offsets_of, predict, read_offsets
from samref.refiners.settling import refine_each
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, Refinement, Sample

# How far pixels look inward, by what a mask shows: the authors' values for instances and for label maps.
SCALES = {"instance": 1, "semantic": 2}
FIELDS = ("image_id", "folder", "stem")


class SegFix(NetworkRefiner):
    """SegFix; `timing` counts the offsets, which depend on the image alone, as `encode`, moving masks as `postprocess`.

    There are no logits: a moved mask is looked up, and masks that do not overlap still do not once they are moved.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        mode: str = "instance",
        device: str = "auto",
        sha256: str | None = None,
        precision: str = "fp32",
        architecture: str | None = None,
        chunk_size: int = 4,
        scale: int | None = None,
        window: int | None = 512,
        stride: int = 170,
        offsets: str | Path | None = None,
        pattern: str = "{stem}.mat",
        network: SegFixNetwork | None = None,
    ) -> None:
        """Loads the network, or finds the offsets.

        Args:
            weights: the authors' checkpoint; None: as it lies in the cache folder.
            mode: what a mask shows, which decides about `scale`: `instance` or `semantic`.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            sha256: accept only weights with this hash.
            precision: of the network: `fp32` or `bf16`.
            architecture: `hrnet48` or `hrnet2x20`; None: that of the weights.
            chunk_size: windows in the network at once; bounds memory, never changes results.
            scale: how many times its offset a pixel looks inward; None: 1 for instances, 2 for semantic masks.
            window: px of the windows over which the network's output is averaged; None: the full image at once.
            stride: px from one window to the next.
            offsets: folder of offset files, in place of a network.
            pattern: their names, with the fields `{image_id}`, `{folder}` and `{stem}`.
            network: a network in place of one with `weights`.

        Raises:
            ConfigError: for an option that makes no sense.
            WeightsError: if there are no weights, or others' ones.
        """
        check_precision(precision)
        if mode not in SCALES:
            raise ConfigError(f"refiner.mode is '{mode}'; expected {' or '.join(SCALES)}")
        if architecture is not None and architecture not in BACKBONES:
            raise ConfigError(f"refiner.architecture is '{architecture}'; expected null, {' or '.join(BACKBONES)}")
        if chunk_size < 1 or stride < 1 or (window is not None and window < 1) or (scale is not None and scale < 1):
            raise ConfigError(
                f"refiner has chunk_size={chunk_size}, stride={stride}, window={window}, scale={scale}; expected at "
                "least 1 for all, or null for the last two"
            )
        _check_pattern(pattern)
        self.chunk_size, self.window, self.stride = chunk_size, window, stride
        self.scale, self.pattern = scale or SCALES[mode], pattern
        self.folder = None if offsets is None else Path(offsets).expanduser()
        if self.folder is not None:
            if not self.folder.is_dir():
                raise ConfigError(f"refiner.offsets={offsets} is not there; expected a folder of MATLAB files")
            super().__init__(None, torch.device("cpu"), precision)
            return
        network = load_network(weights, architecture, sha256) if network is None else network
        super().__init__(network, resolve_device(device), precision)

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image.

        Args:
            sample: image and coarse masks; ground truth is not looked at.
            keep_candidates: ignored, as there are none to choose from.
            keep_logits: whether `Refinement.logits` is wanted.

        Returns:
            The refined masks, in the sample's order.
        """
        watch = Stopwatch(self.device)
        offsets: Offsets | None = None
        if sample.masks.any():
            with watch("encode"):
                offsets = self.offsets(sample)

        def refine(row: int) -> BoolArray:
            assert offsets is not None
            with watch("postprocess"):
                return moved(sample.masks[row], offsets, self.scale)

        return refine_each(sample, refine, watch.seconds)

    def offsets(self, sample: Sample) -> Offsets:
        """H x W x 2 integers (dy, dx) of an image.

        Raises:
            InputError: if they are to come from a file that is not there or not fit.
        """
        if self.folder is not None:
            image_id = str(sample.image_id)
            folder, _, stem = image_id.rpartition("/")
            fields = dict(zip(FIELDS, (image_id, folder, stem), strict=True))
            return read_offsets(self.folder / self.pattern.format(**fields), sample.original_size)
        with torch.inference_mode(), self.computing():
            image = normalize(sample.image)
            return offsets_of(*predict(self.network, image, self.window, self.stride, self.chunk_size))


def _check_pattern(pattern: str) -> None:
    try:
        pattern.format(**dict.fromkeys(FIELDS, ""))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"refiner.pattern is '{pattern}'; expected a file name with no fields but "
            + ", ".join(f"{{{name}}}" for name in FIELDS)
        ) from error


def load_network(weights: str | Path | None, name: str | None = None, sha256: str | None = None) -> SegFixNetwork:
    """SegFix's network with the authors' weights.

    Args:
        weights: path of a checkpoint; None: the architecture's own in the cache folder, HRNet-W48 by default.
        name: of the architecture; None: that of the weights.
        sha256: accept only a file with this hash.

    Raises:
        WeightsError: if there are none, or they are not this network's.
    """
    path = find_by_hand(f"segfix_{name or 'hrnet48'}", weights, sha256)
    state = with_plain_norms(read_for(FAMILY, path))
    with torch.device("meta"):
        network = SegFixNetwork(BACKBONES[name]() if name else backbone_of(state))
    load_strictly(network, state, f"{path} for refiner=segfix", "network")
    return network


def backbone_of(state: StateDict) -> HrNet | HrNet2x:
    """The backbone of a state dict by its first stage and its width; all else of it is checked when it is loaded."""
    finest = state.get("backbone.transition1.0.0.weight")
    width = {} if finest is None else {"width": len(finest)}
    first = state.get("backbone.transition0.0.0.weight")
    if first is not None:
        return HrNet2x(**width, first=len(first))
    narrow = state.get("backbone.layer1.0.conv1.weight")
    return HrNet(**width, **({} if narrow is None else {"first": 4 * len(narrow)}))
