"""What the README tells people to type is what there is."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from samref.config.compose import compose_config

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"python run\.py [^`\n]+", README)))


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes(command):
    words = shlex.split(command)[2:]
    overrides = [word for word in words if not word.startswith("-")]
    if overrides and "--config-dir" not in words:
        assert compose_config(overrides).name


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z]+)", README))))
def test_every_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"^(samref/\w+(?:\.py|/)|conf/|experiments/)", README, re.M))))
def test_every_place_named_in_the_layout_exists(path):
    assert (ROOT / path).exists()


def test_the_two_lines_run_as_they_stand():
    import numpy as np

    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    masks = np.zeros((2, 48, 64), dtype=bool)
    masks[:, 10:30, 20:40] = True
    names = {"image": image, "masks": masks}
    # The real weights are another test's business; here the words must be right.
    exec(code.replace("mobile_sam", "tiny"), names)
    assert names["result"].masks.shape == masks.shape
    assert all(hasattr(names["result"], field) for field in ("predicted_iou", "chosen", "prompts", "flags"))


def test_a_part_of_ones_own_runs_as_it_stands(tmp_path):
    part, config = (re.search(rf"```{kind}\n(.*?)```", README[README.index("## Your own part") :], re.DOTALL)[1]
                    for kind in ("python", "yaml"))  # fmt: skip
    (command,) = re.findall(r"^PYTHONPATH=\. python (run\.py .*)$", README, re.MULTILINE)
    (tmp_path / "mine" / "refiner").mkdir(parents=True)
    (tmp_path / "closing.py").write_text(part)
    (tmp_path / "mine" / "refiner" / "closing.yaml").write_text(config)
    words = [sys.executable, *command.replace("run.py", str(ROOT / "run.py")).split(), "callbacks.progress=false"]
    path = os.pathsep.join([".", *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(next(tmp_path.rglob("report.json")).read_text())
    assert report["config"]["refiner"] == {"_target_": "closing.Closing", "width": 9}
    assert report["metrics"]["refined"]["iou"] > 0.5
