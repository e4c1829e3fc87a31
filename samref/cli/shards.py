"""`samref shards split | merge`: masks for many jobs or machines, each with its own files, and one result."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from samref.config.paths import path_problem
from samref.errors import ConfigError

USAGE = """\
samref shards split IMAGES MASKS COUNT SHARDS
       samref shards split --coco PRED.json --images IMAGES COUNT SHARDS
       samref shards merge SHARDS OUTPUT"""
DETAILS = """\
split writes COUNT shards below the folder SHARDS: parts of the json, or folders of links. It prints the command that
refines them, which takes a launcher (hydra/launcher=slurm_cpu, hydra/launcher=joblib) and, run again, refines what is
left. No two jobs write one file. merge puts the refined masks together in OUTPUT, as one run would have left them.
"""


def main(words: Sequence[str]) -> int:
    """Splits or merges.

    Raises:
        SamrefError: when something is wrong.
    """
    parser = _parser()
    options = parser.parse_intermixed_args(list(words))
    if options.what == "split":
        return _split(options.coco, options.images, options.paths)
    if options.what == "merge" and len(options.paths) == 2:
        return _merge(*map(_path, options.paths))
    parser.error("merge takes SHARDS and OUTPUT" if options.what == "merge" else "expected split or merge")


def _split(coco: str | None, images: str | None, words: Sequence[str]) -> int:
    names = ("COUNT", "SHARDS") if coco else ("IMAGES", "MASKS", "COUNT", "SHARDS")
    if len(words) != len(names):
        raise ConfigError(f"{len(words)} words are given; expected samref shards split {' '.join(names)}")
    if coco and images is None:
        raise ConfigError("--coco needs --images DIR, the folder of the images")
    *paths, number, shards = words
    if not number.isdecimal() or int(number) < 1:
        raise ConfigError(f"COUNT is {number}; expected the number of shards, at least 1")
    kinds = {"InputFolder": [str(images)] if coco else paths, "InputFile": [coco] if coco else []}
    found = [path_problem("", path, kind, "what is to be split") for kind, given in kinds.items() for path in given]
    if any(found):
        raise ConfigError("; ".join(filter(None, found)))
    count, folder = int(number), _path(shards)
    if coco:
        from samref.datasets.shards.coco import split_coco

        split_coco(_path(coco), count, folder)
        place = {"predictions": folder / "${shard}" / f"{_path(coco).stem}.json", "images": _path(str(images))}
    else:
        from samref.datasets.shards.folder import split_folder

        split_folder(_path(paths[0]), _path(paths[1]), count, folder)
        place = {"images": folder / "${shard}" / "images", "masks": folder / "${shard}" / "masks"}
    print(
        f"{count} shards in {folder}; refine them by\n\n{_command('coco' if coco else 'folder', place, count, folder)}"
    )
    print(f"\nand put them together by\n\nsamref shards merge {shlex.quote(shards)} OUTPUT")
    return 0


def _command(dataset: str, place: dict[str, Path], count: int, folder: Path) -> str:
    from samref.config.mistakes import quoted
    from samref.datasets.shards.plan import REFINED

    options = {**place, "output": folder / "${shard}" / REFINED}
    # Quoted but for the one place that each job fills in.
    paths = [f"dataset.{key}={quoted(str(path))}".replace("\\${shard}", "${shard}") for key, path in options.items()]
    words = ["samref", "run", "-m", f"dataset={dataset}", *paths, "name=shards", f"shard=range({count})"]
    return shlex.join(words)


def _merge(folder: Path, output: Path) -> int:
    from samref.datasets.shards.plan import Plan

    plan = Plan.read(folder)
    if plan.kind == "coco":
        from samref.datasets.shards.coco import merge_coco as merge
    else:
        from samref.datasets.shards.folder import merge_folder as merge
    print(f"masks: {merge(plan, folder, output)}")
    return 0


def _path(word: str) -> Path:
    return Path(word).expanduser().absolute()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samref shards", usage=USAGE, description=__doc__, epilog=DETAILS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("what", choices=("split", "merge"), help="what is to be done")
    parser.add_argument("paths", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--coco", metavar="PRED.json", help="the masks are in a COCO json")
    parser.add_argument("--images", metavar="DIR", help="folder of the images of --coco")
    return parser
