"""Sweeps whose jobs run elsewhere: joblib's processes here, and Slurm's options as they would be submitted."""

import json

from hydra import compose, initialize_config_dir

from samref.config.shipped import config_dir
from tests.factories import make_davis585
from tests.processes import ROOT, forked


def test_slurm_is_the_plugins_launcher_with_our_values():
    with initialize_config_dir(config_dir=str(config_dir()), version_base="1.3"):
        cfg = compose("config", ["hydra/launcher=slurm"], return_hydra_config=True)
    launcher = cfg.hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.gpus_per_node, launcher.tasks_per_node) == (1, 1)


def test_without_gpus_none_is_asked_for_and_the_rest_is_slurms():
    with initialize_config_dir(config_dir=str(config_dir()), version_base="1.3"):
        cfg = compose("config", ["hydra/launcher=slurm_cpu"], return_hydra_config=True)
    launcher = cfg.hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.gpus_per_node, launcher.cpus_per_task, launcher.array_parallelism) == (None, 1, 16)


def test_jobs_in_other_processes_leave_their_reports_and_one_table(tmp_path):
    root = make_davis585(tmp_path / "data", sequences=1, frames=1)
    words = ["dataset=davis585", f"dataset.root={root}", "backbone=tiny", "prompts=box,all", "adaption=iou_lora"]
    quiet = ["callbacks.progress=false", "adaption.min_steps=2", f"paths.outputs={tmp_path / 'outputs'}"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = forked(ROOT / "run.py", "-m", *words, *quiet, *launcher, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    reports = [json.loads(path.read_text()) for path in (tmp_path / "outputs").rglob("report.json")]
    assert sorted(report["config"]["hydra_choices"]["prompts"] for report in reports) == ["all", "box"]
    assert len(list((tmp_path / "outputs" / "adaptors").glob("*/adaptor.safetensors"))) == 1
    assert "table.md" in done.stdout
