"""Networks that make coarse masks of images: torchvision's, transformers', or what a training run left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torchvision.models import get_weight
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.models.segmentation import deeplabv3_resnet101

from samref.config.compose import build
from samref.datasets.voc.labels import CLASSES
from samref.errors import ConfigError, WeightsError
from samref.training.networks.mask_rcnn import MASK_THRESHOLD
from samref.training.networks.network import INSTANCE, SEMANTIC, Network, normalized
from samref.training.networks.weights import file_facts, load_network, published

MASK_RCNN = "MaskRCNN_ResNet50_FPN_Weights.COCO_V1"
DEEPLABV3 = "DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1"
MASK2FORMER = "facebook/mask2former-swin-tiny-coco-instance"
COCO_CLASSES = 91


@dataclass(frozen=True)
class Predictor:
    """A network that is used as it is.

    Attributes:
        kind: `semantic` or `instance`.
        ids: what it counts as: values of label maps, or category ids of its labels, the background first.
        predict: from a 3 x H x W uint8 image to what `Network.predict` returns.
    """

    kind: str
    ids: tuple[int, ...]
    predict: Callable[[Tensor], Any]


def mask_rcnn(device: torch.device) -> Predictor:
    """Torchvision's Mask R-CNN with ResNet-50, trained on COCO; its labels are COCO's category ids."""
    network = _ready(maskrcnn_resnet50_fpn(weights=None, weights_backbone=None), MASK_RCNN, device)

    def predict(image: Tensor) -> dict[str, Tensor]:
        (found,) = network([image.float() / 255])
        return {**found, "masks": found["masks"][:, 0] >= MASK_THRESHOLD}

    return Predictor(INSTANCE, tuple(range(COCO_CLASSES)), predict)


def deeplabv3(device: torch.device) -> Predictor:
    """Torchvision's DeepLabV3 with ResNet-101, trained on COCO's images with VOC's 21 classes."""
    made = deeplabv3_resnet101(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)
    network = _ready(made, DEEPLABV3, device)
    return Predictor(SEMANTIC, tuple(range(CLASSES)), lambda image: network(normalized(image)[None])["out"][0])


def mask2former(device: torch.device) -> Predictor:
    """Mask2Former with a small Swin transformer, trained on COCO's instances: needs the package transformers."""
    try:
        from transformers import AutoImageProcessor, Mask2FormerForUniversalSegmentation
    except ImportError as error:
        raise ConfigError("mask2former needs the package transformers: pip install 'samref[hf]'") from error
    try:
        processor = AutoImageProcessor.from_pretrained(MASK2FORMER)
        network: Any = Mask2FormerForUniversalSegmentation.from_pretrained(MASK2FORMER).to(device).eval()
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(f"{MASK2FORMER} cannot be fetched ({reason}); connect once, or use mask_rcnn") from error
    named = get_weight(MASK_RCNN).meta["categories"]
    ids = (0, *(k for k, name in enumerate(named) if name not in ("__background__", "N/A")))

    def predict(image: Tensor) -> dict[str, Tensor]:
        size = (image.shape[-2], image.shape[-1])
        inputs = processor(images=image.permute(1, 2, 0).cpu().numpy(), return_tensors="pt").to(device)
        found = processor.post_process_instance_segmentation(network(**inputs), target_sizes=[size])[0]
        segments = found["segments_info"]
        masks = [found["segmentation"] == segment["id"] for segment in segments]
        return {
            "masks": torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.bool),
            "labels": torch.tensor([segment["label_id"] + 1 for segment in segments], dtype=torch.int64),
            "scores": torch.tensor([segment["score"] for segment in segments]),
        }

    return Predictor(INSTANCE, ids, predict)


def trained(path: Path, device: torch.device) -> Predictor:
    """The network that a training run left; one on frozen features gets the backbone that it was trained with."""
    facts = file_facts(path)
    part = OmegaConf.create({**facts["network"], "pretrained": False})
    own: dict[str, Any] = {"classes": facts["count"]}
    if facts["backbone"] is not None:
        from samref.backbones.open import open_backbone

        own["backbone"] = open_backbone(OmegaConf.create(facts["backbone"]))
    network: Network = build(part, **own)
    load_network(path, network)
    network.to(device).eval()
    ids = tuple(facts["classes"]) if network.kind == SEMANTIC else (0, *facts["classes"])
    return Predictor(network.kind, ids, network.predict)


PREDICTORS = {"mask_rcnn": mask_rcnn, "deeplabv3": deeplabv3, "mask2former": mask2former}


def predictor_of(name: str, device: torch.device) -> Predictor:
    """A predictor by its name, or by the path of a trained network.

    Args:
        name: of `PREDICTORS`, or the path of a `network.safetensors`.
        device: where it computes.

    Raises:
        ConfigError: for a name that is none, or a package that is missing.
        WeightsError: for weights that cannot be fetched or read.
    """
    if name in PREDICTORS:
        return PREDICTORS[name](device)
    if not Path(name).expanduser().is_file():
        raise ConfigError(
            f"{name} is neither {', '.join(PREDICTORS)} nor a file; expected one of them, or the network.safetensors "
            "of a training run"
        )
    return trained(Path(name).expanduser(), device)


def _ready(network: nn.Module, weights: str, device: torch.device) -> nn.Module:
    network.load_state_dict(published(weights))
    return network.to(device).eval()
