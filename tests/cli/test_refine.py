"""`samref refine`: masks of a folder or of a COCO json come out refined, whatever characters their paths hold."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samref.cli.main import main
from samref.cli.refine import check_task, is_override, read_task
from samref.errors import ConfigError
from tests.factories import blob, rough, save_mask, save_photo
from tests.factories_benchmarks import make_coco
from tests.factories_scenes import make_scenes

ROOT = Path(__file__).resolve().parents[2]
SIZE = (48, 80)
QUICK = ["backbone=tiny", "backbone.device=cpu", "verdict.enabled=false", "callbacks.progress=false", "logger=none"]


def make_pairs(folder, names=("a",)):
    for seed, name in enumerate(names):
        save_photo(folder / "images" / f"{name}.png", SIZE, seed)
        save_mask(folder / "masks" / f"{name}.png", rough(blob(SIZE, seed), seed))
    return [str(folder / "images"), str(folder / "masks")]


def test_a_folder_is_refined_and_the_second_time_is_known(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_pairs(tmp_path, ["a", "b"])
    words = ["refine", "images", "masks", "out", *QUICK]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("loading tiny ...\n")
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["a.png", "b.png"]
    before, after = (np.asarray(Image.open(tmp_path / folder / "a.png")) for folder in ("masks", "out"))
    assert before.shape == after.shape and set(np.unique(after)) <= {0, 255}
    (report,) = tmp_path.glob("outputs/refine/*/report.json")
    assert json.loads(report.read_text())["command"] == f"samref {' '.join(words)}"
    assert main(words) == 0
    assert "already finished" in capsys.readouterr().out


ODD = [
    "split=train",
    "My Data (1)",
    "n#1",
    "données",
    "it's",
    'say "x"',
    "a,b",
    "100%",
    "$HOME",
    "~",
]


def test_paths_need_no_quotes(tmp_path, monkeypatch, capsys):
    """In one run: every path of it is made of odd names."""
    monkeypatch.chdir(tmp_path)
    odd = tmp_path.joinpath(*ODD)
    images, masks = make_pairs(odd)
    assert main(["refine", images, masks, str(odd / "out=1"), *QUICK]) == 0, capsys.readouterr().err
    assert [path.name for path in (odd / "out=1").glob("[!.]*")] == ["a.png"]


def test_home_is_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    make_pairs(tmp_path / "home" / "data")
    assert main(["refine", "~/data/images", "~/data/masks", "~/out", "paths.outputs=~/runs", *QUICK]) == 0
    assert (tmp_path / "home" / "out" / "a.png").is_file()
    assert list((tmp_path / "home" / "runs").rglob("report.json"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


@pytest.mark.parametrize("truth", [True, False], ids=["scored", "unscored"])
def test_a_coco_json_is_refined(tmp_path, monkeypatch, truth):
    monkeypatch.chdir(tmp_path)
    coco = make_coco(tmp_path)
    predictions = tmp_path / "predictions.json"
    files = [str(coco.annotations)] * truth + [str(predictions)]
    assert main(["refine", "--coco", *files, "--images", str(coco.images), "out", *QUICK]) == 0
    before, after = (json.loads(path.read_text()) for path in (predictions, tmp_path / "out" / "predictions.json"))
    assert [record["score"] for record in before] == [record["score"] for record in after]
    (report,) = tmp_path.glob("outputs/refine/*/report.json")
    assert ("ap_mask" in json.loads(report.read_text())["metrics"].get("refined", {})) == truth


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (["--yolo", "yolo/data.yaml"], ["data.yaml", "labels/val/000000000001.txt", "labels/val/000000000002.txt"]),
        (["--labelme", "labelme"], ["embedded.json", "referenced.json"]),
        (["--label-studio", "label_studio/tasks.json", "--images", "label_studio/images"], ["tasks.json"]),
        (["--cvat", "cvat/annotations.xml", "--images", "cvat/images"], ["annotations.xml"]),
        (["--voc-instances", "voc_instances"], ["SegmentationClass/photo.png", "SegmentationObject/photo.png"]),
        (["--geotiff", "IMAGES", "MASKS"], ["a.tif"]),
    ],
    ids=lambda value: value[0],
)
def test_labels_of_other_tools_are_refined(tmp_path, monkeypatch, capsys, words, written):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "tests" / "fixtures", tmp_path, dirs_exist_ok=True)
    make_scenes(tmp_path)
    assert main(["refine", *words, "out", *QUICK, "guard.enabled=false"]) == 0, capsys.readouterr()
    found = [path.relative_to("out").as_posix() for path in sorted(Path("out").rglob("[!.]*")) if path.is_file()]
    assert found == written
    (report,) = Path("outputs").rglob("report.json")
    assert json.loads(report.read_text())["counts"]["masks"] > 0


def test_a_coco_json_is_never_written_over(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    coco = make_coco(tmp_path)
    before = (tmp_path / "predictions.json").read_bytes()
    assert main(["refine", "--coco", "predictions.json", "--images", str(coco.images), ".", *QUICK]) == 1
    assert "would take the place of" in capsys.readouterr().err
    assert (tmp_path / "predictions.json").read_bytes() == before


def test_images_that_failed_are_named_and_the_exit_code_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_pairs(tmp_path, ["a", "b"])
    (tmp_path / "images" / "b.png").write_bytes(b"no image")
    assert main(["refine", "images", "masks", "out", *QUICK]) == 1
    said = capsys.readouterr()
    assert "error: image images/b.png is not an image file" in said.err and "see `failures` in report.json" in said.err
    assert "failed: b" in said.out
    assert (tmp_path / "out" / "a.png").is_file()


@pytest.mark.parametrize(
    ("words", "options", "overrides"),
    [
        (["i", "m", "o"], {"images": "i", "masks": "m", "output": "o"}, []),
        (["a=b/i", "m", "o", "limit=2"], {"images": "a=b/i", "masks": "m", "output": "o"}, ["limit=2"]),
        (["limit=2", "i", "m", "o", "~guard"], {"images": "i", "masks": "m", "output": "o"}, ["limit=2", "~guard"]),
        (
            ["--coco", "g.json", "p.json", "--images", "i", "o", "limit=2"],
            {"images": "i", "annotations": "g.json", "predictions": "p.json", "output": "o"},
            ["limit=2"],
        ),
        (["--coco", "p.json", "o", "--images", "i"], {"images": "i", "predictions": "p.json", "output": "o"}, []),
        (["--yolo", "d.yaml", "o", "limit=2"], {"data": "d.yaml", "output": "o"}, ["limit=2"]),
        (["i", "l", "o", "--yolo"], {"images": "i", "labels": "l", "output": "o"}, []),
        (["o", "--images=i", "--coco", "p.json"], {"images": "i", "predictions": "p.json", "output": "o"}, []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_are_options_or_overrides(words, options, overrides):
    task = read_task(words)
    assert (task.options, sorted(task.overrides)) == (options, sorted(overrides))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["i"], "MASKS and OUTPUT missing"),
        (["i", "m", "o", "more"], "more is too much"),
        (["i", "m", "o", "--images", "x"], "--images belongs to --coco and others"),
        (["--coco", "p.json", "o"], "--coco needs --images DIR"),
        (["--coco", "a.json", "b.json", "c.json", "o", "--images", "i"], "3 .json files are given"),
        (["--coco", "a.json", "--images", "i"], "OUTPUT missing"),
        (["--yolo", "o"], "1 paths are given; expected samref refine --yolo"),
        (["--yolo", "d.yaml", "o", "--images", "i"], "--images does not belong to --yolo"),
        (["--yolo", "o", "--coco", "p.json"], "expected one"),
        (["--yolo", "d.yaml", "o"], "d.yaml is not a file.*expected a data.yaml"),
        (["${seed}", "m", "o"], "holds \\$\\{"),
    ],
    ids=" ".join,
)
def test_what_is_missing_or_too_much_is_named(words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_task(read_task(words))


def test_overrides_are_keys_that_there_are():
    assert all(map(is_override, ["prompts=box", "prompts.mask.omega=3", "limit=2", "+experiment=x", "~guard"]))
    assert not any(map(is_override, ["a=b", "dataset", "~/guard", "./limit=2", "x/prompts=box", "C=1/limit=3"]))
