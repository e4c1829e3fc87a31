"""The saved view of a sweep: built by the library itself, without its server."""

import json

import pytest

from samref.cli.main import main
from samref.errors import ConfigError
from samref.loggers.wandb_dashboard import Sweep, workspace
from samref.report.runs import read_runs

WANDB = {"project": "samref", "entity": None, "group": "study"}


def write_reports(folder, jobs):
    for k, (prompts, omega, logged) in enumerate(jobs):
        config = {
            "name": "study",
            "hydra_choices": {"dataset": "scenes", "prompts": prompts},
            "prompts": {"mask": {"omega": omega}},
            "logger": {"wandb": logged} if logged else {"csv": {"name": "metrics"}},
        }
        report = {"experiment": "study", "config": config, "finished": f"2026-01-0{k + 1}T00:00:00+00:00"}
        report |= {"metrics": {"coarse": {"iou": 0.5, "biou": 0.4}, "refined": {"iou": 0.6 + k / 10, "biou": 0.5}}}
        (folder / str(k)).mkdir(parents=True)
        (folder / str(k) / "report.json").write_text(json.dumps(report))
    return sorted(folder.rglob("report.json"))


def specification(sweep):
    return json.loads(workspace(sweep, "me")._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))


def test_a_view_has_the_metrics_of_the_group_against_what_was_swept(tmp_path):
    jobs = [("box", 1, WANDB), ("box", 15.0, WANDB), ("points", 1, WANDB), ("points", 15.0, None)]
    sweep = Sweep.of(read_runs(write_reports(tmp_path, jobs))[0])
    assert (sweep.project, sweep.entity, sweep.group, len(sweep.table.runs)) == ("samref", None, "study", 3)
    section = specification(sweep)["section"]
    (runs,) = section["runSets"]
    assert [(f["key"]["name"], f["value"]) for f in runs["filters"]["filters"]] == [("group", "study")]
    assert {"summary:refined/iou", "config:prompts.mask.omega"} <= runs["runFeed"]["columnPinned"].keys()
    shown = {
        part["name"]: [panel["config"] for panel in part["panels"]] for part in section["panelBankConfig"]["sections"]
    }
    assert list(shown) == ["refined iou", "refined biou", "all options", "pictures"]
    bars, points = shown["refined biou"]
    assert (bars["metrics"], bars["groupBy"]) == (["summary_metrics.refined/biou"], "hydra_choices.value.prompts")
    assert (points["xAxis"], points["yAxis"]) == ("config:prompts.value.mask.omega", "summary:refined/biou")
    (together,) = shown["all options"]
    assert [column["accessor"] for column in together["columns"]] == [
        "config:hydra_choices.value.prompts", "config:prompts.value.mask.omega", "summary:refined/iou",
        "summary:refined/biou",
    ]  # fmt: skip
    assert "pictures/worst" in shown["pictures"][0]["mediaKeys"]


def test_what_is_no_sweep_on_the_server_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"none of 1 finished runs .*; run the sweep with logger=wandb"):
        Sweep.of(read_runs(write_reports(tmp_path / "csv", [("box", 1, None)]))[0])
    jobs = [("box", 1, WANDB), ("box", 2, {**WANDB, "group": "other"})]
    with pytest.raises(ConfigError, match=r"2 groups \(other, study\); give the folder of one sweep"):
        Sweep.of(read_runs(write_reports(tmp_path / "two", jobs))[0])


def test_without_a_key_the_command_says_what_to_do(tmp_path, monkeypatch, capsys):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    write_reports(tmp_path / "study", [("box", 1, WANDB), ("points", 1, WANDB)])
    assert main(["dashboard", str(tmp_path / "study")]) == 1
    assert "there is no key for it; set WANDB_API_KEY" in capsys.readouterr().err
    assert main(["dashboard", str(tmp_path / "nowhere")]) == 1
    assert "nowhere is not a folder" in capsys.readouterr().err
