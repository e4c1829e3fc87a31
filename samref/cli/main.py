"""`samref COMMAND ...`: finds the command, and ends every one of them the same way."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from samref.config.nearest import did_you_mean
from samref.errors import SamrefError

# Where each command is, a function (words) -> exit code, and what it does.
COMMANDS = {
    "predict": ("samref.cli.predict:main", "coarse masks of a folder of images, where there are none yet"),
    "refine": ("samref.cli.refine:main", "refine a folder of masks, or the masks of a COCO json"),
    "run": ("samref.cli.run:main", "one evaluation, or a sweep: any option, any experiment of the paper"),
    "shards": ("samref.cli.shards:main", "split masks for many jobs or machines, and merge what they refined"),
    "app": ("samref.cli.app:main", "a page to try it on a photo of yours"),
    "tables": ("samref.cli.report:tables", "the paper's tables: paper, ours, difference, command"),
    "figures": ("samref.cli.report:figures", "the paper's plots"),
    "dashboard": ("samref.cli.dashboard:main", "a sweep's metrics as a saved view on Weights & Biases"),
    "illustrate": ("samref.cli.illustrate:main", "the paper's explanatory figures, drawn of your own image and mask"),
    "pictures": ("samref.cli.pictures:main", "what several runs made of the same masks, side by side"),
    "weights": ("samref.cli.weights:main", "fetch, list and verify published weights"),
    "cache": ("samref.cli.cache:main", "look at or empty the cache of image embeddings"),
    "datasets": ("samref.cli.datasets:main", "where data sets come from; check them; fetch what is open"),
}
# These leave what is finished on disk and take it up again.
RESUMING = ("refine", "run")
INTERRUPTED = 130

EXAMPLES = """\
examples:
  samref refine photos/ masks/ refined/
  samref refine --coco GT.json PRED.json --images photos/ refined/
  samref run experiment=demo
  samref run dataset=davis585 dataset.root=DIR prompts=box_mask backbone=vit_h

`samref COMMAND --help` says more.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: words of the command line; those of this process by default.

    Returns:
        Exit code: 0; 1 with one sentence on stderr when something is wrong; 2 for a command line that means nothing;
        130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words else "--help"
    if name not in COMMANDS:
        return _answer(name)
    with noted_interrupts() as interrupts:
        try:
            module, _, function = COMMANDS[name][0].partition(":")
            return int(getattr(importlib.import_module(module), function)(words[1:]))
        except SamrefError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return _interrupted(name)
        except SystemExit:
            # Lightning makes a plain exit of an interruption.
            if interrupts:
                return _interrupted(name)
            raise
        except BrokenPipeError:
            # Whoever read the output, such as `head`, has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1


@contextmanager
def noted_interrupts() -> Iterator[list[int]]:
    """Yields a list that holds the signal once the user has interrupted."""
    interrupts: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        # Another program's, or ignored, as for what runs in the background.
        yield interrupts
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(name: str) -> int:
    # One sentence a run: processes on other devices hear the same signal.
    if os.environ.get("LOCAL_RANK", "0") == "0":
        rest = "; what is finished is kept, and the same command goes on from there" if name in RESUMING else ""
        print(f"\ninterrupted{rest}", file=sys.stderr)
    return INTERRUPTED


def _answer(word: str) -> int:
    if word in ("-h", "--help"):
        _parser().print_help()
        return 0
    if word == "--version":
        from samref import __version__

        print(f"samref {__version__}")
        return 0
    hint = did_you_mean(word, COMMANDS) or f"expected one of {', '.join(COMMANDS)}"
    print(f"error: there is no command {word}; {hint}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samref",
        description="Better segmentation masks from coarse ones, with a frozen Segment Anything model (SAMRefiner).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="version of samref")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text)
    return parser
