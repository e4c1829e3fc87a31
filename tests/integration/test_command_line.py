"""What a user sees of `python run.py` when something is wrong: one sentence on stderr, exit code 1.

What is known before anything is loaded: tests/cli/test_main.py.
"""

import re
import shlex

import pytest

from tests.factories import make_davis585
from tests.processes import ROOT, forked


def run_py(folder, *words):
    return forked(ROOT / "run.py", *words, "callbacks.progress=false", cwd=folder)


def test_a_file_that_is_no_checkpoint_is_one_sentence(tmp_path):
    (tmp_path / "torn.pt").write_bytes(b"torn")
    done = run_py(tmp_path, "backbone=mobile_sam", "backbone.weights=torn.pt")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: cannot read torn.pt as a checkpoint ")
    assert not list(tmp_path.rglob("report.json"))


@pytest.mark.parametrize("name", ["split=train", "My Data (1)", "n#1", "données", "it's", "a,b"])
def test_a_path_that_hydra_cannot_read_is_shown_as_it_can(tmp_path, name):
    """What the sentence shows, pasted into a shell, is understood."""
    done = run_py(tmp_path, "dataset=folder", f"dataset.images={name}/img", "dataset.masks=masks")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    (word,) = [word for word in shlex.split(re.search(r"'dataset.images=.*", line)[0]) if "=" in word]
    again = run_py(tmp_path, "dataset=folder", word.rstrip(";"), "dataset.masks=masks")
    assert f"error: dataset.images={name}/img is not a folder" in again.stderr


def test_a_sweep_goes_on_after_a_job_that_fails_and_says_so(tmp_path):
    root = make_davis585(tmp_path / "data", sequences=1, frames=1)
    words = ["dataset=davis585", f"dataset.root={root}", "prompts=box", "refiner.selection=nonsense,predicted"]
    done = run_py(tmp_path, "-m", *words, "backbone=tiny")
    assert done.returncode == 1
    assert "error: refiner.selection is 'nonsense'" in done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert len(list(tmp_path.rglob("report.json"))) == 1
