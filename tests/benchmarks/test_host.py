import json

import numpy as np
import torch

from benchmarks import host
from samref.structures import Prompts


def test_the_free_backbone_returns_the_mask_prompts():
    backbone = host.FreeBackbone("free")
    embedding = backbone.encode(np.zeros((480, 854, 3), np.uint8))
    logits = torch.arange(3 * 256 * 256, dtype=torch.float32).view(3, 1, 256, 256)
    candidates = backbone.decode(embedding, Prompts(mask_input=logits.numpy()))
    assert torch.equal(candidates.multi_logits, logits.expand(-1, 3, -1, -1))
    assert len(backbone.decode(embedding, Prompts(boxes=np.zeros((5, 4), np.float32)))) == 5


def test_runs_are_timed_and_published(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "run_apart", host.main)
    host.main(["--images", "3", "--masks", "2", "--workers", "0", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "host.json").read_text())["rows"]
    assert [row["run"] for row in rows] == list(host.MODES)
    for row in rows:
        assert row["images/s"] > 0
        assert row["main process, ms"] >= row["main thread, ms"] > 0
