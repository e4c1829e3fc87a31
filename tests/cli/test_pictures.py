"""Several runs of one data set side by side: which masks are shown, and that what is shown is what the runs wrote."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samref.cli import picture_rows as pictures
from samref.cli.main import main as samref
from samref.cli.picture_rows import choose, open_dataset, open_runs
from samref.config.compose import compose_config
from samref.engine import runner
from samref.geometry.masks import pair_iou
from samref.report.runs import read_run
from tests.factories import make_davis585
from tests.factories_benchmarks import make_coco, make_voc

QUIET = [
    "backbone=tiny",
    "backbone.device=cpu",
    "callbacks.progress=false",
    "callbacks.picture=0",
    "callbacks.gallery=0",
]


def run(tmp_path, *words):
    cfg = compose_config([*QUIET, f"paths.outputs={tmp_path / 'out'}", "logger=none", "save_masks=true", *words])
    return runner.run(cfg)["folder"]


@pytest.fixture(scope="module")
def davis(tmp_path_factory):
    folder = tmp_path_factory.mktemp("davis")
    root = make_davis585(folder / "davis", sequences=2, frames=2, objects=2)
    words = ["dataset=davis585", f"dataset.root={root}"]
    return folder, [run(folder, *words, f"prompts={name}") for name in ("all", "box")]


def main(words):
    return samref(["pictures", *words])


def opened(folders, prompts=False):
    runs = open_runs([read_run(Path(folder) / "report.json") for folder in folders], prompts)
    return runs, open_dataset(runs[0].run)


def ious(dataset, source):
    found = {}
    for index in range(len(dataset)):
        sample = dataset[index]
        refined = source.refine_sample(sample).masks
        for k in range(len(refined)):
            before, after = (pair_iou(mask, sample.truth[k]) for mask in (sample.masks[k], refined[k]))
            found[index, k] = after, before
    return found


def test_masks_are_chosen_by_what_the_runs_did_to_them(davis):
    runs, dataset = opened(davis[1])
    assert [one.name for one in runs] == ["all", "box"]
    first, second = (ious(dataset, one.source) for one in runs)
    gain = {place: after - before for place, (after, before) in first.items()}
    assert len(gain) == 8
    assert choose(dataset, runs, "gain", 3, []) == sorted(gain, key=lambda place: -gain[place])[:3]
    assert choose(dataset, runs, "loss", 1, []) == [min(gain, key=gain.get)]
    lead = {place: first[place][0] - second[place][0] for place in first}
    assert choose(dataset, runs, "lead", 8, []) == sorted(lead, key=lambda place: (-lead[place], *place))
    assert choose(dataset, runs, "lag", 1, []) == [min(lead, key=lead.get)]
    named = choose(dataset, runs, "gain", 8, ["seq1/00000 object2"])
    assert [(dataset[index].image_id, dataset[index].object_ids[k]) for index, k in named] == [
        ("seq1/00000", "object2")
    ]


def test_the_picture_has_a_row_a_mask_and_a_column_a_run(davis, capsys, monkeypatch):
    rows = []
    monkeypatch.setattr(pictures, "draw_row", lambda *a: rows.append(a) or np.zeros((10, 20, 3), np.uint8))
    folder, runs = davis
    out = folder / "picture.png"
    assert main([*runs, "--limit", "2", "--prompts", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert Image.open(out).size == (20, 20)
    for image, _coarse, columns, _truth, title in rows:
        sequence, stem, name = title.replace("/", " ").split()
        assert image.shape[:2] == (48, 80)
        assert [one.name for one in columns] == ["all", "box"]
        for one, run_folder in zip(columns, runs, strict=True):
            written = np.array(Image.open(f"{run_folder}/masks/{sequence}/init_sp_{name}_{stem}.png")) > 127
            assert (one.mask == written).all()
        assert columns[0].prompts.point_coords is not None
        assert columns[1].prompts.point_coords is None
        assert columns[1].prompts.boxes.shape == (1, 4)


def test_runs_of_other_refiners_go_by_their_refiner(davis, tmp_path):
    folder, runs = davis
    other = run(tmp_path, "dataset=davis585", f"dataset.root={folder / 'davis'}", "refiner=external",
                f"refiner.masks={runs[0]}/masks")  # fmt: skip
    assert [one.name for one in opened([runs[0], other])[0]] == ["samrefiner", "external"]


def test_a_row_is_drawn_with_captions(davis):
    folder, runs = davis
    assert main([runs[0], "--by", "change", "--limit", "1", "--out", str(folder / "one.png")]) == 0
    height, width = np.array(Image.open(folder / "one.png")).shape[:2]
    assert height < width


def test_label_maps_and_coco_files_are_compared_too(tmp_path):
    voc = make_voc(tmp_path / "voc")
    words = ["dataset=voc", f"dataset.root={voc.root}", f"dataset.coarse={voc.coarse}", "dataset.split=val"]
    folders = [run(tmp_path, *words, f"regions={regions}") for regions in (True, False)]
    assert main([*folders, "--by", "gain", "--out", str(tmp_path / "voc.png")]) == 0
    coco = make_coco(tmp_path / "coco")
    words = [f"dataset.{key}={getattr(coco, key)}" for key in ("images", "annotations", "predictions")]
    folder = run(tmp_path, "dataset=coco", *words)
    assert main([folder, "--by", "change", "--out", str(tmp_path / "coco.png")]) == 0
    assert (tmp_path / "voc.png").is_file()
    assert (tmp_path / "coco.png").is_file()


def test_what_cannot_be_compared_is_one_sentence(davis, tmp_path, capsys):
    _, runs = davis
    other = run(tmp_path, "dataset=scenes", "dataset.length=1", "dataset.size=[64,80]")
    (tmp_path / "none").mkdir()
    report = json.loads((Path(runs[0]) / "report.json").read_text())
    (tmp_path / "none" / "report.json").write_text(json.dumps(report))
    for words, message in (
        ([runs[0], other], "different data"),
        ([str(tmp_path / "none")], "save_masks=true"),
        ([runs[0], "--by", "lead"], "compares with another run"),
        ([runs[0], "--names", "cat"], "no mask of these runs fits"),
        ([str(tmp_path / "nowhere")], "is not a folder"),
    ):
        assert main([*words, "--out", str(tmp_path / "x.png")]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x.png").exists()
