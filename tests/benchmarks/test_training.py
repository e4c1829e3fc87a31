import json

import pytest
import torch

from benchmarks import training


def test_the_script_runs_without_a_gpu_on_small_pictures(tmp_path):
    small = "--device cpu --backbone tiny --side 32 --steps 1 --objects 2 --networks mobile_sam_aspp"
    training.main([*small.split(), "--precisions", "fp32", "bf16", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "training.json").read_text())["rows"]
    assert [row["precision"] for row in rows] == ["fp32", "bf16"]
    assert all(row["images/s"] > 0 for row in rows)
    assert "2 images of 32 x 32 px" in (tmp_path / "training.md").read_text()


@pytest.mark.parametrize("kind", ["semantic", "instance"])
def test_pictures_show_what_is_to_be_learned(kind):
    images, targets = training.batch_of(kind, 2, 40, 3, torch.device("cpu"))
    assert len(images) == len(targets) == 2
    for target in targets:
        assert int(target.max()) > 0 if kind == "semantic" else len(target["boxes"]) == len(target["masks"]) == 3
