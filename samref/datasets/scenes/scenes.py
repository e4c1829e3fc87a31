"""Procedural scenes with exact ground truth and simulated defects: the embedded default, which needs no download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samref.datasets.dataset import MaskDataset, MaskWriter
from samref.datasets.defects import stable_seed
from samref.datasets.scenes.render import render_scene
from samref.datasets.simulated import Defects
from samref.errors import ConfigError
from samref.io.atomic import write_png
from samref.structures import BoolArray, Refinement, Sample

MIN_SIDE = 64
MAX_OBJECTS = 12


class Scenes(MaskDataset):
    """Pictures of things on a ground: parts, holes, occlusion, texture, shading, shadows and sensor noise.

    The ground truth is exact: where a thing covers more than half of a pixel. Scene `index` of a seed is the same
    picture with the same coarse masks in any process, whatever the length.
    """

    name = "scenes"
    protocol = "overlap"

    def __init__(
        self,
        length: int = 20,
        size: Sequence[int] = (480, 640),
        objects: Sequence[int] = (2, 4),
        seed: int = 0,
        defects: str = "superpixel",
        strengths: Mapping[str, Any] | None = None,
    ) -> None:
        """Chooses the scenes; they are painted when read.

        Args:
            length: number of images.
            size: [H, W] of the images.
            objects: [fewest, most] objects of an image, both included.
            seed: of pictures and defects.
            defects: kind of coarse masks, see `samref.datasets.coarse_kinds`.
            strengths: how strong the defects are.

        Raises:
            ConfigError: for a value out of range.
        """
        if length < 1:
            raise ConfigError(f"dataset.length is {length}; expected at least 1")
        if len(size) != 2 or min(size) < MIN_SIDE:
            raise ConfigError(f"dataset.size is {list(size)}; expected [H, W], both at least {MIN_SIDE}")
        if len(objects) != 2 or not 1 <= objects[0] <= objects[1] <= MAX_OBJECTS:
            raise ConfigError(f"dataset.objects is {list(objects)}; expected [fewest, most] within 1 to {MAX_OBJECTS}")
        self.length, self.seed = length, seed
        self.defects = Defects(defects, seed, strengths)
        self.size, self.objects = (int(size[0]), int(size[1])), (int(objects[0]), int(objects[1]))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.length:
            raise IndexError(f"scene {index} of {self.length}")
        kind, strengths = self.defects.kind, tuple(sorted(self.defects.strengths.items()))
        image, truth, masks = make_scene(index, self.size, self.objects, self.seed, kind, strengths)
        names = tuple(f"object{k + 1}" for k in range(len(truth)))
        return Sample(image.copy(), masks.copy(), self.image_id(index), names, truth=truth.copy())

    def image_id(self, index: int) -> str:
        """`scene_0007`."""
        return f"scene_{index:04d}"

    def sample_files(self, index: int) -> Sequence[Path]:
        """None: a scene is known by its options and its number."""
        return ()

    def writer(self, output: Path) -> MaskWriter:
        """Writes `scene_0007/object1.png`, 0/255."""
        return SceneWriter(output)


# The jobs of one sweep in one process look at the same scenes again and again.
@lru_cache(maxsize=32)
def make_scene(
    index: int,
    size: tuple[int, int],
    objects: tuple[int, int],
    seed: int,
    kind: str = "superpixel",
    strengths: tuple[tuple[str, Any], ...] = (),
) -> tuple[npt.NDArray[np.uint8], BoolArray, BoolArray]:
    """Paints a scene and spoils its masks.

    Args:
        index: which one.
        size: (H, W).
        objects: fewest and most objects.
        seed: of the data set.
        kind: of the coarse masks.
        strengths: of the defects, pairs of name and value.

    Returns:
        H x W x 3 uint8 RGB; N x H x W bool ground truth, disjoint; N x H x W bool coarse masks.
    """
    rng = np.random.default_rng(stable_seed("scene", index, seed))
    count = int(rng.integers(objects[0], objects[1] + 1))
    image, truth = render_scene(rng, size, count)
    seeds = [stable_seed("scene", index, k, seed) for k in range(len(truth))]
    return image, truth, Defects(kind, seed, dict(strengths)).masks(image, truth, seeds)


class SceneWriter(MaskWriter):
    """Writes each mask as `<scene>/<object>.png`, 0/255."""

    def __init__(self, output: Path) -> None:
        self.output = output

    def write(self, sample: Sample, refinement: Refinement) -> None:
        """Writes one scene's masks."""
        for name, mask in zip(sample.object_ids, refinement.masks, strict=True):
            write_png(self.output / str(sample.image_id) / f"{name}.png", mask.astype(np.uint8) * 255)
