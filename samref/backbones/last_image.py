"""A backbone that keeps the last image's embedding, for those who prompt one image again and again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from samref.backbones.backbone import Backbone
from samref.structures import Embedding


class LastImage:
    """Encodes an image anew only if it differs from the one before; everything else is the backbone's."""

    def __init__(self, backbone: Backbone) -> None:
        """Wraps a backbone."""
        self.backbone = backbone
        self._image: npt.NDArray[np.uint8] | None = None
        self._embedding: Embedding | None = None

    def encode(self, image: npt.NDArray[np.uint8]) -> Embedding:
        """The embedding of one H x W x 3 uint8 RGB image."""
        if self._embedding is None or self._image is None or not np.array_equal(image, self._image):
            self._embedding = self.backbone.encode(image)
            # A copy, for the caller may go on drawing into the array.
            self._image = image.copy()
        return self._embedding

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backbone, name)
