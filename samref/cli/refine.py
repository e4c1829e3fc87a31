"""`samref refine IMAGES MASKS OUTPUT`: better masks for a folder of images, or for files of other formats."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from samref.cli.formats import FORMATS, Format, givens
from samref.config.paths import path_problem
from samref.config.reference import OPTIONAL_GROUPS, groups, run_keys
from samref.errors import ConfigError

USAGE = "\n       ".join(
    [
        "samref refine IMAGES MASKS OUTPUT [KEY=VALUE ...]",
        "samref refine --coco [GT.json] PRED.json --images IMAGES OUTPUT [KEY=VALUE ...]",
        *(f"samref refine --{flag} {form.usage} [KEY=VALUE ...]" for flag, form in FORMATS.items()),
    ]
)
DETAILS = """\
A folder. IMAGES and MASKS are folders; masks are named as their images are (a.png for a.jpg), or a_1.png, a_2.png, ...
for several objects, or they are label maps. What comes out has the same names and the same encoding.

A COCO json. PRED.json holds the coarse masks, as results or annotations; what comes out is OUTPUT/PRED.json with every
other field as it came. With GT.json, average precision before and after is reported.

Labels of other tools (see the options above) come out in the same format, under the same names: polygons as polygons,
with all parts and holes, and every other field as it came. dataset.tolerance=1 draws them with fewer points.

Paths need no quotes but the shell's. The same command again refines only what was added or changed.

often used:
  backbone=vit_h                a larger model than mobile_sam (vit_b, vit_l, vit_h, hq_vit_h, ...)
  backbone.device=cuda          where it runs; auto finds a GPU
  verdict.source=polygons       what the coarse masks are: boxes, polygons, network, superpixels, good; auto looks
  prompts=box                   another combination of prompts
  adaption=iou_lora             SAMRefiner++: trains the choice among candidates on your masks first, without labels
  dataset.truth=DIR             ground truth in a folder like MASKS: IoU before and after
  limit=20                      only the first images
`samref run --help dataset=folder prompts verdict` says what there is more, and what each means.
"""


@dataclass(frozen=True)
class Task:
    """What is to be refined, as it was typed.

    Attributes:
        options: paths by option of the data set.
        dataset: option of the group `dataset`.
        overrides: in Hydra's grammar.
    """

    options: dict[str, str]
    dataset: str
    overrides: list[str]


def main(words: Sequence[str]) -> int:
    """Refines; 0 when every image went well, 1 when some failed.

    Raises:
        SamrefError: for anything the user can fix.
    """
    if not words:
        _parser().print_help()
        return 2
    task = read_task(words)
    check_task(task)
    from samref.cli.job import run_job
    from samref.config.compose import compose_config
    from samref.config.mistakes import quoted

    paths = [f"dataset.{key}={quoted(os.path.expanduser(path))}" for key, path in task.options.items()]
    cfg = compose_config([f"dataset={task.dataset}", "name=refine", *paths, *task.overrides])
    sentence = run_job(cfg, shlex.join(["samref", "refine", *words])).sentence
    if sentence is not None:
        print(f"error: {sentence}", file=sys.stderr)
    return 0 if sentence is None else 1


def read_task(words: Sequence[str]) -> Task:
    """Reads the command line; argparse ends the process where it means nothing.

    Raises:
        ConfigError: for paths that are missing, or too many.
    """
    given = _parser().parse_intermixed_args(list(words))
    chosen = [flag for flag in FORMATS if getattr(given, flag.replace("-", "_"))]
    if len(chosen) + bool(given.coco) > 1:
        raise ConfigError(f"--{chosen[0]} is one of several formats; expected one")
    if chosen:
        return _read_format(chosen[0], given)
    # `--coco PRED.json OUTPUT`: what is no json is not the option's.
    jsons = [word for word in given.coco or () if word.endswith(".json")]
    rest = [word for word in given.coco or () if not word.endswith(".json")] + given.words
    names = ("OUTPUT",) if given.coco else ("IMAGES", "MASKS", "OUTPUT")
    overrides = [word for word in rest if is_override(word)]
    paths = [word for word in rest if not is_override(word)]
    if len(paths) < len(names):
        missing = " and ".join(names[len(paths) :])
        before = "--coco [GT.json] PRED.json --images DIR " if given.coco else ""
        raise ConfigError(f"{missing} missing; expected samref refine {before}{' '.join(names)} [KEY=VALUE ...]")
    # An option that there is not: composing says what was probably meant.
    overrides += [word for word in paths[len(names) :] if "=" in word]
    stray = [word for word in paths[len(names) :] if "=" not in word]
    if stray:
        raise ConfigError(f"{stray[0]} is too much: {', '.join(names)} are given, and what follows is KEY=VALUE")
    if not given.coco:
        if given.images is not None:
            raise ConfigError("--images belongs to --coco and others; a folder's images are the first of three paths")
        return Task(dict(zip(("images", "masks", "output"), paths, strict=True)), "folder", overrides)
    if not jsons or len(jsons) > 2:
        raise ConfigError(f"--coco takes PRED.json, or GT.json and PRED.json; {len(jsons)} .json files are given")
    if given.images is None:
        raise ConfigError("--coco needs --images DIR, the folder of the images")
    truth = {"annotations": jsons[0]} if len(jsons) == 2 else {}
    return Task(
        {"images": given.images, **truth, "predictions": jsons[-1], "output": paths[0]},
        "coco",
        overrides,
    )


def _read_format(flag: str, given: argparse.Namespace) -> Task:
    form: Format = FORMATS[flag]
    overrides = [word for word in given.words if is_override(word)]
    paths = [word for word in given.words if not is_override(word)]
    way = next((way for way in form.paths if len(way) + 1 == len(paths)), None)
    if way is None:
        raise ConfigError(f"{len(paths)} paths are given; expected samref refine --{flag} {form.usage} [KEY=VALUE ...]")
    if given.images is not None and form.images is None:
        raise ConfigError(f"--images does not belong to --{flag}; expected samref refine --{flag} {form.usage}")
    if given.images is None and form.images_needed:
        raise ConfigError(f"--{flag} needs --images DIR, the folder of the images")
    images = {} if given.images is None else {"images": given.images}
    options = dict(zip((path.option for path in way), paths, strict=False))
    return Task({**images, **options, "output": paths[-1]}, form.dataset, overrides)


def check_task(task: Task) -> None:
    """Looks for everything that is read, before anything slow is imported.

    Raises:
        ConfigError: naming each path that is not there, and what is expected.
    """
    known = givens(task.dataset)
    problems = [
        path_problem("", path, known[option].kind, known[option].meaning)
        for option, path in task.options.items()
        if option in known
    ]
    output = os.path.expanduser(task.options["output"])
    problems += [
        f"{path} holds ${{, which the configuration would replace; rename the folder, or link to it"
        for path in task.options.values()
        if "${" in path
    ]
    if os.path.exists(output) and not os.path.isdir(output):
        problems.append(f"{output} is a file; expected a folder for the refined masks, which is made when needed")
    found = [problem for problem in problems if problem is not None]
    if found:
        raise ConfigError("; ".join(found))


def is_override(word: str) -> bool:
    """Whether a word sets an option, and is not a path that holds a `=`."""
    key, equals, _ = word.lstrip("+~").partition("=")
    known = {*groups(), *run_keys(), *OPTIONAL_GROUPS, "hydra", "callbacks", "paths"}
    return (bool(equals) or (word.startswith("~") and "/" not in word)) and key.split(".")[0].split("/")[0] in known


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samref refine", usage=USAGE, description=__doc__, epilog=DETAILS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("words", nargs="*", metavar="IMAGES MASKS OUTPUT [KEY=VALUE ...]", help=argparse.SUPPRESS)
    parser.add_argument(
        "--coco", nargs="+", metavar="JSON", help="refine the masks of PRED.json; GT.json before it is the ground truth"
    )
    for flag, form in FORMATS.items():
        parser.add_argument(f"--{flag}", action="store_true", help=form.about)
    parser.add_argument("--images", metavar="DIR", help="folder of the images, for formats of one file")
    return parser
