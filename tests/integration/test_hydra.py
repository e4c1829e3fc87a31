"""What users of Hydra expect of a run: its folder, the number that a sweeper gets, several options of one group."""

import json
from typing import ClassVar

import pytest
from hydra.experimental.callback import Callback

from samref.cli.run import main
from samref.errors import ConfigError

QUICK = ["backbone=tiny", "dataset.length=1", "dataset.size=[64,80]", "callbacks.progress=false", "callbacks.gallery=0"]


class Returned(Callback):
    """Notes what each job returned to Hydra."""

    numbers: ClassVar[list[float | None]] = []

    def on_job_end(self, config, job_return, **kwargs):
        self.numbers.append(job_return.return_value)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: main([*QUICK, *words])


def reports(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("report.json"))]


@pytest.mark.parametrize("place", ["mine/here", "."])
def test_a_single_run_goes_where_hydra_puts_it(run, tmp_path, place):
    run(f"hydra.run.dir={place}")
    assert [path.parent for path in tmp_path.rglob("report.json")] == [(tmp_path / place).resolve()]


def test_other_options_in_the_same_folder_are_a_run_of_their_own(run, tmp_path):
    for prompts in ("box", "point"):
        run("hydra.run.dir=mine", f"prompts={prompts}")
    (report,) = reports(tmp_path)
    assert report["config"]["hydra_choices"]["prompts"] == "point"
    assert report["taken_up"] == 0


def test_a_job_returns_the_number_that_a_sweeper_optimizes(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Returned, "numbers", [])
    probe = f"+hydra.callbacks.probe._target_={__name__}.Returned"
    run(probe)
    run(probe, "optimized_metric=coarse.boundary_iou")
    (report,) = reports(tmp_path)
    assert Returned.numbers == [report["metrics"]["refined"]["iou"], report["metrics"]["coarse"]["boundary_iou"]]
    assert report["metrics"]["refined"]["iou"] != report["metrics"]["coarse"]["boundary_iou"]


def test_jobs_of_a_sweep_return_theirs(run, tmp_path, monkeypatch):
    monkeypatch.setattr(Returned, "numbers", [])
    run("-m", f"+hydra.callbacks.probe._target_={__name__}.Returned", "prompts=box,point")
    assert sorted(Returned.numbers) == sorted(report["metrics"]["refined"]["iou"] for report in reports(tmp_path))


def test_a_metric_that_is_not_measured_is_one_sentence(run, capsys):
    with pytest.raises(SystemExit):
        run("optimized_metric=refined.speed")
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: optimized_metric is refined.speed; expected coarse.iou or ")


@pytest.mark.parametrize("chosen", ["logger=[csv,tensorboard]", "logger=[tensorboard,csv]"])
def test_several_loggers_each_keep_what_they_keep_alone(run, tmp_path, chosen):
    pytest.importorskip("tensorboard")
    run(chosen)
    names = [path.name for path in tmp_path.rglob("*")]
    assert "metrics.csv" in names
    assert any(name.startswith("events.out.tfevents") for name in names)


def test_an_unknown_one_among_several_loggers_is_named(run):
    with pytest.raises(ConfigError, match=r"there is no logger=cvs; did you mean logger=csv\? expected one of csv, "):
        run("logger=[cvs,tensorboard]")
