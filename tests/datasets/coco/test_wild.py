"""COCO files as they are in the wild: ids and sizes of other types, polygons nested otherwise, other names."""

import codecs
import json

import pytest

from samref.datasets.coco.coco import CocoDataset
from samref.errors import DatasetError, InputError
from samref.metrics.average_precision import average_precision
from tests.factories_benchmarks import SIZE, annotation, make_coco, polygon, rectangle, refined, save_image, write_json


@pytest.fixture
def coco(tmp_path):
    return make_coco(tmp_path / "coco")


def dataset(coco, **options):
    return CocoDataset(
        **{"images": coco.images, "annotations": coco.annotations, "predictions": coco.predictions, **options}
    )


def with_results(coco, change):
    return dataset(coco, predictions=write_json(coco.predictions, [change(dict(record)) for record in coco.results]))


def with_truth(coco, part, change):
    return write_json(coco.annotations, {**coco.content, part: [change(dict(record)) for record in coco.content[part]]})


def reasons(data):
    return [failure.reason for failure in data.problems]


def score(data):
    scorer = data.scorer()
    for k in range(len(data)):
        scorer.update(data[k], refined(data[k].masks))
    return scorer.compute()["coarse"]


IDS = {
    "text": str,
    "fractions": float,
    "file names": lambda image_id: f"{image_id:012d}.jpg",
    "stems": lambda image_id: f"{image_id:012d}",
    "paths": lambda image_id: f"val2017/{image_id:012d}.jpg",
}


@pytest.mark.parametrize("kind", IDS)
def test_image_ids_of_another_type_are_the_same_ids(coco, tmp_path, kind):
    expected = score(dataset(coco))
    data = with_results(coco, lambda record: {**record, "image_id": IDS[kind](record["image_id"])})
    assert (reasons(data), [data.image_id(k) for k in range(len(data))]) == ([], [1, 2])
    assert score(data) == expected
    writer = data.writer(tmp_path / "out")
    writer.close()
    assert json.loads(writer.path.read_text()) == json.loads(coco.predictions.read_text())


@pytest.mark.parametrize("kind", [float, str])
def test_categories_sizes_and_ids_may_be_fractions_or_text(coco, kind):
    expected = score(dataset(coco))
    with_truth(coco, "images", lambda r: {**r, "height": kind(r["height"]), "width": kind(r["width"])})
    coco.content = json.loads(coco.annotations.read_text())
    with_truth(coco, "categories", lambda r: {**r, "id": kind(r["id"])})
    coco.content = json.loads(coco.annotations.read_text())
    with_truth(coco, "annotations", lambda r: {**r, "image_id": kind(r["image_id"])})
    data = with_results(coco, lambda record: {**record, "category_id": kind(record["category_id"])})
    assert (reasons(data), data.warnings) == ([], [])
    assert score(data) == expected


@pytest.mark.parametrize("kind", [int, float, str])
def test_the_size_of_an_image_is_checked_whatever_its_type(coco, kind):
    with_truth(coco, "images", lambda r: {**r, "height": kind(r["height"] + 2)})
    data = dataset(coco, annotations=None, predictions=coco.annotations)
    with pytest.raises(InputError, match=r"\(48, 64\).*expected \(50, 64\)"):
        data[0]


def test_a_size_that_is_no_number_is_a_warning(coco):
    with_truth(coco, "images", lambda r: {**r, "height": "tall"})
    data = dataset(coco, annotations=None, predictions=coco.annotations)
    assert data.warnings == ["4 image records have a height or width that is no number; sizes go unchecked"]


def test_true_is_no_image_id(coco):
    data = with_results(coco, lambda r: {**r, "image_id": r["image_id"] == 1 or 2})
    assert [data.image_id(k) for k in range(len(data))] == [2]
    assert len(data.problems) == 2


def test_numbers_of_file_names_are_believed_where_ids_are_not_found(coco):
    # Detectors write the number in a file's name where the records count from 0.
    with_truth(coco, "images", lambda r: {**r, "id": r["id"] + 100})
    coco.content = json.loads(coco.annotations.read_text())
    with_truth(coco, "annotations", lambda r: {**r, "image_id": r["image_id"] + 100})
    data = dataset(coco)
    assert [data.image_id(k) for k in range(len(data))] == [101, 102]
    assert "taken as the numbers in the file names: 2 of 2" in data.warnings[0]
    assert score(data)["ap_mask"] > 0.5


def test_ids_that_are_numbers_of_other_file_names_as_well_are_a_warning(coco):
    with_truth(coco, "images", lambda r: {**r, "file_name": f"{r['id'] % 4 + 1:012d}.jpg"})
    (warning,) = dataset(coco).warnings
    assert "2 image ids of predictions.json are both ids of image records and numbers in other file names" in warning


def test_a_text_of_zeros_and_a_number_is_a_file_before_it_is_an_id(coco):
    with_truth(coco, "images", lambda r: {**r, "file_name": f"{r['id'] % 4 + 1:012d}.jpg"})
    data = with_results(coco, lambda r: {**r, "image_id": f"{r['image_id']:012d}"})
    assert sorted(data.image_id(k) for k in range(len(data))) == [1, 4]


def test_crowds_are_crowds_as_text_too(coco):
    with_truth(coco, "annotations", lambda r: {**r, "iscrowd": str(r["iscrowd"])})
    data = dataset(coco, predictions=None)
    assert [data[k].object_ids for k in range(len(data))] == [(101, 102), (201,)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_byte_order_mark_and_other_encodings_are_read(coco, encoding):
    coco.predictions.write_bytes(json.dumps(coco.results).encode(encoding))
    coco.annotations.write_bytes(codecs.BOM_UTF8 + json.dumps(coco.content).encode())
    assert score(dataset(coco))["ap_mask"] > 0.5


def test_categories_that_do_not_meet_are_a_warning(coco):
    assert dataset(coco).warnings == []
    (warning,) = with_results(coco, lambda r: {**r, "category_id": r["category_id"] - 1}).warnings
    assert warning.startswith("no category of predictions.json in the ground truth: {0, 17} against {1, 18}, so 3 of 3")
    (warning,) = with_results(coco, lambda r: {**r, "category_id": min(r["category_id"], 2)}).warnings
    assert warning.startswith("only 1 of 2 categories of predictions.json in the ground truth: {2}")


def test_categories_of_other_names_are_a_warning(coco, tmp_path):
    other = {**coco.content, "categories": [{"id": 1, "name": "dog"}, {"id": 18, "name": "dog"}]}
    data = dataset(coco, predictions=write_json(tmp_path / "coarse.json", other))
    assert data.warnings == [
        "1 categories have other names in coarse.json than in the ground truth: 1 is 'dog' there and 'person' here"
    ]


def test_ids_that_mean_other_files_in_the_two_files_are_refused(coco, tmp_path):
    images = [{**record, "file_name": f"{record['id'] % 4 + 1:012d}.jpg"} for record in coco.content["images"]]
    coarse = write_json(tmp_path / "coarse.json", {**coco.content, "images": images})
    with pytest.raises(DatasetError, match=r"image 1 is 0+1\.jpg in .* and 0+2\.jpg in coarse\.json"):
        dataset(coco, predictions=coarse)
    images = [{**record, "file_name": f"COCO_val2014_{record['file_name']}"} for record in coco.content["images"]]
    assert len(dataset(coco, predictions=write_json(coarse, {**coco.content, "images": images}))) == 2


def renamed(coco, names):
    images = [{**record, "file_name": names[record["id"]]} for record in coco.content["images"]]
    return dataset(coco, annotations=None, predictions=write_json(coco.annotations, {**coco.content, "images": images}))


def test_a_named_image_is_never_found_by_its_number(coco):
    names = {1: "one.jpg", 2: "000000000002.jpg", 3: "c.jpg", 4: "d.jpg"}
    data = renamed(coco, names)
    assert [data.image_id(k) for k in range(len(data))] == [2]
    assert reasons(data) == [f"image 1: one.jpg is not in {coco.images}; masks that stay as they are: 2"]


def test_folders_and_paths_of_other_systems_stand_in_front_of_names(coco):
    save_image(coco.images / "a" / "frame_1.jpg", 0)
    data = renamed(coco, {1: "images/a/frame_1.jpg", 2: "C:\\x\\000000000002.jpg", 3: "", 4: ""})
    assert [data.image_id(k) for k in range(len(data))] == [1, 2]


def test_results_alone_find_images_by_name_or_number_if_only_one_fits(coco, tmp_path):
    save_image(coco.images / "0001.png", 0)
    records = [{**coco.results[0], "image_id": value} for value in (1, "000000000002", "000000000003.jpg", "missing")]
    data = dataset(coco, annotations=None, predictions=write_json(tmp_path / "p.json", records))
    assert [data.image_id(k) for k in range(len(data))] == [1, "000000000002", "000000000003.jpg"]
    (coco.images / "000000000001.jpg").rename(coco.images / "1.jpg")
    data = dataset(coco, annotations=None, predictions=tmp_path / "p.json")
    assert "several files may be 1" in reasons(data)[0]


POLYGON = polygon(12, 8, 40, 33)[0]
PAIRS = [[x, y] for x, y in zip(POLYGON[::2], POLYGON[1::2], strict=True)]


def depth(segmentation):
    """How deep lists are nested, and how long the innermost are if they are points."""
    inner = segmentation[0]
    return (1, 0) if not isinstance(inner, list) else (1 + depth(inner)[0], len(inner) == 2)


@pytest.mark.parametrize("segmentation", [POLYGON, PAIRS, [PAIRS], [POLYGON]], ids=["flat", "pairs", "nested", "coco"])
def test_polygons_are_read_however_they_are_nested_and_come_back_so(coco, segmentation):
    coco.content["annotations"] = [annotation(1, 2, 1, (12, 8, 40, 33), segmentation=segmentation)]
    data = dataset(coco, annotations=None, predictions=write_json(coco.annotations, coco.content))
    assert (data[0].masks[0] == rectangle(12, 8, 40, 33)).all()
    (record,) = data.records(data[0], rectangle(12, 8, 40, 34)[None])
    assert depth(record["segmentation"]) == depth(segmentation)
    (record,) = data.records(data[0], (rectangle(0, 0, 5, 5) | rectangle(30, 8, 40, 34))[None])
    assert len(record["segmentation"]) == 2


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[v / 64 for v in POLYGON]], r"coordinates from 0\.125 to 0\.625 are fractions"),
        ([[0, 0, 1, 0, 1, 1, 0, 1]], "fractions"),
        ([{"x": 1, "y": 2}], r"list of dict .* expected a list of polygons, each a list of numbers: \[\[x, y, x, y"),
        ([[[POLYGON]]], "expected a list of polygons"),
        ([POLYGON, [1, 2, 3, 4, 5, 6, 7]], "7 numbers"),
    ],
)
def test_polygons_that_mean_something_else_are_refused_never_empty(coco, segmentation, words):
    coco.content["annotations"] = [annotation(1, 2, 1, (12, 8, 40, 33), segmentation=segmentation)]
    with pytest.raises(DatasetError, match=words):
        dataset(coco, annotations=None, predictions=write_json(coco.annotations, coco.content))


def test_run_lengths_may_hold_whole_fractions_and_sizes_as_text(coco):
    counts = [100.0, 50.0, float(SIZE[0] * SIZE[1] - 150)]
    segmentation = {"size": [str(SIZE[0]), float(SIZE[1])], "counts": counts}
    coco.content["annotations"] = [annotation(1, 2, 1, (12, 8, 40, 33), segmentation=segmentation)]
    data = dataset(coco, predictions=write_json(coco.annotations, coco.content))
    assert data[0].masks.sum() == 50
    assert average_precision(coco.content, data.results(data[0], data[0].masks))["ap_mask"] == 1


def test_a_list_of_images_may_name_them_in_another_type(coco, tmp_path):
    data = dataset(coco, image_ids=write_json(tmp_path / "ids.json", ["000000000002.jpg", "nine"]))
    assert ([data.image_id(k) for k in range(len(data))], data.image_ids) == ([2], {2})
    assert data.warnings == ["1 of 2 ids in dataset.image_ids are of no image record, as 'nine'"]
    writer = data.writer(tmp_path / "out")
    writer.close()
    assert json.loads(writer.path.read_text()) == [coco.results[1]]
