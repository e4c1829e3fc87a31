"""What a user sees of `python run.py` when something is wrong: one sentence on stderr, exit code 1."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import make_davis585

ROOT = Path(__file__).resolve().parents[2]


def run_py(folder, *words):
    command = [sys.executable, str(ROOT / "run.py"), *words, "callbacks.progress=false"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["prompts=foo"], "error: In 'config': Could not find 'prompts/foo'; Available options in 'prompts': "),
        (["prompts.mask.omga=3"], "error: Could not override 'prompts.mask.omga'; To append to your config use "),
        (["dataset=davis585", "dataset.root=nowhere"], "error: dataset.root=nowhere is not a folder; "),
        (["backbone=mobile_sam", "backbone.weights=torn.pt"], "error: cannot read torn.pt as a checkpoint "),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, words, sentence):
    (tmp_path / "torn.pt").write_bytes(b"torn")
    done = run_py(tmp_path, *words)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(sentence)
    assert not list(tmp_path.rglob("report.json"))


def test_a_sweep_goes_on_after_a_job_that_fails_and_says_so(tmp_path):
    root = make_davis585(tmp_path / "data", sequences=1, frames=1)
    words = ["dataset=davis585", f"dataset.root={root}", "prompts=box", "refiner.selection=nonsense,predicted"]
    done = run_py(tmp_path, "-m", *words, "backbone=tiny")
    assert done.returncode == 1
    assert "error: refiner.selection is 'nonsense'" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.rglob("report.json"))) == 1
