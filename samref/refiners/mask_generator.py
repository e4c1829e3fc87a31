"""SAM's automatic mask generator, as its package has it, around any of our backbones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from segment_anything import SamAutomaticMaskGenerator
from torch import Tensor

from samref.backbones.backbone import Backbone
from samref.geometry.frames import upsample_logits
from samref.stopwatch import Stopwatch
from samref.structures import Embedding, Prompts

Rle = dict[str, Any]

CANDIDATES = 3
# 1 GiB of float32 logits, the generator's largest tensor: 64 points of an image of up to 1.4 million pixels.
MAX_LOGITS = 2**28


class MaskGenerator:
    """Masks of a full image, prompted by a regular grid of points; filtered and freed of doubles by the package."""

    def __init__(
        self,
        backbone: Backbone,
        points_per_side: int,
        pred_iou_thresh: float,
        stability_score_thresh: float,
        box_nms_thresh: float,
        chunk_size: int,
    ) -> None:
        """Prepares the grid.

        Args:
            backbone: the frozen model.
            points_per_side: of the grid, along either side of the image.
            pred_iou_thresh: masks of a lower predicted IoU are dropped.
            stability_score_thresh: so are those that change more than this (IoU) when their logits shift by 1.
            box_nms_thresh: IoU of boxes from which the mask of lower predicted IoU is a double.
            chunk_size: points decoded together at most; fewer for large images, so that memory stays bounded.
        """
        self.backbone, self.chunk_size = backbone, chunk_size
        # All that the package wants to know of a model, once it has our predictor, is its frame.
        model = SimpleNamespace(image_encoder=SimpleNamespace(img_size=backbone.img_size))
        self._generator = SamAutomaticMaskGenerator(
            model,
            points_per_side=points_per_side,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            box_nms_thresh=box_nms_thresh,
            # Hundreds of masks of one image are as many times its size; run lengths are next to nothing.
            output_mode="coco_rle",
        )

    def __call__(self, image: npt.NDArray[np.uint8], watch: Stopwatch) -> list[Rle]:
        """The image's masks in compressed run lengths, best predicted IoU first.

        Args:
            image: H x W x 3 uint8 RGB.
            watch: `encode`, `decode` and, for all that the package does beside them, `postprocess`.
        """
        frame = max(image.shape[0] * image.shape[1], self.backbone.img_size**2)
        self._generator.points_per_batch = max(1, min(self.chunk_size, MAX_LOGITS // (CANDIDATES * frame)))
        self._generator.predictor = BackbonePredictor(self.backbone, watch)
        inner = watch.seconds["encode"] + watch.seconds["decode"]
        with watch("postprocess"), torch.inference_mode():
            records = self._generator.generate(image)
        # The predictor's own times lie within this one.
        watch.seconds["postprocess"] -= watch.seconds["encode"] + watch.seconds["decode"] - inner
        return [record["segmentation"] for record in records]


class BackbonePredictor:
    """What the generator needs of its `SamPredictor`, computed by a backbone - HQ-SAM's and a cached one's included.

    Points stay in image px: the backbone itself moves them to its frame.
    """

    mask_threshold = 0.0

    def __init__(self, backbone: Backbone, watch: Stopwatch) -> None:
        self.backbone, self.watch = backbone, watch
        self.model = self.transform = self
        self.embedding: Embedding | None = None

    @property
    def device(self) -> torch.device:
        """Where points are wanted."""
        return self.backbone.device

    def apply_coords(self, coords: npt.NDArray[np.float64], original_size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """The points as they are; float32 because not every device has more."""
        return coords.astype(np.float32)

    def set_image(self, image: npt.NDArray[np.uint8]) -> None:
        """Encodes the image."""
        with self.watch("encode"):
            self.embedding = self.backbone.encode(image)

    def reset_image(self) -> None:
        """Forgets the image."""
        self.embedding = None

    def predict_torch(
        self, point_coords: Tensor, point_labels: Tensor, multimask_output: bool, return_logits: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The three candidates of N points.

        Args:
            point_coords: N x 1 x 2, image px.
            point_labels: N x 1.
            multimask_output: always true here.
            return_logits: always true here.

        Returns:
            N x 3 x H x W logits, N x 3 predicted IoUs, N x 3 x h x w logits on the logit grid.
        """
        assert self.embedding is not None
        prompts = Prompts(point_coords.cpu().numpy(), point_labels.long().cpu().numpy())
        with self.watch("decode"):
            candidates = self.backbone.decode(self.embedding, prompts)
        low_res = candidates.multi_logits
        embedding, img_size = self.embedding, self.backbone.img_size
        full = upsample_logits(low_res, embedding.input_size, embedding.original_size, img_size)
        return full, candidates.multi_iou, low_res
