import contextlib
import copy
import io
import json
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from samref.errors import ConfigError, InputError
from samref.metrics.average_precision import AveragePrecision, average_precision
from tests.metrics.coco_data import coco_data, decode, encode, lvis_data, naive_ap


def pycocotools_ap(truth, results, iou_type, image_ids=None, by_category=True):
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = copy.deepcopy(truth)
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(copy.deepcopy(results)), iou_type)
        evaluation.params.useCats = int(by_category)
        if image_ids is not None:
            evaluation.params.imgIds = sorted(image_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:3]


@pytest.mark.parametrize("seed", range(6))
def test_boxes_and_masks_score_as_in_pycocotools(seed):
    truth, results = coco_data(seed)
    subset = [100, 86, 72]
    for image_ids in (None, subset):
        scores = average_precision(truth, results, ("bbox", "segm"), image_ids=image_ids, details=True)
        kept = [r for r in results if image_ids is None or r["image_id"] in image_ids]
        for iou_type, name in (("bbox", "ap_box"), ("segm", "ap_mask")):
            expected = pycocotools_ap(truth, kept, iou_type, image_ids)
            got = [scores[name], scores[f"{name}_50"], scores[f"{name}_75"]]
            assert got == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make", [coco_data, lvis_data])
def test_every_kind_of_ap_equals_a_naive_evaluation(seed, make):
    truth, results = make(seed)
    lvis = make is lvis_data
    scores = average_precision(truth, results, protocol="lvis" if lvis else "coco")
    for name, iou_type in (("ap_box", "bbox"), ("ap_mask", "segm"), ("ap_boundary", "boundary")):
        assert scores[name] == pytest.approx(naive_ap(truth, results, iou_type, lvis), abs=1e-9)
    assert scores["ap_boundary"] <= scores["ap_mask"]
    assert 0 < scores["ap_mask"] < 1


@pytest.mark.parametrize("seed", range(3))
def test_class_agnostic_scores_are_those_without_categories_in_pycocotools(seed):
    truth, results = coco_data(seed)
    # Of a method that finds objects without naming them.
    unnamed = [{**result, "category_id": 1000} for result in results]
    found = average_precision(truth, unnamed, ("bbox", "segm"), "class_agnostic", details=True)
    known = [{**result, "category_id": 1} for result in results]
    for iou_type, name in (("bbox", "ap_box"), ("segm", "ap_mask")):
        expected = pycocotools_ap(truth, known, iou_type, by_category=False)
        assert [found[name], found[f"{name}_50"], found[f"{name}_75"]] == pytest.approx(expected, abs=1e-9)
    assert found != average_precision(truth, known, ("bbox", "segm"), details=True)
    assert average_precision(truth, results, ("segm",), "class_agnostic")["ap_mask"] == found["ap_mask"]


def test_the_two_protocols_differ_where_categories_were_not_verified():
    truth, results = lvis_data(0)
    coco, lvis = (average_precision(truth, results, ("segm",), protocol)["ap_mask"] for protocol in ("coco", "lvis"))
    assert lvis > coco


def test_lvis_keeps_the_best_hundred_of_an_image_over_all_categories():
    truth, _ = lvis_data(1)
    image = truth["images"][0]
    target = next(a for a in truth["annotations"] if a["image_id"] == image["id"])
    mask = decode(target["segmentation"], image["height"], image["width"])
    other = next(c["id"] for c in truth["categories"] if c["id"] != target["category_id"])
    right = {"image_id": image["id"], "category_id": target["category_id"], "segmentation": encode(mask), "score": 0.1}
    noise = [{**right, "category_id": other, "score": 0.9}] * 100
    alone = average_precision(truth, [right], ("segm",), "lvis")["ap_mask"]
    assert alone > 0
    assert average_precision(truth, [*noise, right], ("segm",), "lvis")["ap_mask"] == 0
    assert average_precision(truth, [*noise[:99], right], ("segm",), "lvis")["ap_mask"] == alone
    assert average_precision(truth, [*noise, right], ("segm",), "coco")["ap_mask"] > 0


@pytest.mark.parametrize("size", [(45, 60), (225, 300), (375, 500), (100, 100)])
def test_boundary_width_is_rounded_as_the_definition_rounds(size):
    truth_mask, mask = np.zeros((2, *size), bool)
    truth_mask[5:40, 5:50] = True
    mask[5:41, 5:50] = True
    truth = {
        "images": [{"id": 1, "height": size[0], "width": size[1]}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": encode(truth_mask)}],
        "categories": [{"id": 1, "name": "thing"}],
    }
    results = [{"image_id": 1, "category_id": 1, "segmentation": encode(mask), "score": 1.0}]
    # Moving one edge by a pixel makes boundary IoU, and with it the number of thresholds met, depend on the width.
    scores = average_precision(truth, results)
    assert scores["ap_boundary"] == pytest.approx(
        naive_ap({**truth, "annotations": [{**truth["annotations"][0], "iscrowd": 0}]}, results, "boundary")
    )


def test_perfect_results_score_one_and_none_score_zero():
    truth, _ = coco_data(2)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    perfect = [
        {
            "image_id": a["image_id"],
            "category_id": a["category_id"],
            "segmentation": encode(decode(a["segmentation"], *sizes[a["image_id"]])),
            "score": 1.0,
        }
        for a in truth["annotations"]
        if not a["iscrowd"]
    ]
    assert average_precision(truth, perfect) == {"ap_box": 1.0, "ap_mask": 1.0, "ap_boundary": 1.0}
    assert average_precision(truth, []) == {"ap_box": 0.0, "ap_mask": 0.0, "ap_boundary": 0.0}


def test_nothing_to_find_is_nan():
    truth, results = coco_data(0)
    empty = {**truth, "annotations": []}
    assert all(math.isnan(value) for value in average_precision(empty, results).values())


def test_boxes_are_those_of_the_masks_whatever_the_results_say():
    truth, results = coco_data(3)
    wrong = [{**result, "bbox": [0, 0, 1, 1], "area": 1} for result in results]
    assert average_precision(truth, wrong) == average_precision(truth, results)
    boxes = [{**r, "segmentation": None, "bbox": [0, 0, 1, 1]} for r in results]
    assert average_precision(truth, boxes, ("bbox",))["ap_box"] == 0


def test_ids_may_be_words_or_zero_and_polygons_may_be_results():
    truth, results = coco_data(4)
    results = [r for r in results if r["segmentation"]["counts"]]
    names = {image["id"]: f"frame {image['id']}" for image in truth["images"]}
    # Sorted by name as by number, so that equal scores keep their order.
    names = {key: f"{key:05d}" for key in names}
    renamed = copy.deepcopy(truth)
    for image in renamed["images"]:
        image["id"] = names[image["id"]]
    for k, annotation in enumerate(renamed["annotations"]):
        annotation |= {"id": k, "image_id": names[annotation["image_id"]]}
    moved = [{**result, "image_id": names[result["image_id"]]} for result in results]
    assert average_precision(renamed, moved) == average_precision(truth, results)
    shapes = [a for a in truth["annotations"] if isinstance(a["segmentation"], list)]
    as_results = [{**{k: a[k] for k in ("image_id", "category_id", "segmentation")}, "score": 1.0} for a in shapes]
    assert average_precision({**truth, "annotations": shapes}, as_results, ("segm",))["ap_mask"] == 1


def test_input_is_left_as_it_was_and_nothing_is_printed(capfd):
    truth, results = lvis_data(5)
    before = json.dumps([truth, results])
    average_precision(truth, results, protocol="lvis")
    assert json.dumps([truth, results]) == before
    out, err = capfd.readouterr()
    assert out == err == ""


def test_the_metric_collects_images_and_reads_a_file(tmp_path):
    truth, results = coco_data(1)
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth))
    metric = AveragePrecision(path)
    for image in truth["images"]:
        metric.update([r for r in results if r["image_id"] == image["id"]])
    assert metric.compute() == average_precision(truth, results)
    metric.reset()
    assert metric.compute()["ap_mask"] == 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"image_id": 5}, "image 5, which the ground truth does not list"),
        ({"segmentation": {"size": [45, 60]}}, "expected size and counts"),
        ({"segmentation": None}, "neither segmentation nor bbox"),
        ({"segmentation": encode(np.ones((60, 45), bool))}, r"of size \[60, 45\]; expected the image's \[45, 60\]"),
    ],
)
def test_results_that_cannot_be_scored_are_named(change, complaint):
    truth, results = coco_data(0)
    first = next(r for r in results if r["image_id"] == 100)
    with pytest.raises(InputError, match=complaint):
        average_precision(truth, [{**first, **change}])


def test_what_is_no_ground_truth_or_no_option_is_named(tmp_path):
    truth, results = coco_data(0)
    (tmp_path / "list.json").write_text("[]")
    for bad in (tmp_path / "absent.json", tmp_path / "list.json", {"images": []}):
        with pytest.raises(InputError, match=r"annotations file"):
            average_precision(bad, results)
    with pytest.raises(ConfigError, match="IoU type 'mask'"):
        average_precision(truth, results, ("mask",))
    with pytest.raises(ConfigError, match="protocol 'voc'"):
        AveragePrecision(truth, protocol="voc")
    del truth["images"][0]["height"]
    with pytest.raises(InputError, match="height None and width 60"):
        average_precision(truth, results)
