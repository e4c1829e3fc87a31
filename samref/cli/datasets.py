"""`samref datasets NAME [--verify] [--download DIR] [KEY=VALUE ...]`: where data sets come from, what must lie where.

`samref datasets makers` lists whose code makes the coarse masks of the paper, and by which command.
`samref datasets trainaug VOC2012 SBD` makes VOC's augmented train set of 10,582 images.
`samref datasets cocofy LVIS.json OUT.json` reduces LVIS ground truth to COCO's categories.
`samref datasets subset GT.json OUT.json [--images N] [--without FILE] [--seed K]` draws images, as train5K was drawn.
`samref datasets mixture GT.json LABELED PSEUDO.json OUT.json` joins true masks of labeled images and pseudo masks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from samref.config.nearest import did_you_mean
from samref.datasets.sources.catalog import SOURCES, describe
from samref.datasets.sources.coarse_masks import describe_makers
from samref.errors import ConfigError, SamrefError


def main(words: Sequence[str]) -> int:
    """Runs the command; 1 when files are missing or wrong.

    Raises:
        SamrefError: when something is wrong with the command itself.
    """
    options = _parser().parse_intermixed_args(words)
    if options.name == "cocofy":
        return _cocofy(options.settings)
    if options.name == "trainaug":
        return _trainaug(options.settings)
    if options.name == "subset":
        return _subset(options)
    if options.name == "mixture":
        return _mixture(options.settings)
    if options.name == "makers":
        print(describe_makers())
        return 0
    if options.download is not None:
        return _download(options.name, options.download, options.only)
    if options.verify or options.all:
        return _verify(options.name, options.settings, options.all)
    if options.settings:
        raise ConfigError(f"{options.settings[0]} is only of use with --verify")
    if options.name is None:
        for name, source in SOURCES.items():
            print(f"{name:<15} {source.page}")
        print("`samref datasets NAME` says what must lie where, `samref datasets makers` whose code makes coarse masks")
        return 0
    print(_origin(options.name))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samref datasets",
        description="Shows where a data set comes from and what must lie where; checks it; fetches what is open. "
        "`makers` lists whose code makes the paper's coarse masks; `trainaug VOC2012 SBD` makes VOC's augmented train "
        "set; `cocofy LVIS.json OUT.json` reduces LVIS ground truth to COCO's categories; `subset GT.json OUT.json` "
        "draws images; `mixture GT.json LABELED PSEUDO.json OUT.json` joins true masks of the labeled images and "
        "pseudo masks of all others.",
    )
    parser.add_argument("name", nargs="?", help=f"a data set ({', '.join(SOURCES)}, ...), or one of these words")
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="the data set's options, such as root=DIR; or files"
    )
    parser.add_argument("--verify", action="store_true", help="check the files, and read three images")
    parser.add_argument("--all", action="store_true", help="check the files, and read every image")
    parser.add_argument("--download", type=Path, metavar="DIR", help="fetch and unpack the open archives into DIR")
    parser.add_argument("--only", nargs="+", metavar="FILE", help="archives to fetch; all of them by default")
    parser.add_argument("--images", type=int, metavar="N", help="of a subset (5000)")
    parser.add_argument("--without", type=Path, metavar="FILE", help="images that a subset has none of: ids, or JSON")
    parser.add_argument("--seed", type=int, default=0, metavar="K", help="of a subset (%(default)s)")
    return parser


def _cocofy(files: Sequence[str]) -> int:
    if len(files) != 2:
        raise ConfigError(f"cocofy takes two files, LVIS.json and OUT.json; {len(files)} were given")
    from samref.datasets.coco.cocofied import cocofy_file

    print(cocofy_file(Path(files[0]), Path(files[1])))
    return 0


def _subset(options: argparse.Namespace) -> int:
    if len(options.settings) != 2:
        raise ConfigError(f"subset takes two files, GT.json and OUT.json; {len(options.settings)} were given")
    from samref.datasets.coco.subsets import TRAIN5K, write_subset

    source, target = map(Path, options.settings)
    count = TRAIN5K if options.images is None else options.images
    print(write_subset(source, target, count, options.without, options.seed))
    return 0


def _mixture(files: Sequence[str]) -> int:
    if len(files) != 4:
        raise ConfigError(f"mixture takes four files, GT.json, LABELED, PSEUDO.json and OUT.json; not {len(files)}")
    from samref.datasets.coco.subsets import write_mixture

    print(write_mixture(*map(Path, files)))
    return 0


def _trainaug(folders: Sequence[str]) -> int:
    if len(folders) != 2:
        raise ConfigError(
            f"trainaug takes two folders, VOC2012 and SBD's benchmark_RELEASE/dataset; not {len(folders)}"
        )
    from samref.datasets.voc.augmented import make_augmented

    print(make_augmented(Path(folders[0]), Path(folders[1])))
    return 0


def _verify(name: str, settings: Sequence[str], everything: bool) -> int:
    from samref.datasets.sources.verify import configured, findings

    try:
        text, sound = findings(configured(name, settings), everything)
    except SamrefError as error:
        print(f"error: {error}\n\n{_origin(name)}", file=sys.stderr)
        return 1
    print(text)
    return 0 if sound else 1


def _download(name: str, folder: Path, only: Sequence[str] | None) -> int:
    archives = SOURCES[name].archives if name in SOURCES else ()
    unknown = set(only or ()) - {archive.name for archive in archives}
    if not archives or unknown:
        raise ConfigError(f"there is no open download {', '.join(sorted(unknown))} for {name}\n\n{_origin(name)}")
    chosen = [archive for archive in archives if not only or archive.name in only]
    from samref.datasets.sources.download import fetch, unpack

    print(f"terms: {SOURCES[name].terms}")
    for archive in chosen:
        print(f"{archive.url} ({archive.shown_size})")
        count = unpack(fetch(archive, folder), folder)
        print(f"  {count} files in {folder}; {archive.name} may be deleted")
    print(f"now: samref datasets {name} --verify {SOURCES[name].options.format(folder=folder)}")
    return 0


def _origin(name: str) -> str:
    if name in SOURCES:
        return describe(name)
    hint = did_you_mean(name, SOURCES) or f"data sets that do: {', '.join(SOURCES)}"
    return f"{name} has no publisher; {hint}"
