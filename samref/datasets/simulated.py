"""Coarse masks made from ground truth, for any data set that has it; super-pixel defects can be kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samref.datasets import defects
from samref.datasets.coarse_kinds import KINDS
from samref.datasets.defects import stable_seed
from samref.errors import ConfigError, InputError
from samref.io.atomic import write_png
from samref.io.masks import read_mask
from samref.structures import BoolArray, Sample


class Defects:
    """Makes coarse masks of one kind from ground truth; equal truth, ids and seed give equal masks."""

    def __init__(
        self,
        kind: str,
        seed: int = 0,
        strengths: Mapping[str, Any] | None = None,
        cache: str | Path | None = None,
    ) -> None:
        """Chooses the kind.

        Args:
            kind: one of `samref.datasets.coarse_kinds.KINDS`.
            seed: of what is random in it.
            strengths: keyword arguments of the kind, such as `{"pixels": 12}` for `dilated`.
            cache: folder that keeps the masks of kinds that take long to make (super-pixel defects), made when needed;
                None keeps nothing.

        Raises:
            ConfigError: for an unknown kind, or strengths that it does not have.
        """
        if kind not in KINDS:
            raise ConfigError(f"dataset.defects is '{kind}'; expected null or one of {', '.join(KINDS)}")
        self.kind, self.seed, self.strengths = kind, seed, dict(strengths or {})
        known = KINDS[kind].__kwdefaults__ or {}
        for name, value in self.strengths.items():
            if name not in known:
                has = f"its strengths are {', '.join(known)}" if known else "it has no strengths"
                raise ConfigError(f"dataset.strengths names {name}, which dataset.defects={kind} lacks; {has}")
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ConfigError(f"dataset.strengths.{name} is {value}; expected a number, 0 or more")
        self.cache = None if cache is None else Path(cache).expanduser()

    @classmethod
    def of(
        cls,
        kind: str | None,
        seed: int = 0,
        strengths: Mapping[str, Any] | None = None,
        cache: str | Path | None = None,
    ) -> Defects | None:
        """As the constructor, but None for None: the data set's own coarse masks."""
        return None if kind is None else cls(kind, seed, strengths, cache)

    def masks(self, image: npt.NDArray[np.uint8], truth: BoolArray, seeds: Sequence[int]) -> BoolArray:
        """The coarse masks of one image.

        Args:
            image: H x W x 3 uint8 RGB.
            truth: N x H x W bool.
            seeds: one a mask.

        Returns:
            N x H x W bool; an empty truth stays empty, no other mask is empty.
        """
        made = [self._made(image, mask, seed) if mask.any() else mask for mask, seed in zip(truth, seeds, strict=True)]
        return np.array(made, dtype=bool).reshape(truth.shape)

    def applied(self, sample: Sample) -> Sample:
        """A sample with coarse masks made from its truth, seeded by its image and object ids.

        Raises:
            InputError: if it has no ground truth.
        """
        if sample.truth is None:
            raise InputError(f"image {sample.image_id} has no ground truth, which dataset.defects={self.kind} needs")
        return replace(sample, masks=self.named(sample.image, sample.truth, sample.image_id, sample.object_ids))

    def named(
        self, image: npt.NDArray[np.uint8], truth: BoolArray, image_id: Hashable, object_ids: Sequence[Hashable]
    ) -> BoolArray:
        """As `masks`, seeded by the image's id and those of its N objects."""
        return self.masks(image, truth, [stable_seed(image_id, name, self.seed) for name in object_ids])

    def _made(self, image: npt.NDArray[np.uint8], truth: BoolArray, seed: int) -> BoolArray:
        make = KINDS[self.kind]
        if self.cache is None or make is not defects.simulate_defects:
            return make(image, truth, seed, **self.strengths)
        content = hashlib.blake2b(repr((_recipe(), seed, truth.shape)).encode(), digest_size=16)
        content.update(np.ascontiguousarray(image).data)
        content.update(np.packbits(truth).data)
        path = self.cache / f"{content.hexdigest()}.png"
        # A file that is missing or damaged is made again.
        with suppress(InputError):
            return read_mask(path)
        mask = make(image, truth, seed)
        write_png(path, mask.astype(np.uint8) * 255)
        return mask


@lru_cache
def _recipe() -> str:
    """Changes whenever the simulation does, so that masks of an older one are not taken for those of this one."""
    source = Path(defects.__file__).read_bytes()
    return hashlib.blake2b(source).hexdigest() + version("scikit-image")
