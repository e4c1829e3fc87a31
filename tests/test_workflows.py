"""Workflows run commands that exist: scripts, targets of make, extras, paths."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from conftest import NEEDS

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
JOBS = [
    pytest.param(job, id=f"{path.stem}-{name}")
    for path in WORKFLOWS
    for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def commands(job):
    return [shlex.split(line) for step in job["steps"] for line in step.get("run", "").splitlines() if line.strip()]


def test_every_supported_python_is_tested():
    (suite,) = (job.values[0] for job in JOBS if job.id == "tests-suite")
    assert suite["strategy"]["matrix"]["python"] == re.findall(r"Python :: (3\.\d+)", PYPROJECT)
    (minimum,) = (job.values[0] for job in JOBS if job.id == "tests-minimum")
    oldest = re.search(r'requires-python = ">=([\d.]+)"', PYPROJECT)[1]
    assert [step["with"]["python-version"] for step in minimum["steps"] if "setup-python" in step.get("uses", "")] == [
        oldest
    ]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_complete(job):
    assert job["runs-on"] and job["timeout-minutes"]
    for step in job["steps"]:
        assert ("uses" in step) != ("run" in step), step
        assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/x@v1"))


@pytest.mark.parametrize("job", JOBS)
def test_commands_exist(job):
    targets = re.findall(r"^(\w+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands(job)
    for words in commands(job):
        program, *rest = words
        if program == "make":
            assert set(rest) <= set(targets), words
        elif program.startswith("./"):
            assert (ROOT / program).stat().st_mode & 0o100, f"{program} cannot be executed"
        elif program.endswith("/samref"):
            from samref.cli.main import COMMANDS

            assert rest[0] in COMMANDS
            named = [word.partition("=")[2] for word in rest if word.startswith("experiment=")]
            assert all((ROOT / "conf" / "experiment" / f"{name}.yaml").is_file() for name in named)
        else:
            assert re.fullmatch(r"(/tmp/installed/bin/)?python", program), words
            assert rest[:2] == ["-m", rest[1]] and rest[1] in ("pip", "pytest", "uv", "venv"), words
            for extra in re.findall(r"\[([\w,]+)\]", " ".join(rest)):
                assert all(re.search(rf"^{name} = \[", PYPROJECT, re.MULTILINE) for name in extra.split(",")), words
            if rest[1] == "pytest":
                paths = [word for word in rest[2:] if word.startswith("tests")]
                assert all((ROOT / path).exists() for path in paths)


def test_no_registry_is_named():
    for path in WORKFLOWS:
        assert not re.search(r"https?://|index-url", path.read_text(encoding="utf-8"))


def test_what_is_left_out_without_an_extra_is_there():
    assert not [path for paths in NEEDS.values() for path in paths if not (ROOT / path).exists()]
