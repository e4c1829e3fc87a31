import json

import numpy as np
import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import OURS
from benchmarks.random_models import random_model
from samref.backbones.sam_backbone import SamBackbone

PACKAGES = {"tiny": "segment-anything", "tiny_sam2": "transformers"}
CPU = torch.device("cpu")


@pytest.fixture
def published(tmp_path):
    gpu.main(
        "--device cpu --backbones tiny tiny_sam2 --precisions fp32 bf16 --batches 1 2 --masks 1 3 --chunk 2 --rounds 1"
        f" --matrix 64 --out {tmp_path}".split()
    )
    return json.loads((tmp_path / "gpu.json").read_text()), (tmp_path / "gpu.md").read_text()


def test_the_script_runs_without_a_gpu_on_tiny_models(published):
    content, table = published
    rows = content["rows"]
    assert [(row["backbone"], row["precision"], row["encoder"], row["images at once"]) for row in rows] == [
        (name, precision, *who)
        for name, package in PACKAGES.items()
        for precision in ("fp32", "bf16")
        for who in ((package, 1), (OURS, 1), (OURS, 2))
    ]
    for row in rows:
        assert row["images/s"] > 0
        assert row["masks/s, 1 an image"] > 0
        assert row["masks/s, 3 an image"] > 0
        assert row["share of peak, %"] > 0
    assert rows[0]["encoding, times as fast"] == rows[0]["decoding, times as fast"] == 1
    assert content["hardware"]["cpu"]
    assert len([line for line in table.splitlines() if line.startswith("|")]) == len(rows) + 2
    assert "Random weights" in table


@pytest.mark.parametrize("name", PACKAGES)
def test_both_sides_decode_the_same_masks(name):
    model = random_model(name, CPU)
    sides = gpu.decoders(model, np.zeros((*gpu.SIZE, 3), np.uint8), masks=5, chunk=2)
    logits = torch.cat(sides[PACKAGES[name]]())
    torch.testing.assert_close(sides[OURS]().multi_logits, logits, atol=1e-4, rtol=0)


def test_operations_are_counted_per_image():
    model = random_model("tiny", CPU)
    cells, width = 16 * 16, 32
    # Four products of a cell with a square matrix and two with one four times as wide, in each of two layers.
    assert model.flops() > 2 * cells * width * width * 12 * 2
    assert isinstance(model.backbone(), SamBackbone)
