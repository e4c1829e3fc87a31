import copy
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from samref.datasets.coco.coco import CocoDataset
from samref.structures import EMPTY, FALLBACK, REFINED
from tests.factories_benchmarks import annotation, make_coco, rectangle, refined, result, rle, write_json


@pytest.fixture
def coco(tmp_path):
    return make_coco(tmp_path / "coco")


def results_dataset(coco, **options):
    return CocoDataset(images=coco.images, annotations=coco.annotations, predictions=coco.predictions, **options)


def shifted(masks):
    return np.roll(masks, 1, axis=2)


def write_all(data, output, indices=None):
    writer = data.writer(output)
    for k in range(len(data)) if indices is None else indices:
        writer.write(data[k], refined(shifted(data[k].masks)))
    writer.close()
    return json.loads(writer.path.read_text())


def test_results_come_back_in_order_with_only_the_masks_changed(coco, tmp_path):
    written = write_all(results_dataset(coco), tmp_path / "out")
    expected = copy.deepcopy(coco.results)
    for record, box in zip(expected, [(6, 5, 24, 30), (13, 8, 41, 33), (31, 12, 51, 40)], strict=True):
        record["segmentation"] = rle(rectangle(*box))
    assert written == expected
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]


def test_annotations_come_back_whole_as_polygons_with_area_and_box_in_step(coco, tmp_path):
    data = CocoDataset(images=coco.images, annotations=coco.annotations)
    written = write_all(data, tmp_path / "out")
    assert {key: written[key] for key in written if key != "annotations"} == {
        key: coco.content[key] for key in coco.content if key != "annotations"
    }
    first, *_, crowd = written["annotations"]
    assert isinstance(first["segmentation"], list) and (first["bbox"], first["area"]) == ([6, 5, 20, 25], 500)
    assert crowd == coco.content["annotations"][-1]
    again = COCO(str(tmp_path / "out" / "instances_val2017.json"))
    assert (again.annToMask(again.loadAnns(102)[0]).astype(bool) == rectangle(31, 10, 51, 40)).all()


def test_masks_that_were_not_refined_keep_their_record(coco, tmp_path):
    data = results_dataset(coco)
    writer = data.writer(tmp_path)
    writer.write(data[0], refined(shifted(data[0].masks), [FALLBACK, REFINED]))
    writer.write(data[1], refined(shifted(data[1].masks), [EMPTY]))
    writer.close()
    written = json.loads(writer.path.read_text())
    assert written[:2] == coco.results[:2]
    assert written[2]["segmentation"] == rle(rectangle(31, 12, 51, 40))


def test_a_file_in_which_nothing_changed_is_a_copy(coco, tmp_path):
    coco.predictions.write_text(json.dumps(coco.results, indent=3))
    data = results_dataset(coco)
    writer = data.writer(tmp_path / "out")
    for k in range(len(data)):
        writer.write(data[k], refined(data[k].masks))
    writer.close()
    assert writer.path.read_bytes() == coco.predictions.read_bytes()


def test_an_image_that_failed_keeps_its_records(coco, tmp_path):
    written = write_all(results_dataset(coco), tmp_path, indices=[1])
    assert [written[0], written[2]] == [coco.results[0], coco.results[2]]
    assert written[1] != coco.results[1]


def test_what_an_image_leaves_can_be_kept_as_json_and_is_all_that_a_later_writer_needs(coco, tmp_path):
    data = results_dataset(coco)
    first = data.writer(tmp_path / "first")
    kept = [json.dumps(first.write(data[k], refined(shifted(data[k].masks)))) for k in range(2)]
    first.close()
    later = data.writer(tmp_path / "later")
    for k in (1, 0):
        later.restore(data.image_id(k), json.loads(kept[k]))
    later.close()
    assert later.path.read_bytes() == first.path.read_bytes()
    assert [path.name for path in later.path.parent.iterdir()] == ["predictions.json"]


def test_what_an_image_leaves_stays_true_when_its_records_move_in_the_file(coco, tmp_path):
    data = results_dataset(coco)
    kept = data.writer(tmp_path / "before").write(data[0], refined(shifted(data[0].masks)))
    write_json(coco.predictions, [result(3, 1, (1, 1, 9, 9)), *coco.results])
    moved = results_dataset(coco)
    later = moved.writer(tmp_path / "after")
    later.restore(moved.image_id(0), kept)
    later.close()
    written = json.loads(later.path.read_text())
    assert written[1]["segmentation"] == rle(rectangle(6, 5, 24, 30))
    assert [written[0], written[2]] == [result(3, 1, (1, 1, 9, 9)), coco.results[1]]


def test_nothing_stands_under_the_final_name_before_the_end(coco, tmp_path):
    data = results_dataset(coco)
    writer = data.writer(tmp_path)
    writer.write(data[0], refined(data[0].masks))
    assert not writer.path.exists()


def test_images_outside_the_list_are_left_out(coco, tmp_path):
    ids = write_json(tmp_path / "ids.json", [2])
    assert [record["image_id"] for record in write_all(results_dataset(coco, image_ids=ids), tmp_path / "a")] == [2]
    data = CocoDataset(images=coco.images, annotations=coco.annotations, image_ids=ids)
    written = write_all(data, tmp_path / "b")
    assert [image["id"] for image in written["images"]] == [2]
    assert [record["id"] for record in written["annotations"]] == [201]


def test_records_without_area_and_box_do_not_get_them(coco, tmp_path):
    record = annotation(101, 1, 1, (5, 5, 25, 30))
    del record["area"], record["bbox"]
    coco.content["annotations"] = [record]
    write_json(coco.annotations, coco.content)
    (written,) = write_all(CocoDataset(images=coco.images, annotations=coco.annotations), tmp_path / "out")[
        "annotations"
    ]
    assert set(written) == set(record)
