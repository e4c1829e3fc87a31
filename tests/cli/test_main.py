"""`samref` as a user meets it: help, mistakes, and Ctrl-C."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache

import pytest

from samref.cli.main import COMMANDS, main
from tests.processes import ROOT, forked, python

# Nothing of these is needed to answer a mistake.
HEAVY = ("torch", "torchvision", "lightning", "scipy", "skimage", "rich", "matplotlib")
# Runs the command, then says what it cost in processor seconds, Python's own start included, and what it imported.
MEASURE = f"""
import resource, sys

from samref.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
usage = resource.getrusage(resource.RUSAGE_SELF)
print("\\nMEASURED", code, usage.ru_utime + usage.ru_stime, *(name for name in {HEAVY} if name in sys.modules))
"""
# In compositions of the default configuration by a fresh Python, imports included: a slow machine is no failure.
# The slowest take about 1.3; composing three times took more than 2, importing PyTorch takes more than 3.
COMPOSITIONS = 1.6
COMPOSE = "from samref.config.compose import compose_config; compose_config([])"
# Noise only adds: what is slow every time is slow.
TRIES = 3


def measured(folder, *words):
    found = []
    for _ in range(TRIES):
        done = python("-c", MEASURE, *words, cwd=folder)
        text, _, line = done.stdout.rpartition("\nMEASURED ")
        code, seconds, *heavy = line.split()
        found.append(float(seconds) / seconds_of_composing())
        if found[-1] < COMPOSITIONS:
            break
        seconds_of_composing.cache_clear()
    return text + done.stderr, code, min(found), heavy


@cache
def seconds_of_composing():
    """Processor seconds of a fresh Python that composes the default configuration."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python("-c", COMPOSE, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["run", "--help", "dataset=coco", "prompts", "refiner"]], ids=" ".join
)
def test_help_is_there_at_once(tmp_path, words):
    text, code, cost, heavy = measured(tmp_path, *words)
    assert (code, heavy) == ("0", [])
    assert "samref run" in text
    assert cost < COMPOSITIONS


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"run"}))
def test_every_command_explains_itself_at_once(tmp_path, name):
    text, code, cost, heavy = measured(tmp_path, name, "--help")
    assert (code, heavy) == ("0", [])
    assert text.startswith(f"usage: samref {name}")
    assert cost < COMPOSITIONS


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["refin", "a", "b", "c"], "there is no command refin; did you mean refine?"),
        (
            ["refine", "imags", "masks", "out"],
            "imags is not a folder (there is images); expected the folder of the images",
        ),
        (["refine", "images", "masks"], "OUTPUT missing; expected samref refine IMAGES MASKS OUTPUT"),
        (["refine", "images", "images", "out", "refiner.iteration=2"], "did you mean refiner.iterations?"),
        (["refine", "--coco", "gt.json", "pred.json", "--images", "images", "out"], "gt.json is not a file"),
        (["run", "prompts=bix"], "there is no prompts=bix; did you mean prompts=box? expected one of all, box, "),
        (["run", "prompts.mask.omga=3"], "there is no option prompts.mask.omga; did you mean prompts.mask.omega?"),
        (["run", "omega=3"], "there is no option omega; did you mean prompts.mask.omega?"),
        (["run", "dataset.images=images"], "dataset.images is an option of dataset=coco or cvat or folder or"),
        (["run", "dataset=davis585"], "dataset=davis585 needs dataset.root=DIR"),
        (
            ["run", "limit=ten", "prompts.mask.omega=x"],
            "limit is 'ten'; expected a whole number or null; prompts.mask.omega",
        ),
        (
            ["run", "dataset=davis585", "seed=-1"],
            "seed is -1; expected 0 or more; dataset=davis585 needs dataset.root=DIR",
        ),
        (["run", "dataset=davis585", "dataset.root=nowhere"], "dataset.root=nowhere is not a folder; expected "),
        (["run", "backbone.weights=torn.pt"], "backbone.weights=torn.pt is not a file; expected path of your own"),
        (["run", "experiment=dmeo"], "there is no experiment=dmeo; did you mean experiment=demo?"),
        (["run", "dataset=folder", "dataset.images=a(1)/b"], "quotes twice: 'dataset.images=\"a(1)/b\"'"),
        (["illustrate", "photo.jpg", "mask.png"], "photo.jpg is not a file; mask.png is not a file"),
        (["weights", "vit_x"], "vit_x"),
        (["tables", "--experiments", "nowhere"], "--experiments nowhere is not a folder"),
        (["app", "--backbone", "vith"], "did you mean backbone=vit_h?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_at_once_in_one_sentence(tmp_path, words, sentence):
    (tmp_path / "images").mkdir()
    text, code, cost, heavy = measured(tmp_path, *words)
    (line,) = text.strip().splitlines()
    assert line.startswith("error: ") and sentence in line
    assert (code, heavy) == ("2" if words[0] not in COMMANDS else "1", [])
    assert cost < COMPOSITIONS
    assert not list(tmp_path.rglob("report.json"))


def test_nothing_at_all_is_the_help(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"    {name}" in text for name in COMMANDS)


def test_the_version_is_the_packages(capsys):
    from importlib import metadata

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"samref {metadata.version('samref')}\n"


def test_every_command_is_where_the_table_says():
    import importlib

    for target, _ in COMMANDS.values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


INTERRUPTED = "interrupted; what is finished is kept, and the same command goes on from there"


def test_an_interruption_of_imports_ends_with_one_sentence_and_130(tmp_path):
    command = [sys.executable, "-m", "samref", "run", "backbone=tiny", "dataset.length=500", "dataset.size=[64,80]"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    paths = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, text=True, env=paths, **pipes)
    assert process.stdout.readline() == "loading tiny ...\n"
    # Python loses an interrupt that comes while it frees an object; a user presses again.
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
            break
    _, said = process.communicate(timeout=60)
    assert (said.split("\n")[-2], process.returncode) == (INTERRUPTED, 130)
    assert "Traceback" not in said


# A callback that presses Ctrl-C while images are being refined.
PRESSING = """
import os, signal
from lightning import Callback

class Pressing(Callback):
    def on_test_batch_end(self, trainer, module, outputs, batch, index):
        if index == 2:
            os.kill(os.getpid(), signal.SIGINT)
"""


def test_an_interruption_of_a_run_ends_with_one_sentence_and_130(tmp_path):
    (tmp_path / "pressing.py").write_text(PRESSING)
    words = ["backbone=tiny", "dataset.length=5", "dataset.size=[64,80]"]
    done = forked("-m", "samref", "run", *words, "+callbacks.x._target_=pressing.Pressing", cwd=tmp_path)
    assert (done.stderr.split("\n")[-2], done.returncode) == (INTERRUPTED, 130)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("report.json"))


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    program = "import sys; from samref.cli.main import main; sys.exit(main(['run', '--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(60)
