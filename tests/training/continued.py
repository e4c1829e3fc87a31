"""`python -m tests.training.continued [NETWORK ...]`: every network resumes to the bit, and trains in two processes.

Whole runs, from configuration to report, on generated data; a minute a network on a CPU. The suite has the head
(tests/engine) and Mask R-CNN, which draws inside the network. Ends with 1 if anything differs.
"""

import argparse
import json
import os
import sys
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
import torch.multiprocessing as mp
from lightning.fabric.utilities.rank_zero import rank_zero_only
from torchvision.models import resnet

from samref.config.compose import compose_config
from samref.engine import runner
from samref.training.module import TrainingModule
from samref.training.networks import cascade_mask_rcnn, mask_rcnn, weights
from tests.factories_benchmarks import make_coco, make_voc
from tests.training.detectors import few_small_boxes

SMALL = ["network.body=resnet10", "network.min_size=32", "network.max_size=48", "network.pretrained=false"]
NETWORKS = {
    "deeplabv2_resnet101": ["network.body=resnet18", "network.dilations=[1,2]", "network.pretrained=false"],
    "mask_rcnn_r50_fpn": SMALL,
    "cascade_mask_rcnn_r50_fpn": SMALL,
    "solov2_r50_fpn": [*SMALL, "network.width=32", "network.kernel=32", "network.grids=[6,5,4,3,2]"],
}
PORT = "29534"


class Killed(Exception):
    """Raised in the middle of a fit."""


def words(network, folder):
    """The options of a run of a network on generated data below a folder."""
    if network.startswith("deeplab"):
        voc = make_voc(folder / "voc")
        data = ["+experiment=voc_training", f"dataset.root={voc.root}", f"dataset.coarse={voc.coarse}",
                "dataset.split=val", "schedule.augmentation.crop=96"]  # fmt: skip
    else:
        coco = make_coco(folder / "coco")
        data = ["+experiment=coco_training", f"dataset.images={coco.images}", f"dataset.annotations={coco.annotations}",
                f"dataset.predictions={coco.predictions}", f"training.validation.images={coco.images}",
                f"training.validation.annotations={coco.annotations}"]  # fmt: skip
    return [
        *data, f"network={network}", *NETWORKS[network], "backbone=tiny", "backbone.device=cpu", "logger=none",
        "callbacks.progress=false", "schedule.batch_size=2", "schedule.checkpoint_every=1", "trainer.accelerator=cpu",
        f"paths.outputs={folder / 'out'}",
    ]  # fmt: skip


def resumed(network, folder):
    """A fit of two steps that is killed in the second and resumed, and one that is not.

    Returns:
        The steps that the resumed fit did, and the report of each.
    """
    with small():
        options = [*words(network, folder), "+trainer.max_steps=2"]
        with watched(until=1), suppress(Killed):
            _run(options)
        with watched() as steps:
            report = _run(options)
        whole = _run([*options, f"paths.outputs={folder / 'whole'}", "schedule.checkpoint_every=9"])
    return steps, report, whole


def same(report, whole):
    """Whether two runs have the same losses, scores and weights, to the bit."""
    one, other = (Path(each["training"]["weights"]).read_bytes() for each in (report, whole))
    losses = report["training"]["losses"]
    return losses == whole["training"]["losses"] and report["metrics"] == whole["metrics"] and one == other


def in_two_processes(network, folder):
    """What each of two processes reports of one step: scores and number of steps."""
    with small():
        options = [*words(network, folder), "+trainer.max_steps=1", "trainer.devices=2", "+trainer.strategy=ddp"]
        mp.start_processes(_process, args=(folder, options), nprocs=2, start_method="fork")
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def small():
    """Within it, a ResNet of one block a stage is known, and detectors have few and small boxes."""
    stack = ExitStack()
    stack.enter_context(patch.object(resnet, "resnet10", _resnet10, create=True))
    stack.enter_context(patch.dict(weights.RESNETS, {"resnet10": weights.RESNETS["resnet18"]}))
    stack.enter_context(patch.object(mask_rcnn, "MaskRCNN", few_small_boxes))
    stack.enter_context(patch.object(cascade_mask_rcnn, "MaskRCNN", few_small_boxes))
    return stack


@contextmanager
def watched(until=None):
    """Within it, the steps of fits are noted; a fit is killed before the step `until`."""
    steps, original = [], TrainingModule.training_step

    def step(module, batch, batch_idx):
        if module.global_step == until:
            raise Killed
        steps.append(module.global_step)
        return original(module, batch, batch_idx)

    with patch.object(TrainingModule, "training_step", step):
        yield steps


def _resnet10(weights=None, **options):
    return resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], **options)


def _run(options):
    return runner.run(compose_config(options))


def _process(rank, folder, options):
    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": PORT, "WORLD_SIZE": "2", "NODE_RANK": "0", "LOCAL_RANK": str(rank),
    }  # fmt: skip
    rank_zero_only.rank = rank
    report = _run(options)
    (folder / f"{rank}.json").write_text(json.dumps([report["metrics"], report["training"]["steps"]]))


def main(arguments):
    """Prints a line for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=[], metavar="NETWORK", help=", ".join(NETWORKS))
    failed = 0
    for network in parser.parse_args(arguments).networks or NETWORKS:
        with TemporaryDirectory() as name, redirect_stdout(StringIO()):
            folder = Path(name)
            (folder / "a").mkdir()
            (folder / "b").mkdir()
            steps, report, whole = resumed(network, folder / "a")
            equal = steps == [1] and same(report, whole)
            first, second = in_two_processes(network, folder / "b")
            together = first == second and first[1] == 1
        losses = report["training"]["losses"]
        print(f"{network}: resumed at step 1, losses {losses}, {'equal to the bit' if equal else 'DIFFERENT'}")
        print(f"{network}: one step in two processes, {'the same' if together else 'DIFFERENT'}", flush=True)
        failed += not (equal and together)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
