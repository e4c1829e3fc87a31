import csv
import io

from rich.console import Console

from samref.report.plain import differing_keys
from samref.report.runs import read_runs
from samref.report.sweep import sweep_table, write_sweep_table


def screen_of(renderable):
    console = Console(width=100, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def choices(prompts, **more):
    return {"hydra_choices.prompts": prompts, "hydra_choices.adaption": "none", **more}


def test_a_sweep_shows_the_rows_it_measured_and_only_those(write_report):
    coarse = {"iou": 0.8173, "boundary_iou": 0.7068}
    paths = [
        write_report("davis_ablation", choices("box"), {"iou": 0.7407}, coarse),
        write_report("davis_ablation", choices("all"), {"iou": 0.8839}, coarse),
    ]
    table = sweep_table("davis_ablation", paths)
    screen = screen_of(table.screen)
    assert [line.split()[0] for line in screen.splitlines() if " none " in line] == ["coarse", "box", "all"]
    assert "+5.3" in screen
    assert "| all | none | 86.9 | 88.4 | +1.5 |" in table.markdown
    assert "| point |" not in table.markdown
    rows = list(csv.DictReader(io.StringIO(table.csv)))
    assert {(row["row"], row["ours"]) for row in rows if row["metric"] == "iou"} == {
        ("prompts=coarse adaption=none", "81.73"),
        ("prompts=box adaption=none", "74.07"),
        ("prompts=all adaption=none", "88.39"),
    }


def test_runs_the_paper_has_no_row_for_are_shown_beside_those_it_has(write_report):
    def job(strategy, negative, iou):
        config = {"prompts.point.strategy": strategy, "prompts.point.negative": negative}
        return write_report("point_strategies", config, {"iou": iou}, {"iou": 0.8})

    table = sweep_table("point_strategies", [job("random", True, 0.4), job("random", False, 0.3)])
    screen = screen_of(table.screen)
    assert "Table 2a" in screen
    assert "runs without a row in the paper" in screen
    assert ["false", "30.0", "-50.0"] in [line.split() for line in screen.splitlines()]
    rows = list(csv.DictReader(io.StringIO(table.csv)))
    assert [row["ours"] for row in rows if row["paper"] and row["ours"]] == ["40.0"]
    assert [row["ours"] for row in rows if row["metric"] == "iou" and row["ours"] and not row["paper"]] == [
        "80.0",
        "30.0",
    ]


def test_an_experiment_without_published_numbers_shows_what_differs_and_the_gain(write_report, tmp_path):
    for omega in (15, 1):
        for gamma in (4, 1):
            config = choices("all", **{"prompts.mask.omega": omega, "prompts.mask.gamma": gamma, "seed": 0})
            config["paths.outputs"] = f"somewhere/{omega}{gamma}"
            write_report("gaussian", config, {"iou": (80 + omega + gamma) / 100}, {"iou": 0.8})
    folder = tmp_path / "outputs" / "gaussian"
    screen = screen_of(write_sweep_table(folder))
    cells = [line.split() for line in screen.splitlines()]
    assert ["coarse", "80.0"] in cells
    assert [row for row in cells if row and row[0] in ("1", "15")] == [
        ["1", "1", "82.0", "+2.0"],
        ["1", "4", "85.0", "+5.0"],
        ["15", "1", "96.0", "+16.0"],
        ["15", "4", "99.0", "+19.0"],
    ]
    assert "| 15 | 4 | 99.0 | +19.0 |" in (folder / "table.md").read_text()
    assert len((folder / "table.csv").read_text().splitlines()) == 1 + 2 * 4


def test_keys_that_follow_from_a_chosen_option_do_not_tell_runs_apart(write_report):
    paths = [
        write_report("demo", choices(name, **{"prompts.use": [name], "prompts.box.lam": lam}), {"iou": 0.5})
        for name in ("box", "mask")
        for lam in (0, 0.1)
    ]
    assert differing_keys(read_runs(paths)[0]) == ("hydra_choices.prompts", "prompts.box.lam")


def test_options_stand_in_the_order_in_which_the_sweep_came_to_them(write_report):
    names = ("point", "box", "all")
    paths = [
        write_report("demo", choices(name), {"iou": 0.5}, finished=f"2025-05-01T12:0{k}:00+00:00")
        for k, name in enumerate(names)
    ]
    lines = screen_of(sweep_table("demo", paths[::-1]).screen).splitlines()
    assert [line.split()[0] for line in lines if line.split() and line.split()[0] in names] == list(names)


def test_a_single_run_and_runs_from_different_coarse_masks_are_shown_too(write_report):
    one = write_report("demo", choices("all"), {"iou": 0.9}, {"iou": 0.8})
    assert "+10.0" in screen_of(sweep_table("demo", [one]).screen)
    other = write_report("demo", choices("box"), {"iou": 0.9}, {"iou": 0.7})
    screen = screen_of(sweep_table("demo", [one, other]).screen)
    assert "+20.0" in screen
    assert "coarse" not in screen


def test_an_empty_or_broken_folder_is_no_error(tmp_path):
    assert write_sweep_table(tmp_path) is None
    (tmp_path / "report.json").write_text("[]")
    assert write_sweep_table(tmp_path) is None
    assert not (tmp_path / "table.md").exists()
