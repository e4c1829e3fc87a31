import copy
import json
import re

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from samref.datasets.coco.coco import CocoDataset
from samref.errors import DatasetError, InputError
from samref.geometry.masks import crop_mask
from samref.structures import Prompts, Refinement
from tests.factories_benchmarks import SIZE, annotation, make_coco, polygon, rectangle, result, write_json


@pytest.fixture
def coco(tmp_path):
    return make_coco(tmp_path / "coco")


def dataset(coco, **options):
    return CocoDataset(
        **{"images": coco.images, "annotations": coco.annotations, "predictions": coco.predictions, **options}
    )


def with_annotations(coco, *more):
    coco.content["annotations"] += more
    write_json(coco.annotations, coco.content)
    return dataset(coco, predictions=None)


def reasons(data):
    return [failure.reason for failure in data.problems]


def test_a_sample_is_an_image_with_all_its_masks(coco):
    data = dataset(coco)
    assert [data.image_id(k) for k in range(len(data))] == [1, 2]
    sample = data[0]
    assert sample.original_size == SIZE and sample.truth is None
    assert (sample.masks == np.stack([rectangle(5, 5, 23, 30), rectangle(30, 12, 50, 40)])).all()
    assert sample.object_ids == (0, 2)
    assert [record["score"] for record in sample.meta["records"]] == [0.9, 0.7]
    assert (data.protocol, data.eval_protocol, data.ground_truth) == ("average_precision", "coco", coco.annotations)


def test_without_categories_all_objects_are_one_kind(coco):
    unnamed = [{**one, "category_id": 500} for one in coco.results]
    write_json(coco.predictions, unnamed)
    by_category, agnostic = dataset(coco), dataset(coco, class_agnostic=True)
    assert any("count nowhere" in warning for warning in by_category.warnings)
    assert not agnostic.warnings
    assert agnostic.eval_protocol == "class_agnostic"
    scores = []
    for data in (by_category, agnostic):
        scorer = data.scorer()
        for sample in data:
            scorer.coarse.update(data.results(sample, sample.masks))
        scores.append(scorer.coarse.compute()["ap_mask"])
    assert scores[0] == 0 < scores[1]


def test_a_root_and_a_split_are_enough(coco):
    data = CocoDataset(root=coco.root, split="val2017")
    assert data.ground_truth == coco.annotations
    assert len(data[0].masks) == 2


def test_without_predictions_the_annotations_are_refined_and_crowds_are_not(coco):
    data = dataset(coco, predictions=None)
    assert [data.image_id(k) for k in range(len(data))] == [1, 2]
    assert data[0].object_ids == (101, 102)
    assert (data[0].masks[0] == rectangle(5, 5, 25, 30)).all()
    assert reasons(data) == []


def test_annotations_may_be_the_coarse_masks_of_another_ground_truth(coco, tmp_path):
    coarse = write_json(tmp_path / "coarse.json", {**coco.content, "annotations": [annotation(7, 2, 1, (1, 1, 9, 9))]})
    data = dataset(coco, predictions=coarse)
    assert [sample.object_ids for sample in (data[0],)] == [(7,)]


def test_box_prompts_are_scored_and_tight_ones_are_the_boxes_of_the_coarse_masks(coco):
    data = dataset(coco)
    scorers = {name: data.scorer() for name in ("tight", "grown", "none")}
    for sample in (data[k] for k in range(len(data))):
        tight = np.array([crop_mask(mask).box for mask in sample.masks], np.float32)
        boxes = {"tight": tight, "grown": tight + np.float32([-9, -9, 9, 9]), "none": None}
        for name, scorer in scorers.items():
            count = len(sample.masks)
            predicted = np.zeros((count, 3), np.float32)
            prompts = Prompts(boxes=boxes[name])
            chosen = np.zeros(count, np.int64)
            scorer.update(sample, Refinement(sample.masks, chosen, predicted[:, 0], predicted, prompts, ("",) * count))
    found = {name: scorer.compute() for name, scorer in scorers.items()}
    assert found["tight"]["refined"]["ap_prompt_box"] == found["tight"]["coarse"]["ap_box"] > 0.5
    assert found["grown"]["refined"]["ap_prompt_box"] < found["tight"]["refined"]["ap_prompt_box"]
    assert "ap_prompt_box" not in found["none"]["refined"]


def test_without_ground_truth_nothing_is_scored_and_images_go_by_their_number(coco):
    data = dataset(coco, annotations=None)
    assert (data.protocol, data.ground_truth, len(data)) == ("none", None, 2)
    assert (data[1].masks[0] == rectangle(12, 8, 40, 33)).all()


def test_an_image_list_without_annotations_names_files_and_is_no_truth(coco):
    write_json(coco.annotations, {"images": coco.content["images"]})
    assert dataset(coco).protocol == "none"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ids.txt", "000000000002\n"),
        ("ids.json", "[2]"),
        ("r.json", '[{"image_id": 2}]'),
        ("a.json", '{"images": [{"id": 2}]}'),
    ],
)
def test_image_ids_restrict_the_run(coco, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    data = dataset(coco, image_ids=tmp_path / name)
    assert [data.image_id(k) for k in range(len(data))] == [2]
    assert data.image_ids == {2}


def test_bad_records_are_reported_and_the_rest_goes_on(coco):
    data = with_annotations(
        coco,
        annotation(401, 4, 1, (0, 0, 9, 9), segmentation=[]),
        annotation(402, 4, 1, (0, 0, 9, 9), segmentation=polygon(100, 100, 120, 120)),
        annotation(403, 4, 1, (0, 0, 9, 9), segmentation={"size": [3, 3], "counts": [9]}),
        annotation(101, 4, 1, (0, 0, 9, 9)),
        annotation(404, 77, 1, (0, 0, 9, 9)),
        {"id": 405, "category_id": 1},
        {"id": 406, "image_id": 4, "category_id": 1, "bbox": [0, 0, 9, 9]},
        annotation(407, 4, 1, (0, 0, 9, 9)),
    )
    assert [(data.image_id(k), data[k].object_ids) for k in range(len(data))] == [
        (1, (101, 102)),
        (2, (201,)),
        (4, (407,)),
    ]
    expected = ["three points", "outside", r"size \[3, 3\]", "id of an earlier", "405", "NoneType", "77"]
    assert len(data.problems) == len(expected)
    for words, reason in zip(expected, reasons(data), strict=True):
        assert re.search(words, reason)


def test_run_lengths_that_only_decoding_shows_broken_are_reported_with_their_sample(coco):
    broken = annotation(203, 2, 1, (0, 0, 9, 9), segmentation={"size": list(SIZE), "counts": "PPP"})
    data = with_annotations(coco, broken)
    sample = data[1]
    assert sample.object_ids == (201,)
    assert [failure.image_id for failure in sample.meta["problems"]] == [2]
    assert "annotation 203 of instances_val2017.json" in sample.meta["problems"][0].reason


def test_a_missing_image_file_costs_that_image_only(coco):
    (coco.images / "000000000001.jpg").unlink()
    data = dataset(coco)
    assert [data.image_id(k) for k in range(len(data))] == [2]
    assert "masks that stay as they are: 2" in reasons(data)[0]


def test_an_image_listed_twice_is_reported(coco):
    coco.content["images"].append({"id": 1, "file_name": "other.jpg"})
    write_json(coco.annotations, coco.content)
    data = dataset(coco)
    assert "listed twice" in reasons(data)[0] and len(data) == 2


def test_an_image_of_another_size_is_an_input_error(coco):
    Image.new("RGB", (10, 10)).save(coco.images / "000000000001.jpg")
    with pytest.raises(InputError, match=r"\(10, 10\)"):
        dataset(coco)[0]


def test_results_keep_all_fields_but_the_mask(coco, tmp_path):
    record = result(1, 18, (5, 5, 9, 9), 0.25, id=5, bbox=[1, 1, 1, 1], area=3, extra="kept")
    data = dataset(coco, predictions=write_json(tmp_path / "p.json", [record]))
    (got,) = data.results(data[0], rectangle(2, 3, 10, 20)[None])
    assert (coco_mask.decode(got["segmentation"]).astype(bool) == rectangle(2, 3, 10, 20)).all()
    assert (got["bbox"], got["area"]) == ([2, 3, 8, 17], 136)
    kept = ("score", "category_id", "image_id", "id", "extra")
    assert {key: got[key] for key in kept} == {key: record[key] for key in kept}


def test_annotations_are_scored_with_score_one(coco):
    data = dataset(coco, predictions=None)
    assert [entry["score"] for entry in data.results(data[0], data[0].masks)] == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_unrefined_results_score_as_the_file_does(coco, kind):
    data = dataset(coco)
    entries = [entry for k in range(len(data)) for entry in data.results(data[k], data[k].masks)]
    assert average_precision(coco, entries, kind) == average_precision(coco, coco.results, kind)
    assert average_precision(coco, entries, kind)[0] > 0.5


def average_precision(coco, entries, kind):
    truth = COCO(str(coco.annotations))
    evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(entries)), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats.tolist()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"images": None}, "dataset.images=DIR"),
        ({"annotations": None, "predictions": None}, "dataset.predictions=FILE"),
        ({"images": "nowhere"}, "nowhere is not a folder"),
        ({"annotations": "nowhere.json"}, "nowhere.json cannot be read"),
        ({"image_ids": "nowhere.txt"}, "nowhere.txt is missing"),
        ({"root": "somewhere"}, "dataset.split"),
    ],
)
def test_what_is_missing_is_named_with_the_option_that_fixes_it(coco, options, words):
    with pytest.raises(DatasetError, match=words):
        dataset(coco, **options)


@pytest.mark.parametrize("text", ["{", "5", '{"images": 3}', "[1, 2]", "[" * 100000])
def test_a_file_that_is_not_coco_is_named(coco, text):
    coco.predictions.write_text(text)
    with pytest.raises(DatasetError, match=r"predictions\.json.*dataset\.predictions"):
        dataset(coco)


def test_results_given_as_ground_truth_are_refused(coco):
    with pytest.raises(DatasetError, match=r"dataset\.predictions=FILE"):
        dataset(coco, annotations=coco.predictions)


def test_boxes_without_masks_leave_nothing_to_refine(coco):
    coco.predictions.write_text(json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 1}]))
    with pytest.raises(DatasetError, match="no mask"):
        dataset(coco)
