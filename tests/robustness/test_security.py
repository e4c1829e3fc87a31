"""Files of strangers run no code, write nowhere but where they should, and put nothing into pages or reports.

What single readers promise is held beside them: no pickle in checkpoints (`tests/backbones/weights/test_checkpoint.py`)
and `.npy` files (`tests/datasets/test_voc_cams.py`), archives (`tests/datasets/test_verify_download.py`), hashes
(`tests/backbones/weights/test_fetch.py`), keys of wandb (`tests/callbacks/test_wandb_log.py`).
"""

import ast
import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from samref.adaption.module import _is_whole
from samref.backbones.weights.registry import CHECKPOINTS
from samref.callbacks.steps import safe_name
from samref.config.compose import compose_config
from samref.datasets.sources.catalog import SOURCES
from samref.engine import runner
from samref.errors import SamrefError
from tests.factories_benchmarks import image_record, make_voc, rectangle, result, rle, save_image, write_json

PACKAGE = Path(runner.__file__).parents[1]


def calls():
    """Every call in the package: file, dotted name, node."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(PACKAGE).as_posix(), ast.unparse(node.func), node


def keywords(node):
    return {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}


FORBIDDEN = ("eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "torch.hub.load", "os.system")

# Copies of what this process has made, which are in no file.
IN_MEMORY = (("config/load.py", "pickle.loads"),)


def test_no_code_of_ours_unpickles_or_evaluates_what_a_file_says():
    for path, name, node in calls():
        assert name not in FORBIDDEN or (path, name) in IN_MEMORY, path
        if name == "torch.load":
            assert keywords(node).get("weights_only") == "True", path
        if name == "np.load":
            assert keywords(node).get("allow_pickle", "False") == "False", path
        assert keywords(node).get("shell", "False") == "False", path
        assert keywords(node).get("verify", "True") != "False", path


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["user's checkpoint", "checkpoint of a fit", "score maps"])
def test_a_pickle_is_never_run(tmp_path, kind):
    from samref.backbones.weights.checkpoint import read_state_dict
    from samref.datasets.voc.labels import read_activation_labels

    bomb, path = Bomb(tmp_path / "exploded"), tmp_path / "file.pth"
    if kind == "score maps":
        path = tmp_path / "file.npy"
        np.save(path, {"keys": [1], "attn_highres": bomb}, allow_pickle=True)
        with pytest.raises(SamrefError):
            read_activation_labels(path, (2, 2), None)
    elif kind == "checkpoint of a fit":
        torch.save({"state_dict": bomb}, path)
        assert not _is_whole(path)
    else:
        path.write_bytes(pickle.dumps({"weight": bomb}))
        with pytest.raises(SamrefError):
            read_state_dict(path)
    assert not (tmp_path / "exploded").exists()


EVIL = "<img src=x onerror=alert(1)>"
IDS = ["../../escaped", "/tmp/escaped", "..", "a/b", "x" * 400, EVIL, "nul\x00", "\ud800", "C:\\x", ".hidden", ""]


def run_coco(root, predictions, *overrides):
    cfg = compose_config(
        ["dataset=coco", f"dataset.images={root / 'images'}", f"dataset.annotations={predictions}", "backbone=tiny",
         f"paths.outputs={root / 'out'}", "logger=none", "callbacks.progress=false", "on_error=skip", "save_masks=true",
         "save_candidates=true", "backbone.device=cpu", *overrides]
    )  # fmt: skip
    return runner.run(cfg)


def everything(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_ids_and_names_of_a_json_write_nothing_outside_the_run(tmp_path):
    root = tmp_path / "inside" / "deep"
    save_image(root / "images" / "real.jpg", 0)
    images = [image_record(0, id=name, file_name="real.jpg") for name in IDS]
    annotations = [
        {
            "id": f"{name}!",
            "image_id": name,
            "category_id": 1,
            "segmentation": rle(rectangle(5, 5, 30, 30)),
            "iscrowd": 0,
        }
        for name in IDS
    ]
    categories = [{"id": 1, "name": EVIL}]
    path = write_json(root / "gt.json", {"images": images, "annotations": annotations, "categories": categories})
    before = everything(tmp_path)
    report = run_coco(root, path)
    assert report["counts"]["images"] == len(IDS)
    new = everything(tmp_path) - before
    assert new
    assert all(name.startswith("inside/deep/out") for name in new), new
    candidates = [name for name in new if name.endswith("_0.png")]
    assert len(candidates) == len(IDS), "two ids never share a file"
    assert not Path("/tmp/escaped").exists()
    page = next(root.rglob("gallery.html")).read_text(encoding="utf-8")
    assert EVIL not in page
    assert "\\u003cimg src=x" in page
    json.loads(next(root.rglob("report.json")).read_text(encoding="utf-8"))


def test_a_file_name_that_leads_out_of_the_images_is_not_shown(tmp_path):
    root = tmp_path / "inside"
    save_image(tmp_path / "secret.jpg", 0)
    save_image(root / "images" / "000000000001.jpg", 0)
    for name in ("../../secret.jpg", str(tmp_path / "secret.jpg"), "x/../../../secret.jpg"):
        images = [image_record(7, file_name=name), image_record(1)]
        annotations = [result(7, 1, (5, 5, 30, 30)), result(1, 1, (5, 5, 30, 30))]
        annotations = [{**record, "id": k, "iscrowd": 0} for k, record in enumerate(annotations, 1)]
        path = write_json(root / "gt.json", {"images": images, "annotations": annotations, "categories": [{"id": 1}]})
        report = run_coco(root, path, "force=true")
        assert report["counts"]["images"] == 1
        assert f"image 7: {name} is not in" in report["failures"][0]["reason"]


def test_names_in_lists_write_nothing_outside_the_run(tmp_path):
    made = make_voc(tmp_path / "inside" / "voc")
    split = made.root / "ImageSets" / "Segmentation" / "val.txt"
    out = tmp_path / "inside" / "out"
    places = [f"dataset.root={made.root}", f"dataset.coarse={made.coarse}", f"paths.outputs={out}"]
    for name in ("../escaped", "../../../escaped /x"):
        split.write_text(f"{made.names[0]}\n{name}\n")
        with pytest.raises(SamrefError, match="leads out"):
            runner.run(compose_config(["dataset=voc", "backbone=tiny", *places]))
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.parametrize("name", IDS)
def test_an_id_becomes_one_file_name(tmp_path, name):
    safe = safe_name(name)
    assert Path(safe).name == safe
    (tmp_path / f"{safe}_0.png").write_bytes(b"")
    assert (tmp_path / f"{safe}_0.png").resolve().parent == tmp_path.resolve()


def test_ids_that_differ_have_file_names_that_differ():
    assert len({safe_name(name) for name in (*IDS, "a_b", "a:b", "a b", "_", "x" * 401)}) == len(IDS) + 5


def test_every_download_that_has_a_published_hash_is_held_to_it():
    assert all(one.sha256 is None or len(one.sha256) == 64 for one in CHECKPOINTS.values())
    assert sum(one.sha256 is not None for one in CHECKPOINTS.values()) >= 4
    for source in SOURCES.values():
        for archive in source.archives:
            assert archive.md5 is None or len(archive.md5) == 32
            assert archive.url.startswith("https://") or archive.md5, "what comes unencrypted has a hash"


def test_nothing_contacts_a_server_but_downloads_and_loggers():
    allowed = {"datasets/sources/download.py", "backbones/weights/fetch.py", "backbones/weights/npm.py"}
    allowed.add("cli/page/server.py")  # answers this machine's browser
    network = re.compile(r"^\s*(?:import|from) (requests|urllib\.request|socket|http|pooch)\b", re.M)
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        found = network.findall(path.read_text(encoding="utf-8"))
        assert not found or name in allowed or found == ["pooch"], (name, found)
