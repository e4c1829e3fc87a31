"""`python -m tests.training.overfit [NETWORK ...]`: every network learns eight generated images by heart.

Minutes a network on one core; the suite has smaller forms. Bodies are ResNet-18, or a dilated one of a block a stage
for DeepLabV2, whose cells of 8 px need images of twice the size; R-CNNs see 16 boxes of an image in place of 512, for
it has two objects; everything else is as configured. Ends with 1 if any network stays below 0.9.
"""

import argparse
import sys
import time
from functools import partial
from unittest.mock import patch

import torch
from torchvision.models import resnet

from samref.backbones.tiny import TinySam
from samref.metrics.semantic import SemanticIoU
from samref.training.networks import cascade_mask_rcnn, mask_rcnn, weights
from samref.training.networks.backbone_aspp import BackboneAspp
from samref.training.networks.cascade_mask_rcnn import CascadeMaskRcnn
from samref.training.networks.deeplabv2 import DeepLabV2
from samref.training.networks.mask_rcnn import MaskRcnn
from samref.training.networks.solov2.network import SoloV2
from tests.training.detectors import few_boxes
from tests.training.networks.test_instances import GRIDS, SMALL, score
from tests.training.pictures import labeled, with_instances

ENOUGH = 0.9
BOXES = 16


def detector(module, network):
    """A network of a module that builds torchvision's Mask R-CNN, with fewer boxes."""
    with patch.object(module, "MaskRCNN", partial(few_boxes, boxes=BOXES)):
        return network(**SMALL)


def dilated():
    """DeepLabV2 on a thin ResNet with bottlenecks, which torchvision can dilate."""
    thin = partial(resnet.ResNet, resnet.Bottleneck, [1, 1, 1, 1], width_per_group=16)
    with (
        patch.object(resnet, "resnet14", thin, create=True),
        patch.dict(weights.RESNETS, {"resnet14": weights.RESNETS["resnet18"]}),
    ):
        return DeepLabV2(3, "resnet14", [1, 2, 3, 4], [0.5, 0.75], False, 1, 1)


def pictures(network):
    """Eight images and what is to be found in them."""
    if network.kind == "instance":
        return with_instances(8)
    return labeled(8, (96, 128) if isinstance(network, DeepLabV2) else (48, 64))


NETWORKS = {
    "mobile_sam_aspp": lambda: BackboneAspp(3, TinySam(device="cpu"), 32, [1, 3, 6], 0.0, 0.5),
    "deeplabv2": dilated,
    "mask_rcnn": lambda: detector(mask_rcnn, MaskRcnn),
    "cascade_mask_rcnn": lambda: detector(cascade_mask_rcnn, CascadeMaskRcnn),
    "solov2": lambda: SoloV2(**SMALL, **GRIDS, width=64, kernel=64),
}


def score_of(network):
    if network.kind == "instance":
        return score(network, *pictures(network))["ap_mask_50"]
    metric = SemanticIoU(3)
    with torch.no_grad():
        for image, truth in zip(*pictures(network), strict=True):
            metric.update(network.eval().predict(image).argmax(dim=0), truth)
    return metric.compute()["miou"]


def overfit(name, most, every=20):
    """Trains until the score is enough; returns it with the steps that it took."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    images, targets = pictures(network)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], 1e-3)
    found = 0.0
    for step in range(1, most + 1):
        optimizer.zero_grad()
        torch.stack(list(network.train().losses(images, targets).values())).sum().backward()
        optimizer.step()
        if step % every == 0:
            found = score_of(network)
            print(f"{name}: {step} steps, {found:.3f}", flush=True)
            if found > ENOUGH:
                break
    return found, step


def main(words):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=[], metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--steps", type=int, default=400, help="at most")
    options = parser.parse_args(words)
    failed = []
    for name in options.networks or NETWORKS:
        start = time.perf_counter()
        found, steps = overfit(name, options.steps)
        print(f"{name}: {found:.3f} after {steps} steps, {time.perf_counter() - start:.0f} s")
        failed += [name] * (found <= ENOUGH)
    return f"below {ENOUGH}: {', '.join(failed)}" if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
