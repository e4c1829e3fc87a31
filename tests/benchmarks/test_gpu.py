import json

import numpy as np
import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import OURS, THEIRS
from samref.backbones.sam_backbone import SamBackbone


@pytest.fixture
def published(tmp_path):
    gpu.main(
        "--device cpu --backbones tiny --precisions fp32 bf16 --batches 1 2 --masks 3 --chunk 2 --rounds 1 --matrix 64"
        f" --out {tmp_path}".split()
    )
    return json.loads((tmp_path / "gpu.json").read_text()), (tmp_path / "gpu.md").read_text()


def test_the_script_runs_without_a_gpu_on_a_tiny_model(published):
    content, table = published
    rows = content["rows"]
    assert [(row["precision"], row["encoder"], row["images at once"]) for row in rows] == [
        (precision, *who) for precision in ("fp32", "bf16") for who in ((THEIRS, 1), (OURS, 1), (OURS, 2))
    ]
    for row in rows:
        assert row["images/s"] > 0
        assert row["masks/s"] > 0
        assert row["share of peak, %"] > 0
    assert rows[0]["encoding, times as fast"] == rows[0]["decoding, times as fast"] == 1
    assert content["hardware"]["cpu"]
    assert len([line for line in table.splitlines() if line.startswith("|")]) == len(rows) + 2
    assert "Random weights" in table


def test_both_sides_decode_the_same_masks(monkeypatch):
    sam = gpu.random_sam("tiny", torch.device("cpu"))
    seen, packaged = [], sam.mask_decoder.forward
    monkeypatch.setattr(sam.mask_decoder, "forward", lambda *a, **k: seen.append(packaged(*a, **k)) or seen[-1])
    sides = gpu.decoders(sam, np.zeros((*gpu.SIZE, 3), np.uint8), masks=5, chunk=2)
    sides[THEIRS]()
    logits = torch.cat([masks for masks, _ in seen])
    torch.testing.assert_close(sides[OURS]().multi_logits, logits, atol=1e-4, rtol=0)


def test_operations_are_counted_per_image():
    sam = gpu.random_sam("tiny", torch.device("cpu"))
    counted = gpu.encoder_flops(sam, torch.device("cpu"))
    cells, width = 16 * 16, 32
    # Four products of a cell with a square matrix and two with one four times as wide, in each of two layers.
    assert counted > 2 * cells * width * width * 12 * 2
    assert isinstance(gpu.backbone_of(sam, "fp32", False), SamBackbone)
