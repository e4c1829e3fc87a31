"""Commands in README and documentation are those that there are."""

import itertools
import re
import shlex
from functools import lru_cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from samref.cli.formats import FORMATS
from samref.cli.main import COMMANDS
from samref.cli.refine import read_task
from samref.config.compose import compose_config
from samref.config.shipped import config_dir

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "experiments").rglob("README.md")),
]
FENCE = re.compile(r"^( *)```.*?^ *```", re.DOTALL | re.MULTILINE)
OPTION = re.compile(r"`\+?([a-z_]+(?:[./][a-z0-9_]+)*)=([^`]*)`")
# Options exist where something else was chosen first.
CONTEXTS = (
    ("dataset=folder",),
    ("dataset=coco",),
    ("dataset=yolo",),
    ("dataset=geotiff",),
    ("dataset=voc_instances",),
    ("adaption=iou_lora", "logger=wandb"),
    ("refiner=dense_crf", "dataset=davis585"),
    ("refiner=segrefiner", "dataset=big"),
    ("refiner=crm", "dataset=big"),
    ("refiner=bpr", "dataset=coco"),
    ("refiner=segfix", "dataset=voc"),
    ("refiner=best_of", "dataset=folder"),
    ("dataset=scenes", "logger=tensorboard"),
    ("+experiment=voc_training", "+trainer.max_steps=1", "+trainer.precision=16-mixed"),
    ("+experiment=coco_training",),
    ("+experiment=folder_training",),
)


def texts():
    return [(page, page.read_text(encoding="utf-8")) for page in PAGES]


def code(text):
    """Lines of code blocks, and code within sentences."""
    blocks = [found[0] for found in FENCE.finditer(text)]
    rest = FENCE.sub("", text)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"^    (\S.*)$", rest, re.MULTILINE)
    return [line.strip() for line in lines] + re.findall(r"`([^`\n]+)`", rest)


def commands(word):
    """Every command of one kind that some page shows, once."""
    found = set()
    for _, text in texts():
        for line in code(text):
            line = line.partition("  #")[0].removeprefix("PYTHONPATH=. ").strip()
            if line.startswith(word + " "):
                found.add(line)
    return sorted(found)


def runs():
    return sorted({*commands("python run.py"), *commands("samref run")})


def test_there_are_commands():
    assert len(runs()) >= 30
    assert len(commands("samref")) >= 15
    assert len(commands("make")) >= 5


@pytest.mark.parametrize("command", runs())
def test_every_run_composes(command):
    words = shlex.split(command)[2:]
    overrides = [word for word in words if not word.startswith("-")]
    # Those with parts of one's own are run as they stand, see test_examples.py.
    if overrides and "..." not in overrides and "--config-dir" not in words:
        sweep = "-m" in words or any("experiment=" in word for word in words)
        swept = [word.split(",")[0] if sweep and "[" not in word else word for word in overrides]
        assert compose_config([word for word in swept if not word.startswith("hydra")]).name


@pytest.mark.parametrize("command", commands("samref"))
def test_every_command_exists(command):
    name, *words = shlex.split(command)[1:]
    assert name in COMMANDS or name in ("COMMAND", "--help")
    if name == "refine" and words:
        formats = [form.dataset for flag, form in FORMATS.items() if f"--{flag}" in words]
        assert [read_task(words).dataset] == (formats or ["coco" if "--coco" in words else "folder"])


@pytest.mark.parametrize("command", commands("make"))
def test_every_make_target_exists(command):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in itertools.takewhile(lambda word: word.isalpha(), command.split()[1:]):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), command


def test_every_place_exists():
    missing = []
    for page, text in texts():
        for place in re.findall(r"(?:^|[`\s])((?:samref|conf|tests|experiments|benchmarks)/[\w./-]*)", text):
            path = place.rstrip(".")
            if not (ROOT / path).exists() and not re.search(r"[A-Z]{3,}", path):
                missing.append(f"{page.relative_to(ROOT)}: {place}")
    assert not missing


@lru_cache
def composed():
    return [compose_config(words) for words in CONTEXTS]


def is_option(key, value):
    """Whether `key=value` is an option of some group, or sets a key that some run has."""
    group = config_dir() / key.replace(".", "/")
    if group.is_dir():
        return re.fullmatch(r"\w+", value) is None or value.isupper() or (group / f"{value}.yaml").is_file()
    return any(OmegaConf.select(cfg, key, default=OmegaConf) is not OmegaConf for cfg in composed())


def test_every_option_exists():
    unknown = {
        f"{page.relative_to(ROOT)}: {key}={value}"
        for page, text in texts()
        for key, value in OPTION.findall(text)
        if not (is_option(key, value) or key.startswith(("key", "hydra", "row.")) or "experiments" in page.parts)
        # Keywords of Python, named beside the options.
        and not re.search(rf"`{key}={re.escape(value)}` in Python|in Python `{key}=", text)
    }
    assert not unknown
