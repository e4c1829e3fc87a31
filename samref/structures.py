"""The things that flow from floor to floor: `Sample`, `Prompts`, `Candidates`, `Refinement`.

Frames, used in every docstring of the project:

* *image px*: pixel indices of the original image, x to the right, y down;
* *model px*: the image resized into a square of side `img_size`, padded at right and bottom or stretched, as the
  backbone wants it (see `samref.geometry.frames`);
* *logit grid*: the model's mask resolution, four times the embedding grid, covering the model frame.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

REFINED = "refined"
EMPTY = "empty"
FALLBACK = "fallback"
KEPT = "kept"


@dataclass(frozen=True)
class Sample:
    """One image with its coarse masks.

    Attributes:
        image: H x W x 3 uint8 RGB.
        masks: N x H x W bool, the coarse masks; N may be 0.
        image_id: identifies the image within its data set.
        object_ids: one per mask, unique within the image.
        truth: N x H x W bool, or None where there is no ground truth per mask.
        label_map: H x W uint8 class indices (255 = ignore), for semantic data sets only.
        meta: what the data set needs to write the masks back; what others read of it is in
            `samref.datasets.dataset.SampleMeta`.
    """

    image: npt.NDArray[np.uint8]
    masks: BoolArray
    image_id: str | int
    object_ids: tuple[Hashable, ...]
    truth: BoolArray | None = None
    label_map: npt.NDArray[np.uint8] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def original_size(self) -> tuple[int, int]:
        """(H, W) of the image."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True)
class Failure:
    """A sample that could not be read: reported and counted, while the rest of the run goes on.

    Attributes:
        image_id: the sample's id.
        reason: one sentence naming file and cause.
    """

    image_id: str | int
    reason: str


@dataclass(frozen=True)
class Idle:
    """A process's turn without an image: with nothing left to do it still takes part in the end of the run."""


@dataclass(frozen=True)
class Prompts:
    """Prompts of N masks. Coordinates are in image px; only `samref.geometry.frames` moves them to the model frame.

    Attributes:
        point_coords: N x P x 2 float32 (x, y), image px, or None.
        point_labels: N x P int64; 1 foreground, 0 background, -1 padding (a place with no point), or None.
        boxes: N x 4 float32 (x0, y0, x1, y1), image px, both ends inclusive, or None.
        mask_input: N x 1 x h x w float32 logits on the logit grid, or None.
    """

    point_coords: FloatArray | None = None
    point_labels: IntArray | None = None
    boxes: FloatArray | None = None
    mask_input: FloatArray | None = None

    def __len__(self) -> int:
        for part in (self.point_coords, self.boxes, self.mask_input):
            if part is not None:
                return len(part)
        return 0

    def __getitem__(self, rows: slice | IntArray | BoolArray) -> Prompts:
        """The prompts of some of the masks."""
        return Prompts(
            None if self.point_coords is None else self.point_coords[rows],
            None if self.point_labels is None else self.point_labels[rows],
            None if self.boxes is None else self.boxes[rows],
            None if self.mask_input is None else self.mask_input[rows],
        )


@dataclass(frozen=True)
class Embedding:
    """What the image encoder leaves of one image.

    Attributes:
        features: 1 x C x h x w float, over the model frame.
        original_size: (H, W) of the image.
        input_size: (H', W') of the resized image inside the model frame.
        interm: further maps that the decoder wants, from the largest on: HQ-SAM's fused features, the two of higher
            resolution of SAM 2 and its kin; empty otherwise.
    """

    features: Tensor
    original_size: tuple[int, int]
    input_size: tuple[int, int]
    interm: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Candidates:
    """What the mask decoder leaves of N prompted masks.

    Index 0 of the second axis is SAM's single-mask token, 1 to 3 are the three candidates of multi-mask mode.

    Attributes:
        low_res_logits: N x 4 x h x w float, logit grid.
        iou_predictions: N x 4 float.
        iou_features: N x D float, the input of the last layer of the IoU head (what SAMRefiner++ trains on).
    """

    low_res_logits: Tensor
    iou_predictions: Tensor
    iou_features: Tensor

    def __len__(self) -> int:
        return self.low_res_logits.shape[0]

    @property
    def multi_logits(self) -> Tensor:
        """N x 3 x h x w logits of multi-mask mode."""
        return self.low_res_logits[:, 1:]

    @property
    def multi_iou(self) -> Tensor:
        """N x 3 predicted IoUs of multi-mask mode."""
        return self.iou_predictions[:, 1:]


@dataclass
class Refinement:
    """N refined masks of one image, in input order.

    Attributes:
        masks: N x H x W bool, image px.
        chosen: N int64; 0 to 2 = index among the three candidates, -1 = single-mask token, or no candidate
            used (empty mask).
        predicted_iou: N float32, the chosen candidate's predicted IoU (0 where no candidate was used).
        iou_predictions: N x 3 float32, of the three candidates.
        prompts: the prompts of the last round.
        flags: N strings: `refined`, `empty` (the coarse mask was empty and stays so), `fallback` (the
            refinement came out empty and the coarse mask was kept), `kept` (guard, verdict or the refiner itself
            kept the coarse mask).
        candidate_iou: N x 3 float64, IoU of the three candidates with `truth`, where truth was given.
        coarse_iou: N x 3 float64, IoU of the three candidates with the coarse masks, only where needed; NaN
            for masks that were empty.
        candidates: N x 3 x H x W bool, only with `keep_candidates`.
        logits: N x H x W float32 of the chosen candidate, only with `keep_logits` (semantic merging).
        reasons: N sentences, why each mask came out as it did, where a verdict was passed or the refiner kept some.
        overlap: N int64, the pixels that each mask gave up to others because their file holds one label a pixel; only
            where there is such a file.
        scores: N float32 in [0, 1], how much each mask is trusted, where a verdict was passed; lowest = look at first.
        rejected: by row, the H x W bool refinement that guard or verdict decided against; only `kept` masks have one.
        origins: N names, which refiner each mask is from, where several were tried; "" for empty coarse masks.
        timing: seconds spent in `encode`, `excavate`, `decode`, `postprocess`.
    """

    masks: BoolArray
    chosen: IntArray
    predicted_iou: FloatArray
    iou_predictions: FloatArray
    prompts: Prompts
    flags: tuple[str, ...]
    candidate_iou: npt.NDArray[np.float64] | None = None
    coarse_iou: npt.NDArray[np.float64] | None = None
    candidates: BoolArray | None = None
    logits: FloatArray | None = None
    reasons: tuple[str, ...] | None = None
    scores: FloatArray | None = None
    overlap: IntArray | None = None
    rejected: dict[int, BoolArray] = field(default_factory=dict)
    origins: tuple[str, ...] | None = None
    timing: dict[str, float] = field(default_factory=dict)


class Samples(Protocol):
    """A sequence of samples; unreadable ones come as failures."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample | Failure: ...
