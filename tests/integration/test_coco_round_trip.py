"""A COCO file that is refined is the same file with other masks."""

import json

import numpy as np
import pytest
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from samref.config.compose import compose_config
from samref.engine import runner
from samref.refiners.samrefiner import SAMRefiner
from tests.factories_benchmarks import annotation, make_coco, rectangle, refined, result, rle, write_json

REPLACED = ("segmentation", "area", "bbox")


def refine(tmp_path, coco, *words):
    """The one JSON file of masks that a run over a data set leaves."""
    cfg = compose_config(
        [
            "dataset=coco", f"dataset.images={coco.images}", f"paths.outputs={tmp_path / 'runs'}", "backbone=tiny",
            "prompts=all", "save_masks=true", "logger=none", "callbacks.progress=false", *words,
        ]
    )  # fmt: skip
    report = runner.run(cfg)
    (path,) = [p for p in (tmp_path / "runs").rglob("*.json") if p.stem in ("instances_val2017", "predictions")]
    return path, report


@pytest.fixture(autouse=True)
def solid_masks(monkeypatch):
    """Masks without holes come out, which polygons can describe exactly: the coarse ones, a pixel further."""
    monkeypatch.setattr(
        SAMRefiner, "refine_sample", lambda self, sample, **options: refined(np.roll(sample.masks, 1, axis=2))
    )


def without_masks(record):
    return {key: value for key, value in record.items() if key not in REPLACED}


def form(record):
    """Polygons, run lengths in a text, or run lengths in a list."""
    segmentation = record["segmentation"]
    return type(segmentation), None if isinstance(segmentation, list) else type(segmentation["counts"])


@pytest.fixture
def coco(tmp_path):
    """Polygons, both kinds of run lengths, a crowd, and fields that COCO does not know."""
    made = make_coco(tmp_path / "coco")
    uncompressed = {"size": [48, 64], "counts": [490, 12, 36, 12, 36, 12, 36, 12, 48 * 64 - 646]}
    made.content["annotations"] += [
        annotation(
            202, 2, 18, (6, 6, 20, 20), segmentation=rle(rectangle(6, 6, 20, 20)), note={"by": "me", "sure": 0.5}
        ),
        annotation(203, 2, 18, (10, 10, 14, 22), segmentation=uncompressed, attributes=["a", None]),
    ]
    made.content["images"][0]["license"] = "none"
    made.content["mine"] = {"version": 3}
    write_json(made.annotations, made.content)
    return made


def test_annotations_keep_every_field_but_the_mask_and_its_form(coco, tmp_path):
    path, report = refine(tmp_path, coco, f"dataset.annotations={coco.annotations}")
    written = json.loads(path.read_text())
    assert {**written, "annotations": None} == {**coco.content, "annotations": None}
    before, after = coco.content["annotations"], written["annotations"]
    assert [without_masks(record) for record in after] == [without_masks(record) for record in before]
    changed = [old["id"] for old, new in zip(before, after, strict=True) if old["segmentation"] != new["segmentation"]]
    assert changed == [101, 102, 201, 202, 203]
    for old, new in zip(before, after, strict=True):
        assert form(new) == form(old)
    loaded = COCO(str(path))
    for record in loaded.loadAnns(changed):
        mask = loaded.annToMask(record).astype(bool)
        rows, columns = np.nonzero(mask)
        x0, y0 = columns.min(), rows.min()
        assert record["bbox"] == [x0, y0, columns.max() + 1 - x0, rows.max() + 1 - y0]
        assert record["area"] == pytest.approx(mask.sum())
    assert report["counts"]["masks"] == 5


def test_results_keep_every_field_but_the_mask_and_load_beside_the_truth(coco, tmp_path):
    coarse = [
        result(1, 1, (5, 5, 23, 30), 0.25, id=7, extra=["kept"]),
        result(2, 1, (12, 8, 40, 33), 0.5, bbox=[12, 8, 28, 25], area=700),
        {**result(1, 18, (30, 12, 50, 40), 0.125), "segmentation": [[30, 12, 50, 12, 50, 40, 30, 40]]},
    ]
    write_json(coco.predictions, coarse)
    path, _ = refine(
        tmp_path, coco, f"dataset.annotations={coco.annotations}", f"dataset.predictions={coco.predictions}"
    )
    written = json.loads(path.read_text())
    assert [without_masks(record) for record in written] == [without_masks(record) for record in coarse]
    assert [set(record) for record in written] == [set(record) for record in coarse]
    assert [form(record) for record in written] == [(dict, str), (dict, str), (list, None)]
    assert all(new["segmentation"] != old["segmentation"] for new, old in zip(written, coarse, strict=True))
    # pycocotools takes no polygons as results, though detectors write them.
    assert len(COCO(str(coco.annotations)).loadRes(written[:2]).anns) == 2
    assert run_lengths.decode(written[0]["segmentation"]).shape == (48, 64)
