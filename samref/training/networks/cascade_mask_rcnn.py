"""Cascade Mask R-CNN (Cai and Vasconcelos, 2018): three box heads, each trained on what the one before it found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads, maskrcnn_inference, maskrcnn_loss
from torchvision.ops import batched_nms
from torchvision.ops import boxes as box_ops

from samref.training.networks.mask_rcnn import MaskRcnn

# Of Detectron2's and mmdetection's cascades, which CutLER trains with: of each stage, the IoU from which a box is an
# object, the deviations that its corrections are measured in, and its share of the loss.
THRESHOLDS = (0.5, 0.6, 0.7)
DEVIATIONS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
SHARES = (1.0, 0.5, 0.25)


class CascadeMaskRcnn(MaskRcnn):
    """Mask R-CNN with three box heads in place of one; corrections of a box are the same for all classes.

    Arguments are those of `MaskRcnn`.
    """

    def _detector(self, backbone: Any, classes: int, **sizes: int) -> nn.Module:
        detector: nn.Module = MaskRCNN(backbone, classes, **sizes)
        plain: Any = detector.roi_heads
        detector.roi_heads = CascadeRoIHeads(plain, int(backbone.out_channels), classes)
        return detector


class Stage(nn.Module):
    """One box head: features of a box, its class, its correction."""

    def __init__(self, channels: int, side: int, classes: int, width: int = 1024) -> None:
        super().__init__()
        self.head = TwoMLPHead(channels * side**2, width)
        self.predictor = FastRCNNPredictor(width, classes)
        # Corrections are class-agnostic.
        self.predictor.bbox_pred = nn.Linear(width, 4)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Class scores N x classes and corrections N x 4 of the pooled features of N boxes."""
        scores, corrections = self.predictor(self.head(features))
        return scores, corrections


class CascadeRoIHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's RoI heads with a cascade of boxes; masks are found in the last boxes, as there."""

    def __init__(self, plain: Any, channels: int, classes: int) -> None:
        """Takes over pooling, sampling and mask head.

        Args:
            plain: torchvision's heads of a Mask R-CNN.
            channels: of the feature pyramid.
            classes: background included.
        """
        super().__init__(
            plain.box_roi_pool, None, None,
            THRESHOLDS[0], THRESHOLDS[0], plain.fg_bg_sampler.batch_size_per_image,
            plain.fg_bg_sampler.positive_fraction, DEVIATIONS[0], plain.score_thresh, plain.nms_thresh,
            plain.detections_per_img, plain.mask_roi_pool, plain.mask_head, plain.mask_predictor,
        )  # fmt: skip
        side = plain.box_roi_pool.output_size[0]
        self.stages = nn.ModuleList(Stage(channels, side, classes) for _ in THRESHOLDS)
        self.coders = [type(self.box_coder)(weights) for weights in DEVIATIONS]

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Detections, and while training losses; see torchvision's `RoIHeads.forward`."""
        losses: dict[str, Tensor] = {}
        known = targets or []
        if self.training:
            # Sampled once: later stages label the same boxes, corrected, anew. Masks learn in the sampled ones.
            proposals, matched, labels, _ = self.select_training_samples(proposals, known)
            losses["loss_mask"] = self._mask_loss(features, proposals, image_shapes, known, matched, labels)
        all_scores: list[Tensor] = []
        for number, (stage, coder) in enumerate(zip(self.stages, self.coders, strict=True)):
            pooled = self.box_roi_pool(features, proposals, image_shapes)
            if pooled.requires_grad:
                # The stages pool the same pyramid; it learns from their mean.
                pooled.register_hook(lambda gradient: gradient / len(THRESHOLDS))
            scores, corrections = stage(pooled)
            all_scores.append(scores.softmax(dim=1))
            if self.training:
                found = self._stage_losses(scores, corrections, proposals, known, number)
                losses |= {f"loss_{name}_{number + 1}": SHARES[number] * value for name, value in found.items()}
            if not self.training or number < len(THRESHOLDS) - 1:
                proposals = _corrected(coder, corrections.detach(), proposals, image_shapes)
        if self.training:
            return [], losses
        return self._found(features, proposals, image_shapes, torch.stack(all_scores).mean(dim=0)), losses

    def _stage_losses(
        self,
        scores: Tensor,
        corrections: Tensor,
        proposals: list[Tensor],
        targets: list[dict[str, Tensor]],
        number: int,
    ) -> dict[str, Tensor]:
        assigned = [assign(boxes, one, THRESHOLDS[number]) for boxes, one in zip(proposals, targets, strict=True)]
        truth = [
            one["boxes"][rows] if len(one["boxes"]) else boxes
            for one, (rows, _), boxes in zip(targets, assigned, proposals, strict=True)
        ]
        wanted = torch.cat(self.coders[number].encode(truth, proposals))
        return box_losses(scores, corrections, torch.cat([labels for _, labels in assigned]), wanted)

    def _mask_loss(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]],
        matched: list[Tensor],
        labels: list[Tensor],
    ) -> Tensor:
        rows = [torch.nonzero(one > 0).squeeze(1) for one in labels]
        objects = [boxes[chosen] for boxes, chosen in zip(proposals, rows, strict=True)]
        which = [one[chosen] for one, chosen in zip(matched, rows, strict=True)]
        logits = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, objects, image_shapes)))
        masks, classes = [one["masks"] for one in targets], [one["labels"] for one in targets]
        loss: Tensor = maskrcnn_loss(logits, objects, masks, classes, which)
        return loss

    def _found(
        self, features: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]], scores: Tensor
    ) -> list[dict[str, Tensor]]:
        """The detections of each image: scores are means over the stages, boxes are the last stage's."""
        split = torch.split(scores, [len(one) for one in boxes])
        found = [self._best(*pair) for pair in zip(boxes, split, strict=True)]
        logits = self.mask_predictor(
            self.mask_head(self.mask_roi_pool(features, [one["boxes"] for one in found], image_shapes))
        )
        for one, masks in zip(found, maskrcnn_inference(logits, [one["labels"] for one in found]), strict=True):
            one["masks"] = masks
        return found

    def _best(self, boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
        rows, classes = torch.nonzero(scores[:, 1:] > self.score_thresh, as_tuple=True)
        chosen, values, labels = boxes[rows], scores[rows, classes + 1], classes + 1
        sized = box_ops.remove_small_boxes(chosen, min_size=1e-2)
        chosen, values, labels = chosen[sized], values[sized], labels[sized]
        kept = batched_nms(chosen, values, labels, self.nms_thresh)[: self.detections_per_img]
        return {"boxes": chosen[kept], "labels": labels[kept], "scores": values[kept]}


def assign(boxes: Tensor, target: dict[str, Tensor], threshold: float) -> tuple[Tensor, Tensor]:
    """Which object each box is of, in a stage of the cascade.

    Args:
        boxes: N x 4, x0, y0, x1, y1.
        target: with `boxes` n x 4 and `labels` n.
        threshold: IoU from which a box is an object.

    Returns:
        N indices of the object that each box overlaps most, 0 where there is none, and N labels, 0 below the threshold.
    """
    if not len(target["boxes"]):
        nothing = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return nothing, nothing
    overlap, rows = box_ops.box_iou(target["boxes"], boxes).max(dim=0)
    labels = target["labels"][rows]
    return rows, torch.where(overlap >= threshold, labels, torch.zeros_like(labels))


def box_losses(scores: Tensor, corrections: Tensor, labels: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """The losses of one stage, as torchvision's: cross entropy, and smooth L1 of the objects' corrections.

    Args:
        scores: N x classes.
        corrections: N x 4.
        labels: N, 0 is background.
        wanted: N x 4 corrections.

    Returns:
        `classifier` and `box_reg`.
    """
    objects = labels > 0
    moved = F.smooth_l1_loss(corrections[objects], wanted[objects], beta=1 / 9, reduction="sum")
    return {"classifier": F.cross_entropy(scores, labels), "box_reg": moved / max(1, labels.numel())}


def _corrected(
    coder: Any, corrections: Tensor, proposals: Sequence[Tensor], image_shapes: Sequence[tuple[int, int]]
) -> list[Tensor]:
    """The proposals moved by their corrections, inside their images."""
    moved = coder.decode(corrections, list(proposals)).reshape(-1, 4).split([len(one) for one in proposals])
    return [box_ops.clip_boxes_to_image(boxes, shape) for boxes, shape in zip(moved, image_shapes, strict=True)]
