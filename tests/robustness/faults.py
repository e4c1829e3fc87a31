"""`python -m tests.robustness.faults [--seed S] [--only NAME]`: what goes wrong around a run, done to it on purpose.

Every scenario compares what is left in the end with what an undisturbed run leaves, and looks after every fault that no
half file stands under a final name. Runs are child processes of this one, so that they can be killed at any moment.
"""

from __future__ import annotations

import argparse
import errno
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors import safe_open

from samref.config.compose import compose_config
from samref.datasets.datamodule import SampleDataModule
from samref.datasets.folder.folder import Folder
from samref.datasets.loader import Samples
from samref.errors import WorkerError
from samref.io.lock import claimed
from tests.factories_benchmarks import make_coco
from tests.robustness.downloads import cut_downloads
from tests.robustness.mutations import mutate_bytes
from tests.robustness.soak import soak
from tests.robustness.undisturbed import Outcome, Undisturbed, contents, in_child, make_undisturbed, run

# Scenarios: each takes an undisturbed run, a random state and how many faults to do; returns how many it has done -----


def killed(base: Undisturbed, random: Random, cases: int) -> int:
    """SIGKILL at any moment: the next run goes on, and the last ends as if nothing had happened."""
    done = 0
    while done < cases:
        name = f"killed{done}"
        cfg, kills, outcome = base.config(name), 0, ("killed", None)
        while outcome[0] == "killed":
            moment = random.uniform(0, 0.7 * base.seconds) if done + kills < cases and kills < 8 else None
            outcome = in_child(lambda cfg=cfg: run(cfg), kill_after=moment)
            kills += outcome[0] == "killed"
            base.check(name)
            reports = list((base.folder / name / "runs").rglob("report.json"))
            if reports:  # even where the process was killed on its way out
                assert contents(base.folder / name / "masks") == base.whole, "an unfinished run has a report"
        base.check_end(name, outcome)
        done += max(kills, 1)
    return done


def killed_with_workers(base: Undisturbed, random: Random, cases: int) -> int:
    """SIGKILL while workers refine: they end with the run, and the next goes on to the same end."""
    for case in range(cases):
        name = f"workers{case}"
        cfg, masks = base.config(name, f"num_workers={1 + case % 3}"), base.folder / name / "masks"
        enough = random.randrange(1, len(base.whole))
        child = os.fork()
        if child == 0:
            run(cfg)
            os._exit(0)
        while len(contents(masks)) < enough:
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        time.sleep(0.1)
        before = contents(masks)
        time.sleep(0.5)
        assert contents(masks) == before, "a worker goes on writing after its run was killed"
        base.check(name)
        base.check_end(name, in_child(lambda cfg=cfg: run(cfg)))
    return cases


def killed_coco(base: Undisturbed, random: Random, cases: int) -> int:
    """The same for a file that holds many images' masks."""
    made = make_coco(base.folder / "coco")

    def config(name: str) -> Any:
        return compose_config(
            ["dataset=coco", f"dataset.images={made.images}", f"dataset.predictions={made.predictions}",
             f"paths.outputs={base.folder}/{name}", "backbone=tiny", "logger=none", "callbacks.progress=false",
             "callbacks.gallery=0", "callbacks.picture=0", "backbone.device=cpu"]
        )  # fmt: skip

    def results(outcome: Outcome) -> bytes:
        assert outcome[0] == "done", outcome[1]
        found = contents(Path(outcome[1]["folder"]) / "masks", hidden=True)
        assert list(found) == ["predictions.json"]
        return found["predictions.json"]

    clock = time.perf_counter()
    whole = results(in_child(lambda: run(config("whole"))))
    seconds = time.perf_counter() - clock
    for case in range(cases):
        cfg = config(f"coco{case}")
        in_child(lambda cfg=cfg: run(cfg), kill_after=random.uniform(0, seconds))
        for path in (base.folder / f"coco{case}").rglob(".resume.sqlite-wal"):
            with path.open("ab") as file:
                file.write(b"half a transaction")  # as a process leaves it that is killed while it writes
        assert results(in_child(lambda cfg=cfg: run(cfg))) == whole
    return cases


def disk_full(base: Undisturbed, random: Random, cases: int) -> int:
    """No space at the n-th write: one sentence, and with space again the run goes on to the same end."""
    for case in range(cases):
        name = f"full{case}"
        cfg = base.config(name)
        if case % 2:
            limit = random.randrange(400)
            outcome = in_child(lambda cfg=cfg: run(cfg), before=lambda limit=limit: _limit_file_size(limit))
        else:
            place, turn = random.choice(("fsync", "replace", "mkstemp")), random.randrange(1, 3 * len(base.whole))
            outcome = in_child(
                lambda cfg=cfg: run(cfg), before=lambda place=place, turn=turn: _fail_at(place, turn, errno.ENOSPC)
            )
        base.check(name)
        if outcome[0] != "done":
            assert outcome[0] == "error", outcome[1]
            assert "make room" in outcome[1] and "\n" not in outcome[1], outcome[1]
        base.check_end(name, in_child(lambda cfg=cfg: run(cfg)))
    return cases


def _limit_file_size(limit: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def _fail_at(place: str, turn: int, number: int) -> None:
    """Lets the so-many-th call of a function of the operating system fail, and all after it."""
    module: Any = tempfile if place == "mkstemp" else os
    original, calls = getattr(module, place), [0]

    def failing(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] >= turn:
            raise OSError(number, os.strerror(number), str(arguments[0]) if arguments else None)
        return original(*arguments, **options)

    setattr(module, place, failing)


def not_writable(base: Undisturbed, random: Random, cases: int) -> int:
    """An output that takes no file: one sentence that names it. Root may write anywhere: nothing by permission."""
    done = 0
    for case in range(cases):
        folder = base.folder / f"closed{case}"
        folder.mkdir()
        blocked = folder / random.choice(("masks", "runs"))
        blocked.write_text("a file where a folder belongs")
        outcome = in_child(lambda case=case: run(base.config(f"closed{case}")))
        assert outcome[0] == "error" and str(blocked) in outcome[1] and "\n" not in outcome[1], outcome[1]
        assert blocked.read_text() == "a file where a folder belongs"
        for number in (errno.EROFS, errno.EACCES, errno.EIO):
            name, turn = f"closed{case}-{number}", random.randrange(1, len(base.whole))
            cfg = base.config(name)
            outcome = in_child(
                lambda cfg=cfg: run(cfg), before=lambda turn=turn, number=number: _fail_at("mkstemp", turn, number)
            )
            assert outcome[0] == "error" and os.strerror(number) in outcome[1], outcome[1]
            base.check(name)
            done += 1
        done += 1
    return done


def two_at_once(base: Undisturbed, random: Random, cases: int) -> int:
    """Of two runs in one folder the second is refused; one that another has overwritten does not pass for whole."""
    for case in range(cases):
        name = f"two{case}"
        first, second = base.config(name), base.config(name, "prompts=box")
        receive, send = os.pipe()
        child = os.fork()
        if child == 0:
            with claimed(base.folder / name / "masks"):
                os.write(send, b"x")
                time.sleep(60)
            os._exit(0)
        os.read(receive, 1)
        outcome = in_child(lambda second=second: run(second))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert outcome == ("error", outcome[1]) and "being written by another run" in outcome[1], outcome
        in_child(lambda first=first: run(first), kill_after=random.uniform(0.3, 0.7) * base.seconds)
        assert in_child(lambda second=second: run(second))[0] == "done"
        outcome = in_child(lambda first=first: run(first))
        if outcome[0] == "error":
            assert "changed since" in outcome[1], outcome[1]
            outcome = in_child(lambda name=name: run(base.config(name, "force=true")))
        base.check_end(name, outcome)
        # A finished run whose masks were overwritten or deleted is not taken for done, either.
        assert in_child(lambda second=second: run(second))[0] == "error"
        for path in (base.folder / name / "masks").iterdir():
            path.unlink()
        base.check_end(name, in_child(lambda first=first: run(first)))
    return 3 * cases


class Deadly(Folder):
    """A data set one of whose images ends the process that reads it, as the system does for want of memory."""

    def __getitem__(self, index: int) -> Any:
        if index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def worker_killed(base: Undisturbed, random: Random, cases: int) -> int:
    """A reading process that the system ends: one sentence, not a hang."""
    for _ in range(cases):
        dataset = Deadly(base.data / "images", base.data / "masks")
        with pytest.raises(WorkerError, match="num_workers") as caught:
            list(SampleDataModule(Samples(dataset, 3, "raise"), num_workers=1).test_dataloader())
        assert "\n" not in str(caught.value)
    return cases


STATE = ("report.json", ".inputs.json", ".resume.sqlite", ".resume.sqlite-wal")


def corrupted(base: Undisturbed, random: Random, cases: int) -> int:
    """What a run keeps, damaged while it is stopped or done: the same result, or one sentence. Never another result."""
    for case in range(cases):
        name = f"spoiled{case}"
        cfg = base.config(name)
        finished = case % 2 == 0
        in_child(lambda cfg=cfg: run(cfg), kill_after=None if finished else random.uniform(0.3, 0.7) * base.seconds)
        kept = [p for p in (base.folder / name).rglob("*") if p.is_file() and p.stat().st_size]
        state = [path for path in kept if path.name in STATE or path.suffix == ".png"]
        if state:
            path = random.choice(state)
            path.write_bytes(mutate_bytes(path.read_bytes(), random))
        outcome = in_child(lambda cfg=cfg: run(cfg))
        if outcome[0] == "error":
            assert "\n" not in outcome[1] and "force=true" in outcome[1], outcome[1]
            outcome = in_child(lambda name=name: run(base.config(name, "force=true")))
        base.check_end(name, outcome)
    return cases


def corrupted_adaptor(base: Undisturbed, random: Random, cases: int) -> int:
    """Training targets, adaptor, checkpoint and record, damaged: the next job of a sweep makes the same adaptor."""

    def job(name: str, *overrides: str) -> Outcome:
        cfg = base.config(name, "adaption=iou_lora", "limit=4", *overrides)
        return in_child(lambda: run(cfg))

    def adaptor(name: str) -> list[Any]:
        path = next((base.folder / name / "runs").rglob("adaptor.safetensors"))
        with safe_open(path, framework="np") as file:
            return [sorted(file.metadata().items()), *(file.get_tensor(key).tolist() for key in sorted(file.keys()))]

    assert job("trained")[0] == job("trained", "prompts=box")[0] == "done"
    undamaged, masks = adaptor("trained"), contents(base.folder / "trained" / "masks")
    for case in range(cases):
        name = f"trained{case}"
        assert job(name)[0] == "done"
        adaptors = base.folder / name / "runs" / "adaptors"
        kept = [path for path in adaptors.rglob("*") if path.is_file() and path.stat().st_size]
        path = random.choice(kept)
        path.write_bytes(mutate_bytes(path.read_bytes(), random))
        if random.random() < 0.5:
            for record in adaptors.rglob("training.json"):
                record.unlink()
        outcome = job(name, "prompts=box")
        assert outcome[0] == "done", outcome[1]
        assert contents(base.folder / name / "masks") == masks, path
        assert adaptor(name) == undamaged, path
    return cases


def corrupted_cache(base: Undisturbed, random: Random, cases: int) -> int:
    """Embeddings damaged on disk are encoded again."""
    overrides = ("backbone.cache=true",)

    def before() -> None:
        os.environ["SAMREF_CACHE"] = str(base.folder / "cache")

    base.check_end("cached", in_child(lambda: run(base.config("cached", *overrides)), before=before))
    for case in range(cases):
        entries = sorted((base.folder / "cache").rglob("*.safetensors"))
        assert len(entries) > 5, "images are cached but for those whose mask is empty"
        for path in random.sample(entries, 5):
            path.write_bytes(mutate_bytes(path.read_bytes(), random))
        cfg = base.config(f"cached{case}", *overrides)
        base.check_end(f"cached{case}", in_child(lambda cfg=cfg: run(cfg), before=before))
    return 5 * cases


def clock_moved(base: Undisturbed, random: Random, cases: int) -> int:
    """A clock that jumps by years in either direction changes no result."""
    for case in range(cases):
        name, original = f"clock{case}", time.time

        def jump(original: Callable[[], float] = original) -> None:
            time.time = lambda: original() + random.choice((-1, 1)) * random.uniform(0, 1e9)

        cfg = base.config(name)
        in_child(lambda cfg=cfg: run(cfg), kill_after=random.uniform(0, base.seconds), before=jump)
        for path in (base.folder / name).rglob("*"):
            os.utime(path, (0, random.choice((0, 4e9))))
        base.check_end(name, in_child(lambda cfg=cfg: run(cfg), before=jump))
    return cases


# How many faults of each kind `make faults` does, and how many the test suite does.
SCENARIOS: dict[Callable[[Undisturbed, Random, int], int], tuple[int, int]] = {
    killed: (60, 4),
    killed_with_workers: (9, 0),
    killed_coco: (20, 2),
    disk_full: (40, 4),
    not_writable: (5, 1),
    two_at_once: (6, 1),
    worker_killed: (2, 0),
    corrupted: (60, 4),
    corrupted_adaptor: (12, 1),
    corrupted_cache: (6, 1),
    clock_moved: (12, 1),
    cut_downloads: (40, 6),
}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="faults around a run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[scenario.__name__ for scenario in SCENARIOS])
    options = parser.parse_args()
    torch.set_num_threads(1)
    clock, counts, failed = time.perf_counter(), {}, 0
    with tempfile.TemporaryDirectory() as folder:
        base = make_undisturbed(Path(folder))
        for scenario, (cases, _) in SCENARIOS.items():
            if options.only in (None, scenario.__name__):
                try:
                    counts[scenario.__name__] = scenario(base, Random(options.seed), cases)
                    print(f"{scenario.__name__}: {counts[scenario.__name__]} faults, none did harm", flush=True)
                except Exception:
                    failed += 1
                    print(f"{scenario.__name__}: FAILED\n{traceback.format_exc()}", flush=True)
    if options.only is None:
        print(soak(2000), flush=True)
    print(
        f"faults: {sum(counts.values())} in {len(counts)} scenarios, seed {options.seed}, {failed} scenarios failed, "
        f"{time.perf_counter() - clock:.0f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
