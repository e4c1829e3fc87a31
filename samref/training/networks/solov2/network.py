"""SOLOv2 (Wang et al., 2020): each cell of a grid says what its object is, and with which kernel its mask is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import masks_to_boxes, sigmoid_focal_loss

from samref.config.paths import InputFile
from samref.training.networks.mask_rcnn import fpn
from samref.training.networks.network import INSTANCE, MEAN, STD, Network
from samref.training.networks.solov2.cells import Cells, assign_cells
from samref.training.networks.solov2.heads import GridHead, MaskFeatures
from samref.training.networks.solov2.matrix_nms import matrix_nms
from samref.training.networks.weights import is_own_file, start_from

# Of the authors' code: what counts as found before and after matrix NMS, and how many are looked at and kept.
FOUND, KEPT, LOOKED_AT, MOST = 0.1, 0.05, 500, 100
MASK_THRESHOLD = 0.5
MASK_SHARE = 3.0  # of the dice loss
STRIDES = (8, 8, 16, 32, 32)  # of the levels as the grids see them
ALPHA, GAMMA = 0.25, 2.0  # of the focal loss


class SoloV2(Network):
    """Grids on a feature pyramid, dynamic kernels on joined mask features, matrix NMS."""

    kind = INSTANCE

    def __init__(
        self,
        classes: int,
        body: str,
        min_size: int,
        max_size: int,
        pretrained: bool | InputFile,
        trainable_layers: int,
        grids: Sequence[int],
        ranges: Sequence[Sequence[float]],
        width: int,
        kernel: int,
    ) -> None:
        """Builds the network.

        Args:
            classes: background included.
            body: a ResNet of torchvision.
            min_size: shorter side that images are resized to.
            max_size: longest side that they may then have.
            pretrained: true: ImageNet weights of torchvision; false: none; a file: of the body, or of such a network.
            trainable_layers: stages of the body that train, counted from the last, 5 being all.
            grids: cells along a side, of the grid of each of five pyramid levels.
            ranges: smallest and largest object of each grid, px of the resized image.
            width: channels of the grid heads.
            kernel: numbers of a kernel.
        """
        super().__init__()
        self.backbone = fpn(body, pretrained, trainable_layers)
        self.transform = GeneralizedRCNNTransform(min_size, max_size, list(MEAN), list(STD))
        channels = self.backbone.out_channels
        self.head = GridHead(channels, width, classes - 1, kernel)
        self.mask_features = MaskFeatures(channels, max(32, kernel // 2), kernel)
        self.grids, self.ranges = tuple(grids), tuple(tuple(pair) for pair in ranges)
        if is_own_file(pretrained):
            start_from(self, pretrained)

    def losses(self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """See `Network`: `classes`, focal loss of all cells, and `masks`, dice loss of those that find something."""
        batch, resized = self.transform([image.float() / 255 for image in images], [dict(one) for one in targets])
        features, levels = self._seen(batch.tensors)
        size = (batch.tensors.shape[-2], batch.tensors.shape[-1])
        cells = [assign_cells(target, size, self.grids, self.ranges) for target in resized]
        truth = [_at_quarter(target["masks"], features.shape[-2:], size) for target in resized]
        scores = torch.cat([level[0].permute(0, 2, 3, 1).flatten(0, 2) for level in levels])
        labels = torch.cat([torch.stack([one[k].labels for one in cells]).flatten() for k in range(len(levels))])
        wanted = F.one_hot(labels, scores.shape[1] + 1)[:, 1:].to(scores.dtype)
        found = max(1, int((labels > 0).sum())) + 1
        focal = sigmoid_focal_loss(scores, wanted, alpha=ALPHA, gamma=GAMMA, reduction="sum") / found
        dices = [
            self._dices(features[n], [level[1][n] for level in levels], cells[n], truth[n]) for n in range(len(images))
        ]
        # Nothing to find in any image: distributed training still needs a gradient of every parameter.
        idle = 0.0 * (features.sum() + sum(level[1].sum() for level in levels))
        dice = torch.cat(dices).mean() if sum(map(len, dices)) else features.new_zeros(())
        return {"classes": focal, "masks": MASK_SHARE * dice + idle}

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """See `Network`; the boxes are those of the masks."""
        batch, _ = self.transform([image.float() / 255])
        features, levels = self._seen(batch.tensors)
        height, width = batch.image_sizes[0]
        original = (image.shape[-2], image.shape[-1])
        scores, labels, kernels, strides = self._candidates(levels)
        probabilities = _applied(kernels, features[0]).sigmoid()
        masks = probabilities > MASK_THRESHOLD
        areas = masks.sum(dim=(1, 2))
        large = areas > strides
        probabilities, masks, areas = probabilities[large], masks[large], areas[large]
        sure = (probabilities * masks).sum(dim=(1, 2)) / areas.clamp(min=1)
        scores, labels = scores[large] * sure, labels[large]
        order = scores.argsort(descending=True)[:LOOKED_AT]
        scores = matrix_nms(masks[order], labels[order], scores[order])
        best = scores.argsort(descending=True)[:MOST]
        best = best[scores[best] >= KEPT]
        chosen, scores = order[best], scores[best]
        full = _to_image(
            probabilities[chosen], (batch.tensors.shape[-2], batch.tensors.shape[-1]), (height, width), original
        )
        there = full.flatten(1).any(dim=1)
        full = full[there]
        boxes = masks_to_boxes(full) if len(full) else full.new_zeros((0, 4), dtype=torch.float32)
        return {
            "boxes": boxes + boxes.new_tensor([0, 0, 1, 1]),
            "labels": labels[chosen][there],
            "scores": scores[there],
            "masks": full,
        }

    def _seen(self, batch: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Mask features, and class scores and kernels of each grid."""
        pyramid = list(self.backbone(batch).values())
        features: Tensor = self.mask_features(pyramid[:4])
        # The finest level is halved and the coarsest doubled, so that grids see strides of 8 to 32.
        seen = [
            F.interpolate(pyramid[0], scale_factor=0.5, mode="bilinear", align_corners=False),
            *pyramid[1:4],
            F.interpolate(pyramid[4], size=pyramid[3].shape[-2:], mode="bilinear", align_corners=False),
        ]
        return features, [self.head(level, grid) for level, grid in zip(seen, self.grids, strict=True)]

    def _dices(self, features: Tensor, kernels: list[Tensor], cells: list[Cells], truth: Tensor) -> Tensor:
        """The dice loss of each cell of one image that finds something."""
        chosen = torch.cat([grid.flatten(1)[:, one.places].T for grid, one in zip(kernels, cells, strict=True)])
        objects = torch.cat([one.objects for one in cells])
        found = _applied(chosen, features).sigmoid().flatten(1)
        wanted = truth[objects].flatten(1)
        shared = (found * wanted).sum(dim=1)
        return 1 - 2 * shared / ((found**2).sum(dim=1) + (wanted**2).sum(dim=1) + 0.002)

    def _candidates(self, levels: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scores, labels, kernels and strides of the cells that find something, of one image."""
        parts: list[Any] = []
        for (scores, kernels), stride in zip(levels, STRIDES, strict=True):
            seen = _peaks(scores.sigmoid())[0].permute(1, 2, 0).flatten(0, 1)
            places, classes = torch.nonzero(seen > FOUND, as_tuple=True)
            of_stride = torch.full_like(places, stride)
            parts.append((seen[places, classes], classes + 1, kernels[0].flatten(1).T[places], of_stride))
        scores, labels, kernels, strides = (torch.cat(column) for column in zip(*parts, strict=True))
        return scores, labels, kernels, strides


def _peaks(scores: Tensor) -> Tensor:
    """Scores that are no less than those of the cells above and left of them; 0 elsewhere."""
    highest = F.max_pool2d(scores, 2, stride=1, padding=1)[:, :, :-1, :-1]
    return scores * (highest == scores)


def _applied(kernels: Tensor, features: Tensor) -> Tensor:
    """M x h x w: each of M kernels as a 1 x 1 convolution of C x h x w features."""
    return torch.einsum("mc,chw->mhw", kernels, features)


def _at_quarter(masks: Tensor, shape: Sequence[int], size: tuple[int, int]) -> Tensor:
    """N x h x w masks of the batch's size, at the size of the mask features."""
    height, width = masks.shape[-2:]
    padded = F.pad(masks.float(), (0, size[1] - width, 0, size[0] - height))
    if not len(padded):
        return padded.new_zeros((0, *shape))
    resized = F.interpolate(padded[None], size=list(shape), mode="bilinear", align_corners=False)[0]
    return (resized >= 0.5).float()


def _to_image(
    probabilities: Tensor, batch: tuple[int, int], resized: tuple[int, int], original: tuple[int, int]
) -> Tensor:
    """Masks n x H x W bool of the image as it came: enlarged, freed of padding, resized back."""
    if not len(probabilities):
        return torch.zeros((0, *original), dtype=torch.bool, device=probabilities.device)
    full = F.interpolate(probabilities[None], size=batch, mode="bilinear", align_corners=False)
    full = full[:, :, : resized[0], : resized[1]]
    return F.interpolate(full, size=original, mode="bilinear", align_corners=False)[0] > MASK_THRESHOLD
