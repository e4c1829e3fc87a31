"""Mask R-CNN (He et al., 2017): torchvision's, with ResNet and feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from samref.config.paths import InputFile
from samref.training.networks.network import INSTANCE, Network
from samref.training.networks.weights import RESNETS, is_own_file, start_backbone, start_from

MASK_THRESHOLD = 0.5


class MaskRcnn(Network):
    """torchvision's Mask R-CNN: its losses, its boxes, its masks."""

    kind = INSTANCE

    def __init__(
        self,
        classes: int,
        body: str,
        min_size: int,
        max_size: int,
        pretrained: bool | InputFile,
        trainable_layers: int,
    ) -> None:
        """Builds the network.

        Args:
            classes: background included.
            body: a ResNet of torchvision.
            min_size: shorter side that images are resized to.
            max_size: longest side that they may then have.
            pretrained: true: ImageNet weights of torchvision; false: none; a file: of the body, or of such a network.
            trainable_layers: stages of the body that train, counted from the last, 5 being all.
        """
        super().__init__()
        self.detector: Any = self._detector(
            fpn(body, pretrained, trainable_layers), classes, min_size=min_size, max_size=max_size
        )
        if is_own_file(pretrained):
            start_from(self, pretrained)

    def _detector(self, backbone: Any, classes: int, **sizes: int) -> nn.Module:
        detector: nn.Module = MaskRCNN(backbone, classes, **sizes)
        return detector

    def losses(self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """See `Network`: torchvision's losses, of region proposals, boxes, classes and masks."""
        found: dict[str, Tensor] = self.detector([image.float() / 255 for image in images], list(targets))
        return {name.removeprefix("loss_"): value for name, value in found.items()}

    def predict(self, image: Tensor) -> dict[str, Tensor]:
        """See `Network`: masks from a probability of 0.5 on."""
        (found,) = self.detector([image.float() / 255])
        return {
            "boxes": found["boxes"],
            "labels": found["labels"],
            "scores": found["scores"],
            "masks": found["masks"][:, 0] >= MASK_THRESHOLD,
        }


def fpn(body: str, pretrained: bool | InputFile, trainable_layers: int) -> Any:
    """A ResNet with a feature pyramid; its normalization is frozen where weights are given, for batches are small.

    Args:
        body: a ResNet of torchvision.
        pretrained: as for `MaskRcnn`; a file of a whole network is left to its caller.
        trainable_layers: stages of the body that train, counted from the last, 5 being all; all without weights.

    Returns:
        torchvision's `BackboneWithFPN`.
    """
    without = pretrained is False
    made: Any = resnet_fpn_backbone(
        backbone_name=body,
        weights=None,
        norm_layer=nn.BatchNorm2d if without else FrozenBatchNorm2d,
        trainable_layers=5 if without else trainable_layers,
    )
    if not is_own_file(pretrained):
        start_backbone(made.body, pretrained, RESNETS[body])
    return made
