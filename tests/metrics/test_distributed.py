"""Every metric gives two processes, with unequal shares, what one process gets."""

import json
import math

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from samref.metrics.average_precision import AveragePrecision
from samref.metrics.boundary_accuracy import BoundaryAccuracy
from samref.metrics.overlap import Overlap
from samref.metrics.selection_accuracy import SelectionAccuracy
from samref.metrics.semantic import SemanticIoU
from tests.metrics.coco_data import coco_data


def images(count=5):
    rng = np.random.default_rng(0)
    for k in range(count):
        shape = (k % 3 + 1, 20 + k, 30)
        yield rng.random(shape) < 0.5, rng.random(shape) < 0.5


def scores(mine):
    """All metrics over the images k for which mine(k)."""
    rng = np.random.default_rng(1)
    truth, results = coco_data(0)
    overlap, mba, top1, semantic = Overlap(), BoundaryAccuracy(), SelectionAccuracy(), SemanticIoU(num_classes=3)
    precision = AveragePrecision(truth, ("segm",))
    for k, (masks, target) in enumerate(images()):
        chosen, actual = rng.integers(0, 3, len(masks)), rng.random((len(masks), 3))
        labels, label_truth = rng.integers(0, 3, (2, 8, 8))
        if mine(k):
            overlap.update(masks, target)
            mba.update(masks, target)
            top1.update(chosen, actual)
            semantic.update(labels, label_truth)
            precision.update([r for r in results if r["image_id"] == truth["images"][k]["id"]])
    found = {}
    for metric in (overlap, mba, top1, semantic, precision):
        found |= metric.compute()
    return found


def process(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    # Process 0 has four images, process 1 has one.
    (folder / f"{rank}.json").write_text(json.dumps(scores(lambda k: (k == 3) == (rank == 1))))
    dist.destroy_process_group()


def test_two_processes_agree_with_one(tmp_path):
    mp.start_processes(process, args=(tmp_path,), nprocs=2, start_method="fork")
    alone = scores(lambda k: True)
    shares = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert shares[0] == shares[1] == alone
    assert len(alone) == 7
    assert not any(math.isnan(value) for value in alone.values())
    assert scores(lambda k: k == 3) != alone
