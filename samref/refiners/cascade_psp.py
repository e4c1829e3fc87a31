"""CascadePSP (Cheng et al., 2020) as its authors package it (Table 5)."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from samref.backbones.device import resolve_device
from samref.errors import ConfigError, WeightsError
from samref.refiners.settling import blank_logits, refine_each
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, Refinement, Sample

HALF = 127


class Network(Protocol):
    """What the package `segmentation-refinement` calls a `Refiner`.

    Attributes:
        device: name of the device it runs on.
    """

    device: str

    def refine(
        self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], fast: bool, L: int
    ) -> npt.NDArray[np.uint8]:
        """Probabilities (H x W, 0 to 255) from an H x W x 3 RGB image and an H x W mask of 0 and 255."""
        ...


class CascadePsp:
    """CascadePSP, mask by mask; `timing` counts the network as `decode`."""

    def __init__(self, network: Network, fast: bool, L: int) -> None:
        """Wraps the network.

        Args:
            network: see `load_network`.
            fast: the global step alone, without the local one on crops of the full resolution.
            L: longest side in px that the network sees at once; lower takes less memory and less detail.

        Raises:
            ConfigError: for an `L` below 1.
        """
        if L < 1:
            raise ConfigError(f"refiner.L is {L}; expected at least 1 px (its authors use 900)")
        self.network, self.fast, self.L = network, fast, L

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image; see `samref.refiners.samrefiner.Refiner`.

        Logits are log-odds of the output.
        """
        watch = Stopwatch(torch.device(self.network.device))
        logits = blank_logits(sample) if keep_logits else None

        def refine(row: int) -> BoolArray:
            mask = sample.masks[row].astype(np.uint8) * 255
            with watch("decode"):
                output = self.network.refine(sample.image, mask, fast=self.fast, L=self.L)
            if logits is not None:
                # Half a step inside either end: 0 and 255 are rounded, not certain.
                probability = (output.astype(np.float32) + 0.5) / 256
                logits[row] = np.log(probability) - np.log1p(-probability)
            refined: BoolArray = output > HALF
            return refined

        return refine_each(sample, refine, watch.seconds, logits)


def load_network(device: str, model_folder: str | Path | None) -> Network:
    """The packaged network; the package fetches its own weights and checks their MD5.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        model_folder: where the file `model` is or will be; None: `~/.segmentation-refinement`.

    Raises:
        ConfigError: if the package is not installed.
        WeightsError: if the weights cannot be fetched, verified or loaded.
    """
    try:
        import segmentation_refinement
    except ImportError as error:
        raise ConfigError(
            "refiner=cascade_psp needs the package segmentation-refinement, which is not installed; "
            "install it with pip install 'samref[cascade_psp]'"
        ) from error
    target = resolve_device(device)
    # The package hands this name to torch.load, which wants "cuda:0" in full.
    name = f"cuda:{target.index or 0}" if target.type == "cuda" else target.type
    folder = None if model_folder is None else str(Path(model_folder).expanduser())
    try:
        network: Any = segmentation_refinement.Refiner(device=name, model_folder=folder)
    # Whatever stands between the package and its file: no network, no disk, a wrong checksum, a broken pickle.
    except Exception as error:
        reason = textwrap.shorten(str(error), 120, placeholder=" ...") or type(error).__name__
        raise WeightsError(
            f"CascadePSP's weights cannot be fetched or loaded ({reason}); save the file `model` of release v1.0 "
            "of github.com/hkchengrex/CascadePSP in a folder and give refiner.network.model_folder=DIR"
        ) from error
    return network  # type: ignore[no-any-return]
