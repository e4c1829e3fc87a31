"""`python -m tests.robustness.fuzz [--inputs N] [--seed S] [--only TARGET]`: damaged files against every loader.

What counts as found: an exception that is none of `samref.errors`, an error of several lines, an input that takes
longer than the limit, memory beyond the bound, a process that dies. Input K of seed S is the same file on every run, so
a finding is made again by `--seed S --start K --inputs 1`.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import mmap
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from types import FrameType

import torch

from tests.robustness.targets import TARGETS, Target

SECONDS = 10.0
# The largest image that is read at all takes about 1.5 GB, with its copies; a file may claim any size.
MEMORY_GB, PEAK_MB = 3.0, 2500


class Hang(BaseException):
    """The time of one input is over. No `Exception`, so that no loader takes it for a damaged file."""


def fuzz(
    inputs: int,
    seed: int,
    start: int = 0,
    only: str | None = None,
    verbose: bool = False,
    reached: mmap.mmap | None = None,
) -> list[str]:
    """Reads damaged files by the targets.

    Args:
        inputs: how many.
        seed: decides them all.
        start: number of the first.
        only: name of one target, or None for all by their shares.
        verbose: whether to print what was found, with its traceback.
        reached: keeps the number of the input at hand where another process sees it.

    Returns:
        One line for each finding.
    """
    targets = [target for target in TARGETS if only in (None, target.name)]
    plan = [target for target in targets for _ in range(target.share)]
    findings: list[str] = []
    kinds: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, quiet():
        seeds = {target.name: target.seeds(Path(folder) / target.name) for target in targets}
        for number in range(start, start + inputs):
            if reached is not None:
                reached[:8] = number.to_bytes(8, "little")
            random = Random(f"{seed}/{number}")
            target = random.choice(plan)
            found = _try(target, seeds[target.name], random, Path(folder) / target.name)
            if found:
                kinds[found.splitlines()[-1][:100]] += 1
                findings.append(f"{target.name}, --seed {seed} --start {number}: {found.splitlines()[-1]}")
                if verbose and kinds[found.splitlines()[-1][:100]] == 1:
                    print(f"--- {findings[-1]}\n{found}", file=sys.__stderr__, flush=True)
    return findings


def _try(target: Target, seeds: dict[str, bytes], random: Random, folder: Path) -> str | None:
    name = random.choice(sorted(seeds))
    data = target.mutate(seeds[name], random, seeds[random.choice(sorted(seeds))])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(data)

    def over(number: int, frame: FrameType | None) -> None:
        raise Hang(f"took longer than {SECONDS:g} s")

    previous = signal.signal(signal.SIGALRM, over)
    # Native code that never returns cannot be interrupted: then the process ends with the trace of where it hung.
    faulthandler.dump_traceback_later(12 * SECONDS, exit=True)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        target.read(path)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, previous)
    return None


class quiet:
    """Evaluators print what they do, and libraries warn of damaged files; neither is a finding."""

    def __enter__(self) -> None:
        self.out, self.sink = sys.stdout, open("/dev/null", "w")
        sys.stdout = self.sink
        self.warnings = warnings.catch_warnings()
        self.warnings.__enter__()
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)

    def __exit__(self, *_: object) -> None:
        logging.disable(logging.NOTSET)
        self.warnings.__exit__(None, None, None)
        sys.stdout = self.out
        self.sink.close()


def bound_memory(gigabytes: float) -> None:
    """Lets this process have so much more address space than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(gigabytes * 2**30),) * 2)


def _in_children(options: argparse.Namespace) -> list[str]:
    """Fuzzes in a process of its own; one that native code kills is a finding, and another goes on behind it."""
    findings: list[str] = []
    reached, end = mmap.mmap(-1, 8), options.start + options.inputs
    begin = options.start
    while begin < end:
        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(receive)
            bound_memory(MEMORY_GB)
            found = fuzz(end - begin, options.seed, begin, options.only, verbose=True, reached=reached)
            with open(send, "w") as file:
                json.dump(found, file)
            os._exit(0)
        os.close(send)
        with open(receive) as file:
            sent = file.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        findings += json.loads(sent) if sent else []
        if status == 0:
            break
        at = int.from_bytes(reached[:8], "little")
        findings.append(f"--seed {options.seed} --start {at}: the process died ({status})")
        begin = at + 1
    return findings


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="damaged files against every loader")
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--only", choices=[target.name for target in TARGETS])
    options = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.perf_counter()
    findings = _in_children(options)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if peak > PEAK_MB:
        findings.append(f"peak memory is {peak:.0f} MB; expected at most {PEAK_MB}")
    for finding in findings[:50]:
        print(finding)
    print(
        f"fuzz: {options.inputs} inputs, seed {options.seed}, {len(findings)} findings, "
        f"{sum('Hang' in finding for finding in findings)} hangs, peak memory {peak:.0f} MB, "
        f"{time.perf_counter() - clock:.0f} s"
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
