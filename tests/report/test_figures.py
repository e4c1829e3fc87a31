import csv
import shlex
import shutil
import sys

import pytest
from PIL import Image

from samref.cli.main import main
from samref.errors import ConfigError
from samref.report.figures import as_csv, plot, read_figure, read_figures
from samref.report.overview import read_overview
from samref.report.plots import draw, draw_overview, draw_reliability
from samref.report.reliability import read_reliability
from samref.report.runs import read_runs
from samref.report.tables import EXPERIMENTS

FIGURES = read_figures(EXPERIMENTS)
SETTING = {"hydra_choices.backbone": "mobile_sam", "hydra_choices.dataset": "davis585"}


def figure(name):
    return next(found for found in FIGURES if found.name == name)


@pytest.fixture
def cascade_runs(write_report):
    """Two series of Fig. 7b, three rounds each, and an older run of another backbone."""
    scores = {"masks": (0.85, 0.87, 0.86), "box_then_logits": (0.77, 0.78, 0.79)}
    paths = [
        write_report(
            "cascade",
            {**SETTING, "refiner.cascade": cascade, "refiner.mining": "last", "refiner.iterations": rounds},
            {"iou": value, "boundary_iou": value - 0.1},
            {"iou": 0.81, "boundary_iou": 0.71},
            finished=f"2025-06-01T12:0{rounds}:00Z",
        )
        for cascade, values in scores.items()
        for rounds, value in enumerate(values, 1)
    ]
    other = {
        **SETTING,
        "hydra_choices.backbone": "vit_b",
        "refiner.cascade": "masks",
        "refiner.mining": "last",
        "refiner.iterations": 4,
    }
    paths.append(write_report("cascade", other, {"iou": 0.99}, finished="2024-01-01T00:00:00Z"))
    return read_runs(paths)[0]


def test_every_figure_is_there_with_what_a_reader_needs():
    assert [found.name for found in FIGURES] == [
        "selection", "rounds", "cascade", "gaussian_sensitivity", "lambda_sensitivity", "coarse_kinds",
    ]  # fmt: skip
    for found in FIGURES:
        readme = (EXPERIMENTS / found.name / "README.md").read_text()
        assert found.command in readme
        assert "**Data.**" in readme
        assert found.name == found.experiment
        assert f"+experiment={found.experiment}" in shlex.split(found.command)


def test_runs_of_the_newest_ones_setting_become_points(cascade_runs):
    plotted = plot(figure("cascade"), cascade_runs)
    measured = {(point.series, point.x): point.values["iou"] for point in plotted.points}
    again, logits = list(plotted.figure.series)[:2]
    assert measured == {
        (again, "1"): 85, (again, "2"): 87, (again, "3"): 86,
        (logits, "1"): 77, (logits, "2"): 78, (logits, "3"): 79,
    }  # fmt: skip
    assert plotted.coarse == {"iou": 81, "boundary_iou": pytest.approx(71)}
    assert plotted.setting == "mobile_sam on davis585, 20 masks"
    assert plot(figure("rounds"), cascade_runs) is None


def test_the_lines_drawn_are_the_points_measured_and_the_papers(cascade_runs):
    canvas = draw(plot(figure("cascade"), cascade_runs))
    assert [axes.get_title() for axes in canvas.axes] == ["IoU", "boundary IoU"]
    drawn = {}
    for line in canvas.axes[0].lines:
        drawn.setdefault(line.get_label(), []).append((list(line.get_xdata()), list(line.get_ydata())))
    series = list(figure("cascade").series)
    assert drawn[series[0]] == [([0, 1, 2], [85, 87, 86])]
    assert drawn[series[1]] == [([0, 1, 2], [77, 78, 79])]
    assert drawn["paper"][0] == ([0], [86.9])
    assert drawn["coarse masks"][0][1] == [81, 81]
    assert [tick.get_text() for tick in canvas.axes[0].get_xticklabels()] == ["1", "2", "3"]


def test_every_backbone_has_a_curve_of_its_own(write_report):
    paths = [
        write_report(
            "rounds",
            {**SETTING, "hydra_choices.backbone": backbone, "refiner.iterations": rounds},
            {"iou": value + rounds / 100, "boundary_iou": 0.5},
            finished=f"2025-06-01T12:{minute:02}:0{rounds}Z",
        )
        for minute, (backbone, value) in enumerate({"vit_b": 0.8, "vit_l": 0.82, "vit_h": 0.85}.items())
        for rounds in (1, 2)
    ]
    plotted = plot(figure("rounds"), read_runs(paths)[0])
    assert plotted.labels == ("vit_b", "vit_l", "vit_h")
    assert plotted.setting == "on davis585, 20 masks"
    drawn = {line.get_label(): list(line.get_ydata()) for line in draw(plotted).axes[0].lines if len(line.get_xdata())}
    assert drawn["vit_b"] == pytest.approx([81, 82])
    assert drawn["vit_h"] == pytest.approx([86, 87])
    assert drawn["paper"] == [86.9], "the paper prints one point, of vit_h"
    rows = list(csv.DictReader(as_csv(plotted).splitlines()))
    (shared,) = [row for row in rows if (row["series"], row["x"], row["metric"]) == ("vit_h", "1", "iou")]
    assert (shared["paper"], shared["ours"]) == ("86.9", "86.0")


def test_bars_stand_where_their_combination_does(write_report):
    paths = [
        write_report(
            "selection",
            {
                **SETTING,
                "hydra_choices.prompts": prompts,
                "hydra_choices.adaption": "none",
                "refiner.selection": selection,
            },
            {"iou": value},
        )
        for prompts, selection, value in (("box", "predicted", 0.7), ("box", "oracle", 0.8), ("all", "oracle", 0.9))
    ]
    plotted = plot(figure("selection"), read_runs(paths)[0])
    canvas = draw(plotted)
    assert len(canvas.axes) == 1
    bars = {(round(bar.get_x() + bar.get_width() / 2), bar.get_height()) for bar in canvas.axes[0].patches}
    order = plotted.order("x")
    assert order == ["point", "box", "mask", "point_box", "point_mask", "box_mask", "all"]
    assert bars == {(order.index("box"), 70), (order.index("box"), 80), (order.index("all"), 90)}


def test_coarse_masks_that_differ_between_runs_are_a_series_of_their_own(write_report):
    paths = [
        write_report(
            "coarse_kinds",
            {**SETTING, "dataset.defects": kind, "verdict.enabled": judged},
            {"iou_mean": value, "harm": 0.1},
            {"iou_mean": coarse},
        )
        for kind, coarse in (("box", 0.4), ("exact", 1.0))
        for judged, value in ((False, coarse - 0.05), (True, coarse - 0.01))
    ]
    plotted = plot(figure("coarse_kinds"), read_runs(paths)[0])
    values = {(point.series, point.x): point.values["iou_mean"] for point in plotted.points}
    assert values == pytest.approx({
        ("coarse masks", "box"): 40, ("paper's recipe", "box"): 35, ("default", "box"): 39,
        ("coarse masks", "exact"): 100, ("paper's recipe", "exact"): 95, ("default", "exact"): 99,
    })  # fmt: skip
    assert plotted.coarse == {}
    iou, harm = draw(plotted).axes
    assert sorted(bar.get_height() for bar in iou.patches) == pytest.approx([35, 39, 40, 95, 99, 100])
    assert [bar.get_height() for bar in harm.patches] == pytest.approx([10] * 4)
    assert not iou.lines, "the paper has no numbers for it"


def test_a_map_has_numbers_in_its_cells_by_size_of_the_axes(write_report):
    paths = [
        write_report(
            "gaussian_sensitivity",
            {
                **SETTING,
                "prompts.mask.omega": omega,
                "prompts.mask.gamma": gamma,
                "prompts.mask.form": form,
                "prompts.mask.background": -1,
            },
            {"iou": (50 + omega + gamma) / 100 if form == "center" else 0.42},
        )
        for omega, form in ((15, "center"), (1, "center"), (5, "center"), (1, "coarse"))
        for gamma in (4, 0.5)
    ]
    plotted = plot(figure("gaussian_sensitivity"), read_runs(paths)[0])
    axes = draw(plotted).axes[0]
    assert axes.get_title() == "IoU\nthe coarse mask itself: 42.0"
    assert "gaussian_sensitivity,the coarse mask itself,,,iou,,42.0," in as_csv(plotted)
    texts = {
        tuple(map(round, text.get_position())): text.get_text() for text in axes.texts if "paper" not in text.get_text()
    }
    assert texts == {
        (0, 0): "51.5", (1, 0): "55.0", (0, 1): "55.5", (1, 1): "59.0", (0, 2): "65.5", (1, 2): "69.0",
    }  # fmt: skip
    assert "paper 86.9" in [text.get_text() for text in axes.texts]


def test_numbers_are_left_beside_the_papers(cascade_runs):
    rows = list(csv.DictReader(as_csv(plot(figure("cascade"), cascade_runs)).splitlines()))
    (first,) = [
        row
        for row in rows
        if row["series"].startswith("all prompts, mined") and (row["x"], row["metric"]) == ("1", "iou")
    ]
    assert (first["paper"], first["ours"]) == ("86.9", "85.0")
    assert first["report"].endswith("report.json")
    assert len(rows) == 2 * 6


@pytest.mark.parametrize("name", [found.name for found in FIGURES if (EXPERIMENTS / found.name / "results").is_dir()])
def test_every_committed_result_belongs_to_a_series(name):
    found = figure(name)
    conditions = [*found.series.values(), *found.baseline.values()]
    runs, problems = read_runs(sorted((EXPERIMENTS / name / "results").glob("*.report.json")))
    assert runs and not problems
    strangers = [run.path.name for run in runs if not any(run.matches(wanted) for wanted in conditions)]
    assert found.each or not strangers


def test_the_overview_takes_its_numbers_from_the_tables(write_report):
    choices = {"hydra_choices.prompts": "all", "hydra_choices.adaption": "iou_lora"}
    path = write_report("davis_ablation", choices, {"iou": 0.9, "boundary_iou": 0.8}, {"iou": 0.7})
    overview = read_overview(EXPERIMENTS / "overview" / "overview.yaml", read_runs([path])[0])
    pairs = {pair.name: pair for pair in overview.pairs}
    davis = pairs["DAVIS-585, IoU"]
    assert davis.paper == (81.4, 87.1)
    assert davis.ours == pytest.approx((70, 90))
    assert pairs["BIG, IoU"].paper == (89.4, 93.9)
    assert pairs["BIG, IoU"].ours == (None, None)
    (axes,) = draw_overview(overview).axes
    drawn = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert drawn == [(81.4, 87.1), pytest.approx((70, 90)), *(pair.paper for pair in overview.pairs[1:])]


def test_the_reliability_diagram_pools_the_runs_of_its_experiment(write_report):
    one, other = ({"from": 0.9, "masks": n, "score": 0.95, "iou": iou} for n, iou in ((1, 0.8), (3, 0.9)))
    low = {"from": 0.1, "masks": 1, "score": 0.15, "iou": 0.25}
    paths = [
        write_report("coarse_kinds", {"verdict.enabled": True}, {}, identity="a", calibration=[low, one]),
        write_report("coarse_kinds", {"verdict.enabled": True}, {}, identity="b", calibration=[other]),
        write_report("coarse_kinds", {"verdict.enabled": False}, {}, identity="c", calibration=None),
    ]
    found = read_reliability(EXPERIMENTS / "coarse_kinds" / "reliability.yaml", read_runs(paths)[0])
    assert (found.runs, [bin["masks"] for bin in found.bins]) == (2, [1, 4])
    assert found.bins[1]["iou"] == pytest.approx(0.875)
    assert found.error == pytest.approx((0.1 + 4 * 0.075) / 5)
    axes, counts = draw_reliability(found).axes
    assert axes.lines[1].get_xydata().tolist() == [[0.15, 0.25], pytest.approx([0.95, 0.875])]
    assert [bar.get_height() for bar in counts.patches] == [1, 4]


@pytest.mark.parametrize(
    ("pair", "complaint"),
    [
        ("{name: n, table: davis_ablation, column: iou, coarse: {prompts: x}, refined: {prompts: all}}", "no row with"),
        ("{name: n, table: davis_ablation, column: x, coarse: {prompts: box}, refined: {prompts: all}}", "no number"),
        ("{name: n, table: davis_ablation, column: iou, coarse: {prompts: box}}", "expected coarse, column"),
    ],
)
def test_an_overview_of_what_is_not_there_is_one_sentence(tmp_path, pair, complaint):
    shutil.copytree(EXPERIMENTS / "davis_ablation", tmp_path / "davis_ablation")
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "overview.yaml").write_text(f"title: t\npairs: [{pair}]\n")
    with pytest.raises(ConfigError, match=complaint):
        read_overview(tmp_path / "o" / "overview.yaml", [])


def test_the_command_draws_what_has_runs_and_says_how_to_run_the_rest(cascade_runs, tmp_path, capsys):
    # Without the results that are committed beside the published numbers: they are newer than this test's runs.
    published = shutil.copytree(EXPERIMENTS, tmp_path / "experiments", ignore=shutil.ignore_patterns("results"))
    assert main(["figures", "--outputs", str(tmp_path / "outputs"), "--experiments", str(published)]) == 0
    screen = capsys.readouterr().out
    folder = tmp_path / "outputs" / "figures"
    drawn = {path.stem for path in folder.iterdir()}
    assert drawn == {"cascade", "overview"}
    assert {path.suffix for path in folder.glob("cascade.*")} == {".png", ".svg", ".csv"}
    assert Image.open(folder / "cascade.png").size[0] > 800
    assert f"6 points, mobile_sam on davis585, 20 masks: {folder}/cascade.png" in screen
    assert "no runs yet: python run.py +experiment=lambda_sensitivity" in screen


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "samref.report.plots")
    assert main(["figures"]) == 1
    assert "pip install 'samref[figures]'" in capsys.readouterr().err


GOOD = "title: t\nexperiment: e\ndata: d\ncommand: python run.py\nkind: lines\nx: a.b\npanels: [iou]\n"


@pytest.mark.parametrize(
    ("spec", "numbers", "complaint"),
    [
        (GOOD.replace("x: a.b\n", ""), "x,iou\n1,2\n", "lacks 'x'"),
        (GOOD.replace("lines", "pie"), "x,iou\n1,2\n", "kind 'pie'"),
        (GOOD.replace("lines", "map"), "x,iou\n1,2\n", "map with y"),
        (f"{GOOD}coarse: bars\n", "x,iou\n1,2\n", "coarse 'bars'; expected line or points"),
        (f"{GOOD}series: {{s: {{}}}}\neach: a.c\n", "x,iou\n1,2\n", "both series and each"),
        (GOOD, "y,iou\n1,2\n", "lacks the column 'x'"),
        (GOOD, "x,iou\n1,high\n", "text where a number"),
        (GOOD, "x,series,iou\n1,s,2\n", "the series 's'"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, spec, numbers, complaint):
    (tmp_path / "figure.yaml").write_text(spec)
    (tmp_path / "paper.csv").write_text(numbers)
    with pytest.raises(ConfigError, match=complaint):
        read_figure(tmp_path)


def test_a_folder_without_figures_is_one_sentence(tmp_path, capsys):
    assert main(["figures", "--experiments", str(tmp_path)]) == 1
    assert "figure.yaml" in capsys.readouterr().err
