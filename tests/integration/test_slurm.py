"""Sweeps and shards on a real Slurm cluster; one node with Debian's packages is enough (docs/guide/shards.md)."""

import os
import sys
from pathlib import Path

import pytest

from tests.factories import make_folder
from tests.processes import ROOT, python

ENVIRONMENT = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
QUIET = ["backbone=tiny", "callbacks.progress=false", "callbacks.gallery=null", "callbacks.picture=null", "logger=none"]
ON_NODES = ["hydra/launcher=slurm_cpu", "hydra.launcher.mem_gb=3", "hydra.launcher.timeout_min=10"]


def samref(*words, cwd):
    return python("-m", "samref", *words, cwd=cwd, timeout=300, **ENVIRONMENT)


def test_shards_that_a_cluster_refines_are_what_one_run_leaves(tmp_path):
    data = make_folder(tmp_path / "data", names=["a", "b", "c", "d"], size=(40, 60))
    options = [*QUIET, "verdict.enabled=false", f"paths.outputs={tmp_path / 'runs'}"]
    split = samref("shards", "split", data / "images", data / "masks", "2", tmp_path / "shards", cwd=ROOT)
    command = next(line for line in split.stdout.splitlines() if line.startswith("samref run")).split()[1:]
    command = [word.strip("'") for word in command]
    done = samref(*command, *options, *ON_NODES, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert samref("shards", "merge", tmp_path / "shards", tmp_path / "merged", cwd=ROOT).returncode == 0
    single = samref("refine", data / "images", data / "masks", tmp_path / "single", *options, cwd=ROOT)
    assert single.returncode == 0, single.stderr
    names = ["a.png", "b.png", "c.png", "d.png"]
    merged, alone = ([(tmp_path / place / name).read_bytes() for name in names] for place in ("merged", "single"))
    assert merged == alone


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["hydra/launcher=slurm"], "where nodes have no GPU, hydra/launcher=slurm_cpu requests none"),
        (["hydra/launcher=slurm_cpu", "hydra.launcher.partition=no_such"], "is one that `sinfo` lists"),
        (["hydra/launcher=slurm_cpu", "hydra.launcher.mem_gb=900000"], "hydra.launcher."),
    ],
)
def test_what_the_cluster_refuses_is_one_sentence(tmp_path, options, sentence):
    words = ["run", "-m", "prompts=box,all", "dataset.length=1", *QUIET, f"paths.outputs={tmp_path}"]
    done = samref(*words, *options, cwd=ROOT)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: Slurm refused the jobs: ") and sentence in last
