"""Simulated defects kept on disk: the jobs of a sweep make them once."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from samref.datasets import defects
from samref.errors import InputError
from samref.io.atomic import write_png
from samref.io.images import read_mask
from samref.structures import BoolArray


def kept_defects(image: npt.NDArray[np.uint8], truth: BoolArray, seed: int, folder: Path | None) -> BoolArray:
    """As `simulate_defects`, but kept as PNG in a folder, where the next run on the same data finds it.

    Args:
        image: H x W x 3 uint8 RGB.
        truth: H x W bool.
        seed: as in `simulate_defects`.
        folder: made when needed; None keeps nothing.

    Returns:
        H x W bool.
    """
    if folder is None:
        return defects.simulate_defects(image, truth, seed)
    content = hashlib.blake2b(repr((_recipe(), seed, truth.shape)).encode(), digest_size=16)
    content.update(np.ascontiguousarray(image).data)
    content.update(np.packbits(truth).data)
    path = folder / f"{content.hexdigest()}.png"
    # A file that is missing or damaged is made again.
    with suppress(InputError):
        return read_mask(path)
    mask = defects.simulate_defects(image, truth, seed)
    write_png(path, mask.astype(np.uint8) * 255)
    return mask


@lru_cache
def _recipe() -> str:
    """Changes whenever the simulation does, so that masks of an older one are not taken for those of this one."""
    return hashlib.blake2b(Path(defects.__file__).read_bytes()).hexdigest() + version("scikit-image")
