import csv
import shutil
import subprocess
import sys

import pytest

from samref.cli.main import main
from samref.report.comparison import CACHED, compare, ratios
from samref.report.published import read_table
from samref.report.render import as_markdown
from samref.report.runs import read_runs, same
from samref.report.tables import EXPERIMENTS

ALL = {"hydra_choices.prompts": "all", "hydra_choices.adaption": "none", "hydra_choices.backbone": "mobile_sam"}
SCORES = {"iou": 0.8839, "boundary_iou": 0.74, "top1_acc": 0.466}


def table_1(paths):
    rows = compare(read_table(EXPERIMENTS / "davis_ablation"), read_runs(paths)[0])
    return {(row.row.labels["prompts"], row.row.labels["adaption"]): row for row in rows}


def test_a_run_meets_its_row_and_the_coarse_masks_theirs(write_report):
    rows = table_1([write_report("davis_ablation", ALL, SCORES, {"iou": 0.8173, "boundary_iou": 0.7068})])
    full = rows["all", "none"]
    assert full.ours == pytest.approx({"iou": 88.39, "boundary_iou": 74.0, "top1_acc": 46.6})
    assert full.difference("iou") == pytest.approx(88.39 - 86.9)
    assert full.command == "python run.py +experiment=davis_ablation job=0"
    coarse = rows["coarse", "none"]
    assert coarse.ours == {"iou": pytest.approx(81.73), "boundary_iou": pytest.approx(70.68), "top1_acc": None}
    assert [key for key, row in rows.items() if row.runs] == [("coarse", "none"), ("all", "none")]
    assert rows["box", "none"].command.endswith("prompts=box adaption=none")


def test_what_differs_from_the_paper_is_said(write_report):
    config = {**ALL, "prompts.mask.omega": 30, "prompts.mask.gamma": 4, "refiner.iterations": 1}
    rows = table_1([write_report("davis_ablation", config, SCORES)])
    assert rows["all", "none"].measured_with == "mobile_sam (paper: vit_h), omega 30 (paper: 15), 20 masks (paper: 585)"
    assert rows["coarse", "none"].measured_with == "20 masks (paper: 585)"
    exact = {**ALL, "hydra_choices.backbone": "vit_h", "prompts.mask.omega": 15.0}
    rows = table_1(
        [write_report("davis_ablation", exact, SCORES, counts={"masks": 585}, finished="2026-01-01T00:00:00Z")]
    )
    assert rows["all", "none"].measured_with == ""


def test_the_newest_of_several_runs_counts_whatever_the_order_of_its_path(write_report):
    old = write_report("davis_ablation", ALL, {"iou": 0.5}, finished="2025-01-01T00:00:00+00:00")
    new = write_report("davis_ablation", ALL, {"iou": 0.6}, finished="2025-01-01T01:30:00+01:00")
    newest = write_report("davis_ablation", ALL, {"iou": 0.7}, finished="2025-01-01T00:40:00Z")
    for paths in ([old, new, newest], [newest, new, old]):
        assert table_1(paths)["all", "none"].ours["iou"] == pytest.approx(70)


def test_other_experiments_and_metrics_that_are_not_numbers_leave_cells_empty(write_report):
    rows = table_1([write_report("gaussian", ALL, SCORES)])
    assert not any(row.runs for row in rows.values())
    rows = table_1([write_report("davis_ablation", ALL, {"iou": float("nan"), "boundary_iou": None})])
    assert set(rows["all", "none"].ours.values()) == {None}


def test_a_row_that_is_a_mean_takes_the_runs_it_has_and_names_the_rest(write_report):
    config = {"hydra_choices.dataset": "coco", "hydra_choices.refiner": "samrefiner", "row.source": "NB"}
    paths = [
        write_report("sota", {**config, "row.annotations": share}, {"ap_mask": value})
        for share, value in (("F1%+U99%", 0.10), ("F5%+U95%", 0.20))
    ]
    rows = compare(read_table(EXPERIMENTS / "sota"), read_runs(paths)[0])
    labels = {"dataset": "COCO", "source": "NB", "metric": "ap_mask", "method": "samrefiner"}
    (row,) = [row for row in rows if row.row.labels == labels]
    assert row.ours["value"] == pytest.approx(15)
    assert "2 of 3 runs" in row.measured_with
    assert row.missing.endswith("row.annotations=F10%+U90%")


def test_minutes_are_the_time_of_the_refinement_and_name_the_hardware(write_report):
    path = write_report("grid", {"hydra_choices.refiner": "grid_merge"}, {"iou": 0.8}, hardware={"gpu": "NVIDIA X"})
    rows = compare(read_table(EXPERIMENTS / "grid"), read_runs([path])[0])
    merged = next(row for row in rows if row.row.labels["method"] == "grid_merge")
    assert merged.ours["minutes"] == pytest.approx(1.5)
    assert "NVIDIA X" in merged.measured_with
    assert rows[0].ours["minutes"] is None


def test_ratios_of_times_stand_below_a_table_and_cached_encodings_are_marked(write_report, tmp_path, capsys):
    choices = {"hydra_choices.refiner": "grid_merge", "hydra_choices.backbone": "mobile_sam"}
    grid = write_report("grid", {**choices, "backbone.cache": False}, {"iou": 0.8}, timing={"total": 600.0})
    ours = {**choices, "hydra_choices.refiner": "samrefiner", "backbone.cache": "auto"}
    paths = [grid, write_report("grid", ours, {"iou": 0.8}, timing={"total": 40.0})]
    table = read_table(EXPERIMENTS / "grid")
    rows = compare(table, read_runs(paths)[0])
    found = {ratio.name: ratio for ratio in ratios(table, rows)}
    merged = found["minutes, grid_merge : samrefiner"]
    assert (merged.paper, merged.ours) == (pytest.approx(5), pytest.approx(15))
    assert found["minutes, grid_max_iou : samrefiner"].sentence.endswith("= 5.0 (paper)")
    marks = {row.row.labels["method"]: row.measured_with for row in rows}
    assert CACHED in marks["samrefiner"]
    assert CACHED not in marks["grid_merge"]
    assert "- Ratio: minutes, grid_merge : samrefiner = 5.0 (paper), 15.0 (ours)." in as_markdown(table, rows)


def test_table_5_prints_how_much_longer_the_others_take():
    table = read_table(EXPERIMENTS / "sota")
    found = {ratio.name: round(ratio.paper, 1) for ratio in ratios(table, compare(table, []))}
    assert found == {
        "hours, dense_crf : samrefiner": 1.7,
        "hours, cascade_psp : samrefiner": 5.7,
        "hours, crm : samrefiner": 2.5,
        "hours, segrefiner : samrefiner": 2.3,
    }


def test_other_data_than_the_papers_is_named(write_report):
    path = write_report("davis_ablation", {**ALL, "dataset.root": "data/mini"}, SCORES)
    assert "20 masks (paper: 585), on data/mini" in table_1([path])["all", "none"].measured_with
    exact = write_report("davis_ablation", {**ALL, "dataset.root": "data/mini"}, SCORES, counts={"masks": 585})
    assert "data/mini" not in table_1([exact])["all", "none"].measured_with


def test_runs_of_masks_that_the_paper_does_not_have_stand_below_its_rows(write_report, tmp_path, capsys):
    config = {"hydra_choices.backbone": "mobile_sam", "dataset.annotations": "data/mini.json", "row.method": "mine"}
    write_report("coco", config, {"ap_mask": 0.5}, {"ap_mask": 0.4})
    write_report("coco", config, {"ap_mask": 0.1}, {"ap_mask": 0.4}, finished="2024-01-01T00:00:00Z")
    # Without the results that are committed beside the published numbers: they are newer than this test's run.
    published = shutil.copytree(EXPERIMENTS, tmp_path / "experiments", ignore=shutil.ignore_patterns("results"))
    assert main(["tables", "--outputs", str(tmp_path / "outputs"), "--experiments", str(published)]) == 0
    screen = capsys.readouterr().out
    title = "coco, runs that the paper has no row for (mobile_sam on data/mini.json, 10 images)"
    assert screen.count(title) == 1
    assert "+10.0" in screen.partition(title)[2].partition("Table 4")[0]
    folder = tmp_path / "outputs" / "tables"
    assert title in (folder / "coco.md").read_text()
    with (folder / "tables.csv").open() as file:
        ours = [cell["ours"] for cell in csv.DictReader(file) if cell["table"] == "coco" and cell["ours"]]
    assert ours == ["40.0", "50.0"]


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [(0.1, "0.10", True), (True, "true", True), (None, "null", True), ("vit_b", "vit_h", False), (0, "tight", False)],
)
def test_values_of_yaml_and_csv_compare_as_a_reader_would(found, wanted, expected):
    assert same(found, wanted) is expected


def test_the_command_prints_and_writes_every_table(write_report, tmp_path, capsys):
    write_report("davis_ablation", ALL, SCORES, {"iou": 0.8173})
    broken = tmp_path / "outputs" / "broken" / "report.json"
    broken.parent.mkdir()
    broken.write_text('{"metrics": ')
    # Without the results that are committed beside the published numbers: they are newer than this test's run.
    published = shutil.copytree(EXPERIMENTS, tmp_path / "experiments", ignore=shutil.ignore_patterns("results"))
    assert main(["tables", "--outputs", str(tmp_path / "outputs"), "--experiments", str(published)]) == 0
    screen = capsys.readouterr().out
    lines = screen.splitlines()
    for number in ("1.", "2a.", "2b.", "2c.", "3.", "4.", "5.", "6.", "7.", "8.", "9.", "10."):
        assert any(line.startswith(f"Table {number}") for line in lines)
    assert any("88.4" in line and "+1.5" in line and "all" in line for line in lines)
    assert any("measured with mobile_sam (paper: vit_h)" in line for line in lines)
    assert any(line.endswith("vit_h prompts=box adaption=none") for line in lines)
    assert any(line.startswith("left out:") and str(broken) in line for line in lines)
    drawn = [line for line in lines if line.startswith(" ")]
    assert max(map(len, drawn)) <= 100
    assert "…" not in "".join(drawn)

    folder = tmp_path / "outputs" / "tables"
    assert "| all | none | 86.9 | 88.4 | +1.5 |" in (folder / "davis_ablation.md").read_text()
    assert (folder / "tables.md").read_text().count("\n## Table") == 14
    with (folder / "tables.csv").open() as file:
        cells = list(csv.DictReader(file))
    (cell,) = [c for c in cells if c["row"] == "prompts=all adaption=none" and c["metric"] == "iou"]
    assert (cell["paper"], cell["ours"], cell["difference"]) == ("86.9", "88.39", "1.49")
    assert all(c["command"] for c in cells if "hours" not in c["row"])


def test_a_full_table_with_large_differences_fits_the_screen(write_report, tmp_path, capsys):
    for prompts in ("point", "box", "mask", "point_box", "point_mask", "box_mask", "all"):
        for adaption in ("none", "iou_lora"):
            config = {**ALL, "hydra_choices.prompts": prompts, "hydra_choices.adaption": adaption}
            write_report("davis_ablation", config, {"iou": 0.001, "boundary_iou": 0.001, "top1_acc": 1.0}, {"iou": 1.0})
    assert main(["tables", "--outputs", str(tmp_path / "outputs")]) == 0
    first = capsys.readouterr().out.partition("data:")[0]
    assert "…" not in first
    assert "point_mask" in first
    assert "iou_lora" in first
    assert max(map(len, first.splitlines())) <= 100


def test_committed_results_count_without_any_outputs(write_report, tmp_path, capsys):
    experiments = tmp_path / "experiments"
    folder = experiments / "davis_ablation"
    folder.mkdir(parents=True)
    for name in ("table.yaml", "paper.csv"):
        (folder / name).write_text((EXPERIMENTS / "davis_ablation" / name).read_text())
    report = write_report("davis_ablation", ALL, SCORES, folder=folder / "results")
    report.rename(report.with_name("all.report.json"))
    assert main(["tables", "--outputs", str(tmp_path / "none"), "--experiments", str(experiments)]) == 0
    assert "1 of 1 tables have measured rows" in capsys.readouterr().out


def test_a_folder_without_tables_is_one_sentence(tmp_path, capsys):
    assert main(["tables", "--experiments", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_reports_are_read_without_loading_the_model():
    code = "import sys, samref.cli.report, samref.report.sweep; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
