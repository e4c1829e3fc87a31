"""What fuzzing has found, each as the smallest file that showed it: they crashed, hung or took all memory once."""

import io
import json
import pickle
import time

import numpy as np
import pytest

from samref.config.compose import compose_config, plain
from samref.datasets.coco.coco import CocoDataset
from samref.datasets.coco.cocofied import cocofy_file
from samref.datasets.coco.lvis import LvisDataset
from samref.datasets.davis import Davis
from samref.datasets.voc.labels import read_activation_labels
from samref.datasets.voc.npy_dicts import read_dict
from samref.errors import DatasetError, InputError
from samref.io.atomic import write_text
from samref.io.coco_files import read_image_ids
from samref.io.image_folder import ImageFolder
from samref.metrics.average_precision import average_precision
from samref.refiners.external_records import RecordMasks
from samref.report.runs import read_runs
from tests.factories import make_davis
from tests.factories_benchmarks import make_coco, make_lvis, write_json
from tests.robustness.targets import tolerant


@pytest.fixture
def coco(tmp_path):
    return make_coco(tmp_path / "coco")


@pytest.fixture
def lvis(tmp_path):
    return make_lvis(tmp_path / "lvis")


def changed(made, part, place, **fields):
    content = json.loads(json.dumps(made.content))
    content[part][place] |= fields
    return write_json(made.annotations, content)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [48, 64], "counts": "PPYo1"},  # runs beyond the image: the evaluator read memory that is not its own
        {"size": [48, 64], "counts": "0" * 50},
        {"size": [48, 64], "counts": [1, 2, 3]},
        {"size": [48, 64], "counts": [1536.5, 1535.5]},
        [[float("nan")] * 8],
        [[1e9, 0, 0, 0, 0, 1e9]],
        [[0, 0, 10**400, 0, 9, 9]],
        [["0", "0", "9", "0", "9", "9"]],
        [[1, 2, 3]],
        "text",
        7,
    ],
)
def test_a_broken_mask_of_the_ground_truth_is_named_before_anything_is_refined(coco, segmentation):
    path = changed(coco, "annotations", 0, segmentation=segmentation)
    with pytest.raises(InputError, match="cannot be scored"):
        CocoDataset(coco.images, path, coco.predictions).scorer()


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("annotations", {"category_id": []}),
        ("annotations", {"category_id": 2**63}),
        ("annotations", {"category_id": 77}),
        ("annotations", {"image_id": None}),
        ("annotations", {"bbox": [1, 2, 3]}),
        ("annotations", {"bbox": [1, 2, 3, "4"]}),
        ("images", {"height": 2**40}),
        ("images", {"height": "tall"}),
        ("images", {"width": 0}),
        ("categories", {"id": "one"}),
    ],
)
def test_a_broken_record_of_the_ground_truth_is_named(coco, part, fields):
    content = json.loads(json.dumps(coco.content))
    content[part][0] |= fields
    with pytest.raises(InputError):
        average_precision(content, coco.results)


@pytest.mark.parametrize("record", ["text", 1, None, []])
def test_a_record_that_is_no_object_is_reported(coco, record):
    content = {**coco.content, "annotations": [record, *coco.content["annotations"]]}
    dataset = CocoDataset(coco.images, None, write_json(coco.annotations, content))
    assert "has no image_id" in dataset.problems[0].reason
    with pytest.raises(InputError, match="expected objects"):
        RecordMasks(coco.annotations)


@pytest.mark.parametrize(
    "fields", [{"category_id": None}, {"category_id": "one"}, {"score": "high"}, {"score": float("nan")}]
)
def test_a_result_that_could_not_be_scored_is_reported_and_the_rest_is_scored(coco, fields):
    results = [{**coco.results[0], **fields}, *coco.results[1:]]
    dataset = CocoDataset(coco.images, coco.annotations, write_json(coco.predictions, results))
    assert len(dataset.problems) == 1
    assert dataset.scorer().compute()["coarse"]["ap_mask"] == 0


def test_results_of_a_category_that_the_ground_truth_lacks_are_left_out(coco):
    results = [*coco.results, {**coco.results[0], "category_id": 600}]
    assert average_precision(coco.content, results) == average_precision(coco.content, coco.results)


@pytest.mark.parametrize("ids", [[600], ["7"], [[7]], [None]])
def test_lists_of_categories_hold_known_numbers(lvis, ids):
    path = changed(lvis, "images", 0, neg_category_ids=ids)
    tolerant(lambda: LvisDataset(lvis.images, path).scorer().compute())


@pytest.mark.parametrize("frequency", ["x", 0, None])
def test_an_unknown_frequency_changes_nothing(coco, frequency):
    content = {**coco.content, "categories": [{**c, "frequency": frequency} for c in coco.content["categories"]]}
    assert average_precision(content, coco.results) == average_precision(coco.content, coco.results)


@pytest.mark.parametrize("part", ["images", "annotations", "categories"])
@pytest.mark.parametrize("record", [7, "text", {"id": []}, {"neg_category_ids": 5, "category_id": 1, "id": 1}])
def test_broken_lvis_records_are_not_cocofied(lvis, tmp_path, part, record):
    path = write_json(lvis.annotations, {**lvis.content, part: [record]})
    tolerant(lambda: cocofy_file(path, tmp_path / "out.json"))


@pytest.mark.parametrize("content", [b"1\n\xff\n", "\N{SUPERSCRIPT TWO}\n".encode(), b"9" * 5000])
def test_lists_of_image_ids_may_hold_any_bytes(tmp_path, content):
    (tmp_path / "ids.txt").write_bytes(content)
    tolerant(lambda: read_image_ids(tmp_path / "ids.txt"))


@pytest.mark.parametrize("name", ["a" * 5000, "a/" * 3000 + "b", "x\x00y", "\udc80.jpg", "²"])
def test_an_image_may_have_any_name_in_a_json(coco, name):
    (coco.images / "\N{SUPERSCRIPT TWO}.jpg").touch()
    assert ImageFolder(coco.images).find(name) in (None, coco.images / "².jpg")


def test_half_characters_reach_messages_and_files_as_escapes(tmp_path):
    str(InputError("\ud800")).encode()
    write_text(tmp_path / "x", "\ud800")
    assert (tmp_path / "x").read_text() == "\\ud800"


def test_line_breaks_and_what_terminals_obey_reach_messages_as_escapes():
    assert str(InputError("a\nb\x1b[2J\u2028c\x9b \N{SNOWMAN}")) == r"a\nb\x1b[2J\u2028c\x9b " + "\N{SNOWMAN}"


@pytest.mark.parametrize(
    "report",
    [
        {"metrics": {"refined": 3}, "timing": 2},
        {"metrics": {"refined": {"iou": "x"}}},
        {"metrics": {"refined": {"iou": 10**400}}, "timing": {"total": float("inf")}},
    ],
)
def test_reports_with_odd_fields_have_no_value(tmp_path, report):
    (run,), _ = read_runs([write_json(tmp_path / "report.json", report)])
    assert run.value("iou", "refined") is run.value("minutes", "refined") is None


@pytest.mark.parametrize("override", ["prompts=3", "dataset=[1]", "seed=${nothing}", "adaption=null", "="])
def test_overrides_of_another_kind_are_one_sentence(override):
    tolerant(lambda: plain(compose_config(["backbone=tiny", override])))


# Pickles -----------------------------------------------------------------------------------------------------------


def npy(path, body):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    path.write_bytes(file.getvalue() + body)
    return path


def test_a_table_of_gigabytes_is_never_made(tmp_path):
    # LONG_BINPUT with the highest index: the unpickler in C makes a table for it, 32 GB of a file of 100 bytes.
    path = npy(tmp_path / "a.npy", b"\x80\x02}r\xfe\xff\xff\x7f.")
    before = peak_mb()
    with pytest.raises(InputError):
        read_activation_labels(path, (2, 2), None)
    assert peak_mb() - before < 100


def test_a_length_of_terabytes_is_no_memory(tmp_path):
    with pytest.raises(InputError):
        read_dict(npy(tmp_path / "a.npy", b"\x80\x04\x8e" + (1 << 42).to_bytes(8, "little") + b"x."))


def test_lists_that_hold_a_list_twice_come_to_an_end(tmp_path):
    nested = []
    for _ in range(200):
        nested = [nested, nested]
    clock = time.perf_counter()
    read_dict(npy(tmp_path / "a.npy", pickle.dumps({"keys": nested})))
    assert time.perf_counter() - clock < 2


def test_a_list_that_holds_itself_is_an_error(tmp_path):
    circle = []
    circle.append(circle)
    with pytest.raises(InputError):
        read_dict(npy(tmp_path / "a.npy", pickle.dumps({"keys": circle})))


def test_a_file_cannot_change_how_the_next_is_read(tmp_path):
    # BUILD with a state for slots sets attributes: here the defaults of the function that makes arrays of bytes.
    function, state = (
        b"\x80\x02cnumpy.core.numeric\n_frombuffer\n",
        b"N}X\x0c\x00\x00\x00__defaults__X\x01\x00\x00\x00F\x85s\x86b.",
    )
    with pytest.raises(InputError, match="a state"):
        read_dict(npy(tmp_path / "bad.npy", function + state))
    whole = {"keys": np.arange(6).reshape(2, 3)}
    np.save(tmp_path / "good.npy", whole, allow_pickle=True)
    assert (read_dict(tmp_path / "good.npy")["keys"] == whole["keys"]).all()


@pytest.mark.parametrize(
    "content",
    [
        {"keys": ["a"], "attn_highres": np.zeros((1, 2, 2), np.float32)},
        {"keys": [2**70], "attn_highres": np.zeros((1, 2, 2), np.float32)},
        {"keys": [1, 1], "attn_highres": np.zeros((2, 2, 2), np.float32)},
        {"keys": [1], "attn_highres": np.full((1, 2, 2), np.nan, np.float32)},
        {"keys": [1], "attn_highres": np.full((1, 2, 2), np.inf, np.float32)},
        {1: np.zeros((2, 2)), 2: np.zeros((3, 3))},
        {1: "text"},
    ],
)
def test_odd_score_maps_are_named(tmp_path, content):
    np.save(tmp_path / "a.npy", content, allow_pickle=True)
    with pytest.raises(InputError, match=r"a\.npy"):
        read_activation_labels(tmp_path / "a.npy", (4, 4), None)


def test_a_list_of_sequences_never_leads_out_of_the_folder(tmp_path):
    root = make_davis(tmp_path / "davis")
    for name in ("..", "../../x", "a/../../b c"):
        (root / "ImageSets" / "2017" / "val.txt").write_text(f"{name}\n")
        with pytest.raises(DatasetError, match="leads out"):
            Davis(str(root))


def peak_mb():
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
