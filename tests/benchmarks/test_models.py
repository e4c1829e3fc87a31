"""The table of models is made from one file, and the texts hold what is made."""

import json

import pytest
import torch

from benchmarks import models
from benchmarks.random_models import random_backbone
from samref.backbones.weights import model_table
from samref.backbones.weights.model_table import markdown, names, read_measured


@pytest.mark.parametrize("path", models.TEXTS, ids=lambda path: path.name)
def test_texts_hold_the_table(path):
    text = path.read_text(encoding="utf-8")
    assert models.written(text, models.table_for(path, read_measured())) == text


def test_every_published_model_has_a_row_and_what_is_unmeasured_is_empty():
    rows = [line for line in markdown({"models": {}}).splitlines() if line.startswith("| ")][2:]
    assert [row.split(" | ")[0].strip("| `") for row in rows] == names()
    assert all(row.count("|") == len(model_table.HEADINGS) + 1 for row in rows)
    measured = {"models": {"vit_b": {"parameters": 93_700_000, "image_ms": 1234.5, "iou": 88.25, "boundary_iou": 70.0}}}
    row = model_table.model("vit_b", measured)
    assert (row.parameters, row.image_ms, row.mask_ms, row.quality) == ("94", "1,234", "", "88.2 / 70.0")


@pytest.fixture
def measured(tmp_path, monkeypatch):
    path = tmp_path / "measured.json"
    path.write_text('{"cpu": {}, "gpu": {}, "models": {}}')
    monkeypatch.setattr(model_table, "MEASURED", path)
    monkeypatch.setattr(models, "MEASURED", path)
    return lambda: json.loads(path.read_text())


def test_times_of_a_gpu_are_the_best_of_its_settings(tmp_path, measured):
    rows = [
        {
            "backbone": "vit_b",
            "encoder": "samref",
            "images/s": 20,
            "masks/s, 5 an image": 100,
            "masks/s, 50 an image": 400,
        },
        {"backbone": "vit_b", "encoder": "samref, compiled", "images/s": 50, "masks/s, 50 an image": 200},
        {"backbone": "vit_b", "encoder": "segment-anything", "images/s": 99, "masks/s, 50 an image": 999},
    ]
    content = {"hardware": {"gpu": "a card"}, "command": "python -m benchmarks.gpu", "rows": rows}
    (tmp_path / "gpu.json").write_text(json.dumps(content))
    models.main(["--gpu", str(tmp_path / "gpu.json")])
    assert measured()["models"] == {"vit_b": {"gpu_image_ms": 20.0, "gpu_mask_ms": 2.5}}
    assert measured()["gpu"]["device"] == "a card"


def test_quality_comes_from_a_report(tmp_path, measured):
    report = {"metrics": {"refined": {"iou": 0.88312, "boundary_iou": 0.73951}}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    models.main(["--quality", f"mobile_sam={tmp_path / 'report.json'}"])
    assert measured()["models"]["mobile_sam"] == {"iou": 88.3, "boundary_iou": 74.0}


def test_a_model_is_timed_here(measured, monkeypatch):
    from samref.backbones.tiny import TinySam

    monkeypatch.setattr(models, "random_backbone", lambda name, device: TinySam(device="cpu"))
    models.main(["--models", "vit_b"])
    found = measured()["models"]["vit_b"]
    assert found["parameters"] == sum(parameter.numel() for parameter in TinySam(device="cpu").parameters())
    assert found["image_ms"] >= 1
    assert measured()["cpu"]["device"]


def test_random_models_are_whole():
    backbone = random_backbone("hq_vit_tiny", torch.device("cpu"))
    assert backbone.img_size == 1024
    assert sum(parameter.numel() for parameter in backbone.parameters()) > 9e6
