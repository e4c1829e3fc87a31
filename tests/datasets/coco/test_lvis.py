import json

import pytest

from samref.datasets.coco.coco import CocoDataset
from samref.datasets.coco.cocofied import COCO_SYNSETS, cocofy, cocofy_file
from samref.datasets.coco.lvis import LvisDataset
from samref.errors import DatasetError
from tests.factories_benchmarks import make_coco, make_lvis, refined


@pytest.mark.parametrize("version", ["v0.5", "v1"])
@pytest.mark.parametrize("folder", ["val2017", "."])
def test_images_are_found_by_either_versions_names(tmp_path, version, folder):
    lvis = make_lvis(tmp_path, version)
    data = LvisDataset(images=tmp_path / folder, annotations=lvis.annotations, predictions=lvis.predictions)
    assert [(data.image_id(k), len(data[k].masks)) for k in range(len(data))] == [(11, 1), (12, 1)]
    assert (data.protocol, data.eval_protocol, data.problems) == ("average_precision", "lvis", [])


def test_the_truth_refined_comes_back_with_lviss_fields(tmp_path):
    lvis = make_lvis(tmp_path)
    data = LvisDataset(images=lvis.images, annotations=lvis.annotations)
    writer = data.writer(tmp_path / "out")
    for k in range(len(data)):
        writer.write(data[k], refined(data[k].masks))
    writer.close()
    written = json.loads(writer.path.read_text())
    assert written["images"] == lvis.content["images"] and written["categories"] == lvis.content["categories"]
    assert [record["id"] for record in written["annotations"]] == [1, 2, 3]


def test_coco_annotations_are_not_lvis(tmp_path):
    coco = make_coco(tmp_path)
    with pytest.raises(DatasetError, match=r"neg_category_ids.*dataset=coco"):
        LvisDataset(images=coco.images, annotations=coco.annotations)


def test_cocofying_keeps_cocos_categories_everywhere(tmp_path):
    content = make_lvis(tmp_path).content
    reduced = cocofy(content)
    assert [(c["id"], c["name"], c["frequency"]) for c in reduced["categories"]] == [
        (1, "person", "f"),
        (18, "dog", "f"),
    ]
    assert [(a["id"], a["category_id"]) for a in reduced["annotations"]] == [(1, 18), (3, 1)]
    assert [image["neg_category_ids"] for image in reduced["images"]] == [[], []]
    assert [image["not_exhaustive_category_ids"] for image in reduced["images"]] == [[18], [18]]
    assert content == make_lvis(tmp_path / "again").content


def test_the_cocofied_truth_is_lvis_again(tmp_path):
    lvis = make_lvis(tmp_path)
    sentence = cocofy_file(lvis.annotations, tmp_path / "out.json")
    assert "2 of 3 annotations in 2 of COCO's 80 categories" in sentence
    data = LvisDataset(images=lvis.images, annotations=tmp_path / "out.json")
    assert [record["category_id"] for k in (0, 1) for record in data[k].meta["records"]] == [18, 1]


def test_there_are_cocos_80_categories_with_a_synset_each():
    ids, names, synsets = zip(*COCO_SYNSETS, strict=True)
    assert len(set(ids)) == len(set(names)) == len(set(synsets)) == 80
    assert sorted(ids) == list(ids) and set(range(1, 91)) - set(ids) == {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert all(synset.split(".")[1] == "n" for synset in synsets)


@pytest.mark.parametrize("content", [{}, [], {"images": [], "annotations": [], "categories": [{"id": 1}]}])
def test_cocofying_something_else_says_so(content):
    with pytest.raises(DatasetError, match="LVIS"):
        cocofy(content)


def test_cocos_masks_may_be_scored_by_lvis_truth(tmp_path):
    lvis, coco = make_lvis(tmp_path / "lvis"), make_coco(tmp_path / "coco")
    for record in coco.content["annotations"]:
        record["image_id"] = 11
    coco.annotations.write_text(json.dumps(coco.content))
    data = LvisDataset(images=lvis.images, annotations=lvis.annotations, predictions=coco.annotations)
    assert data[0].object_ids == (101, 102, 201)
    assert CocoDataset(images=lvis.images, annotations=lvis.annotations).eval_protocol == "coco"
