"""Masks split into shards, refined each on its own, and merged: what one run leaves."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from samref.cli.main import main
from samref.datasets.shards.coco import merge_coco, split_coco
from samref.datasets.shards.plan import Plan, shard_of
from samref.errors import DatasetError
from tests.factories import make_folder, photo, save_mask
from tests.processes import ROOT, forked


def records(images, masks):
    """Annotations whose images stand in no order."""
    order = np.random.default_rng(0).permutation(images * masks)
    return [{"id": int(k), "image_id": int(k) % images, "category_id": 1, "note": f"ü{k}"} for k in order]


@pytest.fixture(params=["results", "annotations"])
def source(tmp_path, request):
    path, masks = tmp_path / "in" / "masks.json", records(12, 3)
    path.parent.mkdir()
    whole = {"info": {"x": 1.50}, "annotations": masks, "licenses": [], "images": [{"id": str(k)} for k in range(12)]}
    path.write_text(json.dumps(masks if request.param == "results" else whole))
    return path


def test_a_shard_has_all_masks_of_its_images_and_what_belongs_to_all(tmp_path, source):
    split_coco(source, 3, tmp_path / "shards")
    found = [json.loads((tmp_path / "shards" / str(k) / "masks.json").read_text()) for k in range(3)]
    whole = json.loads(source.read_text())
    if isinstance(whole, dict):
        assert all(list(part) == list(whole) and part["info"] == whole["info"] for part in found)
        assert all({str(r["image_id"]) for r in p["annotations"]} == {i["id"] for i in p["images"]} for p in found)
        found, whole = [part["annotations"] for part in found], whole["annotations"]
    for k, part in enumerate(found):
        assert part == [record for record in whole if shard_of(record["image_id"], 3) == k]


def refine(folder, name="masks.json"):
    """Writes what a refiner would: the same records, changed."""
    for place in folder.glob("[0-9]*"):
        content = json.loads((place / name).read_text())
        for record in content if isinstance(content, list) else content["annotations"]:
            record["refined"] = record["id"]
        (place / "refined").mkdir()
        (place / "refined" / name).write_text(json.dumps(content))


def test_what_is_merged_stands_in_the_order_of_the_source(tmp_path, source):
    split_coco(source, 4, tmp_path / "shards")
    refine(tmp_path / "shards")
    path = merge_coco(Plan.read(tmp_path / "shards"), tmp_path / "shards", tmp_path / "out")
    expected = json.loads(source.read_text())
    for record in expected if isinstance(expected, list) else expected["annotations"]:
        record["refined"] = record["id"]
    assert path.read_text() == json.dumps(expected)


def test_what_does_not_fit_is_one_sentence_and_leaves_no_file(tmp_path, source):
    folder, out = tmp_path / "shards", tmp_path / "out"
    with pytest.raises(DatasetError, match=r"shards would have none; choose fewer"):
        split_coco(source, 60, tmp_path / "many")
    split_coco(source, 2, folder)
    with pytest.raises(DatasetError, match=r"2 of 2 shards of .* are not refined yet: 0, 1; run the command"):
        merge_coco(Plan.read(folder), folder, out)
    refine(folder)
    with pytest.raises(DatasetError, match=r"lies in .*, which is read"):
        merge_coco(Plan.read(folder), folder, folder / "0")
    with pytest.raises(DatasetError, match=r"is what was split"):
        merge_coco(Plan.read(folder), folder, source.parent)
    (folder / "1" / "refined" / "masks.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"holds other masks than .*; refine that shard again"):
        merge_coco(Plan.read(folder), folder, out)
    assert not list(out.glob("*"))
    with pytest.raises(DatasetError, match=r"holds other shards than these"):
        split_coco(source, 3, folder)
    source.write_text("[1]")
    with pytest.raises(DatasetError, match=r"has changed since it was split"):
        Plan.read(folder)
    with pytest.raises(DatasetError, match=r"holds no shards"):
        Plan.read(out)


def test_a_split_that_is_there_is_left_as_it_is(tmp_path, source):
    split_coco(source, 2, tmp_path / "shards")
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "shards").rglob("*.json"))]
    split_coco(source, 2, tmp_path / "shards")
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "shards").rglob("*.json"))] == before


def printed_command(capsys, *words):
    assert main(["shards", "split", *map(str, words)]) == 0
    return shlex.split(next(line for line in capsys.readouterr().out.splitlines() if line.startswith("samref run")))[2:]


def refine_shards(command, options):
    done = forked(ROOT / "run.py", *command, *options, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


QUIET = ["backbone=tiny", "callbacks.progress=false", "callbacks.gallery=null", "callbacks.picture=null", "logger=none"]


def test_refined_shards_of_a_json_are_what_one_run_leaves(tmp_path, capsys):
    images, folder = tmp_path / "images", tmp_path / "shards (1)"
    images.mkdir()
    boxes = [(x, y) for x in (2, 20) for y in (3, 12)]
    for k in range(6):
        Image.fromarray(photo((40, 60), k)).save(images / f"{k}.png")
    masks = [
        {"id": 4 * k + n, "image_id": k, "category_id": 1, "iscrowd": 0, "area": 80, "bbox": [x, y, 10, 8],
         "segmentation": [[x, y, x + 10, y, x + 10, y + 8, x, y + 8]]}
        for k in range(6) for n, (x, y) in enumerate(boxes)
    ]  # fmt: skip
    listed = [{"id": k, "file_name": f"{k}.png", "height": 40, "width": 60} for k in range(6)]
    content = {"images": listed, "annotations": masks, "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "masks.json").write_text(json.dumps(content))
    other = [{**mask, "segmentation": [[v + 1 for v in mask["segmentation"][0]]]} for mask in masks]
    (tmp_path / "other.json").write_text(json.dumps({**content, "annotations": other}))
    options = [
        *QUIET,
        "refiner=external",
        f"refiner.masks={tmp_path / 'other.json'}",
        f"paths.outputs={tmp_path / 'runs'}",
    ]
    # First, so that the processes of the shards find imported what this one has imported.
    single = ["dataset=coco", f"dataset.images={images}", f"dataset.predictions={tmp_path / 'masks.json'}"]
    assert main(["run", *single, f"dataset.output={tmp_path / 'single'}", *options]) == 0
    command = printed_command(capsys, "--coco", tmp_path / "masks.json", "--images", images, 2, folder)
    refine_shards(command, options)
    assert main(["shards", "merge", str(folder), str(tmp_path / "merged")]) == 0
    merged = (tmp_path / "merged" / "masks.json").read_bytes()
    assert merged == (tmp_path / "single" / "masks.json").read_bytes()
    assert merged != (tmp_path / "masks.json").read_bytes()


def test_refined_shards_of_a_folder_are_what_one_run_leaves(tmp_path, capsys):
    data = make_folder(tmp_path / "data", names=["a", "deep/b", "c"], size=(40, 60))
    save_mask(data / "masks" / "c.png", np.zeros((40, 60), bool))
    options = [*QUIET, "verdict.enabled=false", f"paths.outputs={tmp_path / 'runs'}"]
    assert main(["refine", str(data / "images"), str(data / "masks"), str(tmp_path / "single"), *options]) == 0
    command = printed_command(capsys, data / "images", data / "masks", 2, tmp_path / "shards")
    assert main(["shards", "merge", str(tmp_path / "shards"), str(tmp_path / "merged")]) == 1
    assert "is not refined yet; run the command" in capsys.readouterr().err
    refine_shards(command, options)
    assert main(["shards", "merge", str(tmp_path / "shards"), str(tmp_path / "merged")]) == 0
    files = {name: sorted((tmp_path / name).rglob("*.png")) for name in ("merged", "single")}
    assert len(files["merged"]) == 3
    for ours, theirs in zip(files["merged"], files["single"], strict=True):
        assert ours.relative_to(tmp_path / "merged") == theirs.relative_to(tmp_path / "single")
        assert ours.read_bytes() == theirs.read_bytes()


def test_words_that_mean_nothing_are_one_sentence(tmp_path, capsys):
    for words, sentence in (
        (["split", "a"], "1 words are given; expected samref shards split IMAGES MASKS COUNT SHARDS"),
        (["split", "--coco", "x.json", "2", "s"], "--coco needs --images DIR"),
        (["split", str(tmp_path), str(tmp_path), "no", "s"], "COUNT is no; expected the number of shards"),
        (["split", "--coco", "x.json", "--images", str(tmp_path), "2", "s"], "x.json"),
        (["merge", str(tmp_path), "out"], "holds no shards"),
    ):
        assert main(["shards", *words]) == 1
        assert sentence in capsys.readouterr().err
