"""Runs that are killed go on where they stopped, and end as if nothing had happened."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from omegaconf import OmegaConf

from samref.config.compose import compose_config
from samref.engine import runner
from tests.factories import make_folder


def config(tmp_path, data, out):
    return compose_config(
        [
            "dataset=folder",
            f"dataset.images={data / 'images'}",
            f"dataset.masks={data / 'masks'}",
            f"dataset.output={tmp_path / out}",
            f"paths.outputs={tmp_path / 'runs'}",
            "backbone=tiny",
            "verdict.enabled=false",
            "logger=none",
            "callbacks.progress=false",
        ]
    )


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def start_and_kill(cfg, runs, after):
    """Runs in a process of its own and kills it once it has finished so many images."""
    code = (
        "import sys; from omegaconf import OmegaConf; from samref.engine.runner import run\n"
        "run(OmegaConf.create(sys.argv[1]))"
    )
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code, OmegaConf.to_yaml(cfg)], env=one_thread)
    try:
        while journal_lines(runs) < after and child.poll() is None:
            time.sleep(0.002)
    finally:
        child.kill()
        child.wait()


def journal_lines(runs):
    return sum(path.read_bytes().count(b"\n") for path in runs.glob("**/.journal-*.jsonl"))


def test_a_killed_run_goes_on_and_writes_what_an_undisturbed_one_writes(tmp_path):
    names = [f"image{k:02d}" for k in range(40)]
    data = make_folder(tmp_path / "data", names=names)
    undisturbed = runner.run(config(tmp_path, data, "whole"))
    cfg = config(tmp_path, data, "killed")
    start_and_kill(cfg, tmp_path / "runs", after=8)
    assert 8 <= journal_lines(tmp_path / "runs") < len(names), "the kills must have come in the middle"
    report = runner.run(cfg)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert report["counts"] == undisturbed["counts"]
    samples = [Path(r["folder"], "samples.csv").read_text() for r in (report, undisturbed)]
    assert samples[0] == samples[1]
    assert not list((tmp_path / "runs").glob("**/.journal-*"))


def test_finished_images_are_not_refined_again(tmp_path, monkeypatch):
    data = make_folder(tmp_path / "data", names=[f"image{k}" for k in range(4)])
    cfg = config(tmp_path, data, "out")
    from samref.refiners.samrefiner import SAMRefiner

    seen = []

    def refine(self, sample, original=SAMRefiner.refine_sample, **options):
        if len(seen) == 2 and not os.environ.get("GO_ON"):
            raise KeyboardInterrupt
        seen.append(sample.image_id)
        return original(self, sample, **options)

    monkeypatch.setattr(SAMRefiner, "refine_sample", refine)
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        runner.run(cfg)
    assert len(seen) == 2
    journal = next((tmp_path / "runs").glob("**/.journal-0.jsonl"))
    with journal.open("a") as file:
        file.write('{"image": "image3", "tally": {"rows"')
    monkeypatch.setenv("GO_ON", "1")
    report = runner.run(cfg)
    assert sorted(seen) == ["image0", "image1", "image2", "image3"]
    assert report["counts"]["images"] == 4
    assert json.loads(next((tmp_path / "runs").glob("**/report.json")).read_text())["counts"]["images"] == 4
