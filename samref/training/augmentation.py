"""What happens to an image and its target before a network sees them: scaled, cropped, mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from samref.errors import ConfigError
from samref.training.networks.network import IGNORE
from samref.training.targets import with_boxes


@dataclass(frozen=True)
class Augmentation:
    """Draws one picture of many from an image; the same draws give the same picture.

    Attributes:
        scale: smallest and largest factor that image and target are resized by, or None.
        crop: side of the square that is cut out, filled up where the image ends, or None.
        flip: probability that both are mirrored.
    """

    scale: Sequence[float] | None
    crop: int | None
    flip: float

    def __post_init__(self) -> None:
        if self.scale is not None and not (len(self.scale) == 2 and 0 < self.scale[0] <= self.scale[1]):
            raise ConfigError(f"schedule.augmentation.scale is {list(self.scale)}; expected two factors, smaller first")
        if self.crop is not None and self.crop < 1:
            raise ConfigError(f"schedule.augmentation.crop is {self.crop}; expected at least 1, or null")
        if not 0 <= self.flip <= 1:
            raise ConfigError(f"schedule.augmentation.flip is {self.flip}; expected a probability")

    def __call__(self, image: Tensor, target: Any) -> tuple[Tensor, Any]:
        """One draw, from PyTorch's random state.

        Args:
            image: 3 x H x W uint8.
            target: H x W int64 label map, or instances; see `Network`.

        Returns:
            Both, of another size where scaled or cropped. Pixels beyond the image are its mean, ignored in a label map
            and in no instance; instances that a crop leaves nothing of are gone.
        """
        semantic = isinstance(target, Tensor)
        maps = target[None].to(torch.uint8) if semantic else target["masks"]
        if self.scale is not None:
            factor = float(torch.empty(()).uniform_(*self.scale))
            size = [max(1, round(side * factor)) for side in image.shape[-2:]]
            image = F.resize(image, size, antialias=True)
            maps = F.resize(maps, size, interpolation=v2.InterpolationMode.NEAREST)
        if self.crop is not None:
            image, maps = _cropped(image, maps, self.crop, IGNORE if semantic else 0)
        if torch.rand(()) < self.flip:
            image, maps = image.flip(-1), maps.flip(-1)
        return image, maps[0].to(torch.int64) if semantic else with_boxes(maps, target["labels"])


def _cropped(image: Tensor, maps: Tensor, side: int, fill: int) -> tuple[Tensor, Tensor]:
    height, width = image.shape[-2:]
    missing = [0, 0, max(0, side - width), max(0, side - height)]
    if any(missing):
        mean = image.float().mean(dim=(1, 2)).round().tolist()
        image, maps = F.pad(image, missing, fill=mean), F.pad(maps, missing, fill=float(fill))
    top, left = (int(torch.randint(max(0, length - side) + 1, ())) for length in (height, width))
    return image[:, top : top + side, left : left + side], maps[:, top : top + side, left : left + side]
