"""`logger=wandb`: what an offline run holds when read, and that it never prompts, never blocks and keeps no key."""

import itertools
import json
import re

import pytest
import wandb
import yaml
from PIL import Image

from samref.config.compose import compose_config
from samref.config.shipped import config_dir
from samref.engine import runner
from samref.errors import ConfigError
from samref.loggers.wandb import CLASSES, WandbLog, chosen_mode, has_key, summary
from tests.factories import make_davis585
from tests.loggers.wandb_files import offline_runs

pytestmark = pytest.mark.xdist_group("wandb")
KEY = "k3y" * 13 + "k"
VARIABLES = ("API_KEY", "MODE", "BASE_URL", "IDENTITY_TOKEN_FILE", "PROJECT")


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    """A user without a key."""
    for name in (
        "WANDB_API_KEY",
        "WANDB_MODE",
        "WANDB_BASE_URL",
        "WANDB_IDENTITY_TOKEN_FILE",
        "NETRC",
        "WANDB_PROJECT",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(WandbLog, "_unreachable", False)
    yield
    WandbLog.close_job(failed=True)


@pytest.fixture
def run(tmp_path):
    root = make_davis585(tmp_path / "davis", sequences=2, frames=2)
    words = ["dataset=davis585", f"dataset.root={root}", "backbone=tiny", "logger=wandb", "callbacks.progress=false"]

    def go(*more):
        return runner.run(
            compose_config([*words, f"paths.outputs={tmp_path / 'out'}", "callbacks.gallery.count=4", *more])
        )

    return go


def test_an_offline_sweep_read_back_has_config_metrics_curves_and_samples(run, tmp_path):
    adapted = ["adaption=iou_lora", "adaption.min_steps=3", "adaption.batch_size=2"]
    reports = [run("name=study", *adapted), run("name=study", "prompts=box")]
    assert wandb.run is None
    first, second = runs = offline_runs(tmp_path / "out" / "study" / "wandb")
    for found, report in zip(runs, reports, strict=True):
        assert found.exit_code == 0
        assert (found.run.run_group, found.run.project) == ("study", "samref")
        assert found.run.display_name in report["folder"]
        assert found.config["prompts"] == report["config"]["prompts"]
        assert found.config["hydra_choices"]["dataset"] == "davis585"
        assert found.summary["refined/iou"] == report["metrics"]["refined"]["iou"]
        gain = report["metrics"]["refined"]["iou"] - report["metrics"]["coarse"]["iou"]
        assert found.summary["gain/iou"] == pytest.approx(gain)
        assert found.summary["counts/masks"] == 4
    assert second.config["prompts"]["use"] == ["box"]
    losses = [row for row in first.history if "adaption/loss_step" in row]
    assert len(losses) >= 3
    assert [row["trainer/global_step"] for row in losses] == sorted(row["trainer/global_step"] for row in losses)
    assert any("lr-SGD" in row for row in first.history)
    assert not any("adaption/loss_step" in row for row in second.history)

    folder = next((tmp_path / "out").rglob(f"offline-run-*-{first.run.run_id}"))
    (table,) = folder.rglob("samples_*.table.json")
    content = json.loads(table.read_text())
    assert len(content["data"]) == 4
    images = {row[content["columns"].index("image")] for row in content["data"]}
    assert images == {"seq0/00000", "seq0/00005", "seq1/00000", "seq1/00005"}
    pictures = [value for row in first.history for key, value in row.items() if key.startswith("pictures/")]
    assert sum(value["count"] for value in pictures) == 4
    for value in pictures:
        for name in value["filenames"]:
            with Image.open(folder / "files" / name) as picture:
                assert picture.size == (value["width"], value["height"])
        for masks in value["all_masks"]:
            assert set(masks) == set(CLASSES)
        assert all(boxes["prompts"] for boxes in value["all_boxes"])
    assert len({(value["width"], value["height"]) for value in pictures}) == 1
    assert {"davis585", "samrefiner", "all", "tiny", "iou_lora"} <= set(first.run.tags)
    assert not re.search("-[0-9a-f]{8}$", first.run.display_name)


def test_a_key_with_no_server_ends_offline_and_is_written_nowhere(run, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    report = run("logger.wandb.init_timeout=2")
    assert "runs are kept offline" in caplog.text
    (found,) = offline_runs(tmp_path / "out")
    assert found.summary["refined/iou"] == report["metrics"]["refined"]["iou"]
    assert WandbLog._unreachable
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(written) > 5
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_a_job_that_fails_ends_its_run_as_failed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "log_report", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run()
    assert wandb.run is None
    (found,) = offline_runs(tmp_path / "out")
    assert found.exit_code == 1


def test_a_run_of_the_callers_is_used_and_left_open(run, tmp_path):
    with wandb.init(mode="offline", dir=tmp_path, project="own", settings=wandb.Settings(silent=True)) as own:
        report = run()
        assert wandb.run is own
    (found,) = offline_runs(tmp_path)
    assert found.run.project == "own"
    assert found.summary["refined/iou"] == report["metrics"]["refined"]["iou"]


@pytest.mark.parametrize(
    ("mode", "environment", "key", "expected"),
    [
        ("auto", None, False, "offline"),
        ("auto", None, True, "online"),
        ("auto", "dryrun", True, "offline"),
        ("auto", "disabled", True, "disabled"),
        ("online", None, False, "offline"),
        ("online", None, True, "online"),
        ("offline", None, True, "offline"),
        ("disabled", "online", True, "disabled"),
    ],
)
def test_the_mode_follows_config_environment_and_key(monkeypatch, mode, environment, key, expected):
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert chosen_mode(mode) == expected


def test_a_key_is_found_in_netrc_for_its_own_host_only(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    monkeypatch.setenv("NETRC", str(netrc))
    assert not has_key()
    netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    netrc.chmod(0o600)
    assert has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_key()
    netrc.write_text("machine half")
    assert not has_key()


def test_an_unknown_mode_is_one_sentence():
    with pytest.raises(
        ConfigError, match=r"logger\.wandb\.mode is 'loud'; expected one of auto, online, offline, disabled"
    ):
        WandbLog("samref", mode="loud")


def test_the_summary_of_a_run_without_truth_has_no_gains():
    report = {
        "metrics": {},
        "counts": {"images": 2},
        "timing": {"total": 1.5},
        "adaption": None,
        "peak_memory_mb": 10.0,
    }
    assert summary(report) == {"counts/images": 2, "timing/total": 1.5, "peak_memory_mb": 10.0}


def test_the_wandb_sweep_is_the_grid_of_the_experiment():
    sweep = yaml.safe_load((config_dir().parent / "docs" / "wandb_sweep.yaml").read_text())
    experiment = yaml.safe_load((config_dir() / "experiment" / "gaussian_sensitivity.yaml").read_text())
    grid = {key: [str(v) for v in entry["values"]] for key, entry in sweep["parameters"].items()}
    assert grid == {key: text.split(",") for key, text in experiment["hydra"]["sweeper"]["params"].items()}
    assert sweep["name"] == experiment["name"]
    fixed = [word for word in sweep["command"] if not word.startswith("${")]
    for chosen in itertools.product(*grid.values()):
        cfg = compose_config([*fixed, *(f"{key}={value}" for key, value in zip(grid, chosen, strict=True))])
        assert (str(cfg.prompts.mask.omega), str(cfg.prompts.mask.gamma)) == chosen
        assert cfg.name == sweep["name"] == cfg.logger.wandb.group
