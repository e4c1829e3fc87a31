"""DeepLabV2: atrous spatial pyramid pooling on a dilated ResNet (Chen et al., 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet
from torchvision.ops import FrozenBatchNorm2d

from samref.config.paths import InputFile
from samref.training.networks.network import IGNORE, SEMANTIC, Group, Network, label_loss, normalized
from samref.training.networks.weights import RESNETS, is_own_file, start_backbone, start_from


class DeepLabV2(Network):
    """Scores at an eighth of the image's size: the sum of 3 x 3 convolutions of several dilations.

    While training, the image is seen at several scales, and so is the maximum of their scores; the loss is the sum of
    the cross entropies of all. Normalization is frozen where weights are given, for batches are small.
    """

    kind = SEMANTIC

    def __init__(
        self,
        classes: int,
        body: str,
        dilations: Sequence[int],
        scales: Sequence[float],
        pretrained: bool | InputFile,
        head_rate: float,
        bias_rate: float,
    ) -> None:
        """Builds the network.

        Args:
            classes: background included.
            body: a ResNet of torchvision.
            dilations: of the head's convolutions.
            scales: of the image, beside its own, that are trained on.
            pretrained: true: ImageNet weights of torchvision; false: none; a file: of the body, or of such a network.
            head_rate: share of the learning rate of the head's weights.
            bias_rate: of its biases, which have no weight decay.
        """
        super().__init__()
        norm: Any = nn.BatchNorm2d if pretrained is False else FrozenBatchNorm2d
        # Basic blocks, of the smaller ResNets, have no dilation in torchvision.
        dilated = [body not in ("resnet18", "resnet34")] * 2
        make = getattr(resnet, body)
        built = make(replace_stride_with_dilation=[False, *dilated], norm_layer=norm)
        depth = built.fc.in_features
        built.fc = built.avgpool = nn.Identity()
        self.body: Any = built
        self.head = nn.ModuleList(nn.Conv2d(depth, classes, 3, padding=rate, dilation=rate) for rate in dilations)
        self.scales, self.head_rate, self.bias_rate = tuple(scales), head_rate, bias_rate
        for conv in self.head:
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)
        if is_own_file(pretrained):
            start_from(self, pretrained)
        else:
            start_backbone(self.body, pretrained, RESNETS[body])

    def losses(self, images: Sequence[Tensor], targets: Sequence[Tensor]) -> dict[str, Tensor]:
        """See `Network`: one loss a scale, and `maximum`. Images of several sizes are filled up with their mean."""
        batch, target = _stacked(images, targets)
        scores = [self._scores(batch)]
        size = (scores[0].shape[-2], scores[0].shape[-1])
        for scale in self.scales:
            smaller = F.interpolate(batch, scale_factor=scale, mode="bilinear", align_corners=False)
            scores.append(self._scores(smaller))
        same = [F.interpolate(one, size=size, mode="bilinear", align_corners=False) for one in scores]
        maximum = torch.stack(same).amax(dim=0)
        names = ["whole", *(f"scale_{scale:g}" for scale in self.scales), "maximum"]
        return {name: label_loss(one, target) for name, one in zip(names, [*scores, maximum], strict=True)}

    def predict(self, image: Tensor) -> Tensor:
        """See `Network`: the maximum over scales, as it is trained."""
        batch = normalized(image)[None]
        size = (image.shape[-2], image.shape[-1])
        scaled = [batch, *(F.interpolate(batch, scale_factor=s, mode="bilinear") for s in self.scales)]
        scores = [F.interpolate(self._scores(one), size=size, mode="bilinear", align_corners=False) for one in scaled]
        return torch.stack(scores).amax(dim=0)[0]

    def groups(self) -> list[Group]:
        """See `Network`: the head learns faster than the body."""
        weights = [parameter for name, parameter in self.head.named_parameters() if name.endswith("weight")]
        biases = [parameter for name, parameter in self.head.named_parameters() if name.endswith("bias")]
        return [
            Group(list(self.body.parameters())),
            Group(weights, self.head_rate),
            Group(biases, self.bias_rate, decay=0.0),
        ]

    def _scores(self, batch: Tensor) -> Tensor:
        body = self.body
        features = body.maxpool(body.relu(body.bn1(body.conv1(batch))))
        for stage in (body.layer1, body.layer2, body.layer3, body.layer4):
            features = stage(features)
        total: Tensor = torch.stack([conv(features) for conv in self.head]).sum(dim=0)
        return total


def _stacked(images: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """N x 3 x H x W normalized images and N x H x W targets, of the largest height and width among them."""
    height, width = (max(image.shape[axis] for image in images) for axis in (-2, -1))
    filled = [(0, width - image.shape[-1], 0, height - image.shape[-2]) for image in images]
    batch = [F.pad(normalized(image), by) for image, by in zip(images, filled, strict=True)]
    maps = [F.pad(target, by, value=IGNORE) for target, by in zip(targets, filled, strict=True)]
    return torch.stack(batch), torch.stack(maps)
