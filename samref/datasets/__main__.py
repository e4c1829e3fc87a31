"""`python -m samref.datasets NAME [--verify] [--download DIR] [KEY=VALUE ...]`, or `cocofy IN OUT` for NAME."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from samref.datasets.coco.cocofied import cocofy_file
from samref.datasets.sources.catalog import SOURCES, describe
from samref.datasets.sources.download import fetch, unpack
from samref.datasets.sources.verify import configured, findings
from samref.errors import ConfigError, SamrefError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0 when all is well, 1 with a sentence on stderr when it is not."""
    options = _parser().parse_intermixed_args(arguments)
    try:
        if options.name == "cocofy":
            return _cocofy(options.settings)
        if options.download is not None:
            return _download(options.name, options.download, options.only)
        if options.verify or options.all:
            return _verify(options.name, options.settings, options.all)
        if options.settings:
            raise ConfigError(f"{options.settings[0]} is only of use with --verify")
        print(_origin(options.name))
    except SamrefError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m samref.datasets",
        description="Shows where a data set comes from and what must lie where; checks it; fetches what is open. "
        "`cocofy LVIS.json OUT.json` reduces LVIS ground truth to COCO's categories.",
    )
    parser.add_argument("name", help=f"a data set ({', '.join(SOURCES)}, ...), or cocofy")
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="the data set's options, such as root=DIR; files of cocofy"
    )
    parser.add_argument("--verify", action="store_true", help="check the files, and read three images")
    parser.add_argument("--all", action="store_true", help="check the files, and read every image")
    parser.add_argument("--download", type=Path, metavar="DIR", help="fetch and unpack the open archives into DIR")
    parser.add_argument("--only", nargs="+", metavar="FILE", help="archives to fetch; all of them by default")
    return parser


def _cocofy(files: Sequence[str]) -> int:
    if len(files) != 2:
        raise ConfigError(f"cocofy takes two files, LVIS.json and OUT.json; {len(files)} were given")
    print(cocofy_file(Path(files[0]), Path(files[1])))
    return 0


def _verify(name: str, settings: Sequence[str], everything: bool) -> int:
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
    print(f"terms: {SOURCES[name].terms}")
    for archive in chosen:
        print(f"{archive.url} ({archive.shown_size})")
        count = unpack(fetch(archive, folder), folder)
        print(f"  {count} files in {folder}; {archive.name} may be deleted")
    print(f"now: python -m samref.datasets {name} --verify {SOURCES[name].options.format(folder=folder)}")
    return 0


def _origin(name: str) -> str:
    if name in SOURCES:
        return describe(name)
    return f"{name} has no publisher; data sets that do: {', '.join(SOURCES)}"


if __name__ == "__main__":
    sys.exit(main())
