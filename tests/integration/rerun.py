"""`python -m tests.integration.rerun`: inputs are edited and runs killed in any order; the end is that of one run.

Options: `--examples N`, `--seed S`. The suite runs a short version.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from copy import deepcopy
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from samref.callbacks.resume import ResumeLog
from samref.config.compose import compose_config
from samref.engine import runner
from samref.refiners.samrefiner import SAMRefiner
from tests.integration.rerun_data import EditableCoco, EditableDavis, EditableFolder, EditableVoc
from tests.robustness.undisturbed import in_child

KINDS = (EditableFolder, EditableCoco, EditableVoc, EditableDavis)
NAMES = "abcdefgh"
# What happens between two runs: a name that is there or not, in the order of names, and the second name of a renaming.
EDITS = st.tuples(st.sampled_from(["add", "change", "remove", "rename"]), st.integers(0, 7), st.integers(0, 7))
# The moment at which a run is killed: in which function, at which of its calls, and whether before or after its work.
KILLS = st.tuples(st.just("kill"), st.sampled_from(["refine", "record", "replace"]), st.integers(1, 6), st.booleans())
RUNS = st.just(("run",)) | KILLS
# Something has been done before anything changes, and after every change there is a run, some of them killed.
STEPS = st.tuples(RUNS, st.lists(st.tuples(EDITS, RUNS), min_size=1, max_size=3)).map(
    lambda steps: [steps[0], *(step for pair in steps[1] for step in pair)]
)
# Sequences are short as they come; shrinking one would take minutes.
UNHURRIED = {"phases": [Phase.explicit, Phase.generate], "suppress_health_check": [HealthCheck.too_slow]}
QUIET = (
    "backbone=tiny", "backbone.device=cpu", "backbone.cache=false", "guard.enabled=false", "logger=none",
    "callbacks.progress=false", "callbacks.gallery=0", "save_masks=true",
)  # fmt: skip

_warm = set()


def configured(data, verdict):
    """A function that gives the configuration of runs whose results go to a folder."""
    cfg = compose_config(
        [*data.overrides, *QUIET, f"verdict.enabled={verdict}", f"paths.outputs={data.root.parent}/warm"]
    )
    # Loads what runs of such data share, which children of this process then have.
    if type(data) not in _warm:
        runner.run(cfg)
        _warm.add(type(data))

    def into(folder):
        own = deepcopy(cfg)
        own.paths.outputs = str(folder)
        return own

    return into


def edit(data, kind, place, other, content):
    """Does what is possible of an edit; one sample at least must be left."""
    present, absent = sorted(data.seeds), [name for name in NAMES if name not in data.seeds]
    name = present[place % len(present)]
    if kind == "add" and absent:
        data.add(absent[other % len(absent)], content)
    elif kind == "change":
        data.change(name, content)
    elif kind == "remove" and len(present) > 1:
        data.remove(name)
    elif kind == "rename" and absent:
        data.rename(name, absent[other % len(absent)])


def noting(log):
    """Notes which images are refined, by their ids, pixels, masks and ground truth."""
    refine = SAMRefiner.refine_sample

    def noted(self, sample, **options):
        parts = (sample.image, sample.masks, sample.truth, sample.label_map)
        content = b"".join(part.tobytes() for part in parts if part is not None)
        with log.open("a") as file:
            file.write(f"{sample.image_id} {hash(content)}\n")
        return refine(self, sample, **options)

    SAMRefiner.refine_sample = noted


def killing(place, turn, after):
    """Kills this process at the so-many-th call of a function."""
    places = {"refine": (SAMRefiner, "refine_sample"), "record": (ResumeLog, "record"), "replace": (os, "replace")}
    holder, name = places[place]
    original, calls = getattr(holder, name), [0]

    def deadly(*arguments, **options):
        calls[0] += 1
        if calls[0] == turn and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if calls[0] == turn:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(holder, name, deadly)


def run_in_child(cfg, log, kill=None):
    """The report of a run in a process of its own; None if it was killed."""

    def prepare():
        noting(log)
        if kill is not None:
            killing(*kill)

    outcome = in_child(lambda: runner.run(cfg), before=prepare)
    assert outcome[0] in ("done", "killed"), outcome[1]
    return outcome[1]


def left(report):
    """What a run leaves: masks, table, numbers, picture; masks of what is no input any more aside."""
    folder = Path(report["folder"])
    kept = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and str(path) not in report["left_over"] and path.suffix in (".png", ".csv", ".json")
        if path.name not in ("report.json", ".inputs.json")
    }
    numbers = [report[key] for key in ("metrics", "counts", "failures", "warnings", "source", "identity")]
    return kept, json.dumps(numbers)


def check(kind, steps, verdict):
    """Does some steps to a data set, and compares the end with one run from nothing.

    Args:
        kind: of data set.
        steps: edits, runs and kills.
        verdict: whether masks are judged, by where those of all samples come from.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "data").mkdir()
        log, data = root / "refined", kind(root / "data")
        log.touch()
        for number, name in enumerate("ceg"):
            data.add(name, number)
        into, kills = configured(data, verdict), 0
        for number, step in enumerate(steps):
            if step[0] == "kill":
                kills += run_in_child(into(root / "edited"), log, step[1:]) is None
            elif step[0] == "run":
                run_in_child(into(root / "edited"), log)
            else:
                edit(data, *step, content=10 * (number + 1))
        report = run_in_child(into(root / "edited"), log)
        assert left(report) == left(run_in_child(into(root / "fresh"), root / "fresh_log"))
        times = Counter(log.read_text().splitlines())
        # With a verdict, other samples may change where the masks are taken to come from, and so all results.
        if not verdict:
            assert sum(times.values()) - len(times) <= kills, "more was refined twice than was under way at a kill"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for kind in KINDS:

        @seed(options.seed)
        @settings(max_examples=options.examples, database=None, deadline=None, **UNHURRIED)
        @given(steps=STEPS, verdict=st.booleans())
        def attack(steps, verdict):
            check(kind, steps, verdict)  # noqa: B023 - called before the next one is defined

        attack()
        print(f"{kind.__name__}: {options.examples} sequences end as one run from nothing does", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
