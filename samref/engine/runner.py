"""run(cfg) -> report: builds the parts a configuration names, runs them, writes the report last."""

from __future__ import annotations

import datetime
import errno
import inspect
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.utils import get_object
from lightning import Callback, Trainer, seed_everything
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from samref.adaption.lora import original_head
from samref.backbones.backbone import Backbone
from samref.backbones.open import open_backbone
from samref.callbacks.evaluator import Evaluator
from samref.callbacks.gallery import Gallery, heading
from samref.callbacks.picture import Picture
from samref.callbacks.progress import ProgressLine, label_of
from samref.callbacks.resume import Journal
from samref.callbacks.run_report import RunReport
from samref.callbacks.writer import Writer
from samref.config.compose import build
from samref.config.mistakes import in_a_sentence
from samref.config.validate import check_run_options
from samref.datasets.coco.writer import JOURNAL
from samref.datasets.datamodule import SampleDataModule
from samref.datasets.dataset import MaskDataset
from samref.engine import environment
from samref.engine.adaptor import adapt
from samref.engine.job import Job, demand_unchanged, first_process
from samref.engine.module import RefinementModule
from samref.engine.trainer import closing_logger, device_of, log_report, make_trainer
from samref.errors import ConfigError, OutputError
from samref.io.atomic import Note, missing_files, remove_partial
from samref.refiners.samrefiner import Refiner, SAMRefiner
from samref.refiners.source import AUTO, Estimate
from samref.refiners.verdict import Verdict, estimate_source
from samref.refiners.zoom import Zoom

Report = dict[str, Any]


def run(cfg: DictConfig, command: str = "") -> Report:
    """Runs one job, or returns the report of an earlier run of the same configuration.

    Args:
        cfg: composed configuration, see `samref.config.compose`.
        command: what the user typed, for the report.

    Returns:
        The content of `report.json`, and under `folder` where it lies.

    Raises:
        SamrefError: for anything the user can mend; nothing half-written is left under a final name.
    """
    try:
        check_run_options(cfg)
        return _run_alone(cfg, Job.of(cfg), command)
    except OmegaConfBaseException as error:
        # A part that somebody took away: ~dataset.
        raise ConfigError(in_a_sentence(error)) from error


def _run_alone(cfg: DictConfig, job: Job, command: str) -> Report:
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        if not first_process():
            with closing_logger(cfg):
                return {**_run(cfg, job, command, {}), "folder": str(job.folder)}
        with claimed(job.folder):
            report = None if cfg.force else job.finished()
            if report is not None:
                return {**report, "folder": str(job.folder), "reused": True}
            written: dict[str, Note] = {}
            with closing_logger(cfg):
                report = _run(cfg, job, command, written)
            job.finish(report, written)
            Journal(job.folder).clear()
            return {**report, "folder": str(job.folder)}
    except OSError as error:
        # What the operating system refuses is as much the user's to mend as a wrong option is.
        raise OutputError(_refusal(error, job.folder)) from error


def _run(cfg: DictConfig, job: Job, command: str, written: dict[str, Note]) -> Report:
    started = _now()
    clock = time.perf_counter()
    job.report_path.unlink(missing_ok=True)
    seed_everything(cfg.seed, verbose=False)
    dataset: MaskDataset = build(cfg.dataset)
    output = masks_folder(cfg, dataset, job.folder)
    with claimed(output) if output and first_process() else nullcontext():
        return _run_in(cfg, job, command, written, dataset, output, started, clock)


def _run_in(
    cfg: DictConfig,
    job: Job,
    command: str,
    written: dict[str, Note],
    dataset: MaskDataset,
    output: Path | None,
    started: str,
    clock: float,
) -> Report:
    journal = open_journal(cfg, job, dataset)
    if output and first_process():
        clear_leftovers(output, resumed=bool(journal and journal.done))
    data = SampleDataModule(dataset, cfg.num_workers, cfg.limit, cfg.on_error, done=journal.done if journal else ())
    refiner = build_refiner(cfg)
    evaluator = Evaluator(dataset, data.limited_ids)
    summary = RunReport(job.folder / "samples.csv", dataset.problems, journal)
    with unadapted_afterwards(refiner):
        adaption = adapt(cfg, job.config, refiner, data.samples) if cfg.adaption.get("_target_") else None
        zoomed(refiner, build(cfg.zoom))
        source = judged(refiner, build(cfg.verdict), data)
        writers = _writers(cfg, dataset, output, job.folder)
        callbacks: list[Callback] = [evaluator, *writers, summary]
        if cfg.callbacks.picture:
            callbacks.append(Picture(job.folder / "picture.png", cfg.callbacks.picture))
        if cfg.callbacks.gallery:
            about = partial(heading, job.config, command, evaluator)
            callbacks.append(Gallery(job.folder / "gallery.html", cfg.callbacks.gallery, cfg.seed, about))
        if cfg.callbacks.progress:
            callbacks.append(ProgressLine(label_of(job.config), len(data.samples)))
        trainer = _refine(cfg, job, dataset, data, refiner, callbacks)
    report = {
        "experiment": cfg.name,
        "command": command,
        "config": job.config,
        "metrics": evaluator.scores,
        "counts": summary.counts(),
        "failures": [{"image": failure.image_id, "reason": failure.reason} for failure in summary.failures()],
        "warnings": [*dataset.warnings, *summary.warnings()],
        "adaption": adaption,
        "source": None if source is None else asdict(source),
        "timing": {**summary.timing(), "wall": time.perf_counter() - clock},
        "peak_memory_mb": environment.peak_memory_mb(device_of(refiner)),
        "hardware": environment.hardware(),
        "versions": environment.versions(),
        "git": environment.git(),
        "seed": cfg.seed,
        "started": started,
        "finished": _now(),
    }
    log_report(trainer, report)
    for notes in (summary.tally.files, *(writer.closed for writer in writers)):
        written.update(notes)
    for path in missing_files(written):
        # Such as the journal of a file that holds many images, once that file is there.
        del written[path]
    return report


def _refine(
    cfg: DictConfig,
    job: Job,
    dataset: MaskDataset,
    data: SampleDataModule,
    refiner: Refiner,
    callbacks: list[Callback],
) -> Trainer:
    module = RefinementModule(refiner, cfg.save_candidates, dataset.keep_logits, build(cfg.guard))
    trainer = make_trainer(cfg, job.folder, callbacks, device_of(refiner))
    if not dataset.scored:
        trainer.predict(module, data, return_predictions=False)
    else:
        trainer.test(module, data, verbose=False)
    return trainer


def open_journal(cfg: DictConfig, job: Job, dataset: MaskDataset) -> Journal | None:
    """The journal of a run that writes masks and scores nothing; scores need every image in one go."""
    if dataset.scored:
        return None
    journal = Journal(job.folder)
    if cfg.force:
        journal.clear()
    demand_unchanged(journal.changed())
    return journal


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keeps every other run out of a folder, and takes the mark away again.

    Raises:
        OutputError: if another run is in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / ".lock"
    try:
        with FileLock(mark, timeout=0):
            try:
                yield
            finally:
                mark.unlink(missing_ok=True)
    except Timeout:
        raise OutputError(
            f"{folder} is being written by another run; wait for it, or choose another paths.outputs or dataset.output"
        ) from None


def clear_leftovers(output: Path, resumed: bool) -> None:
    """Deletes what a killed run left of unfinished files, and its journals where nothing of it is taken up."""
    remove_partial(output)
    for journal in () if resumed else output.glob(f".*{JOURNAL}"):
        journal.unlink()


@contextmanager
def unadapted_afterwards(refiner: Refiner) -> Iterator[None]:
    """Takes any adaptor off again: the jobs of a sweep share one backbone."""
    backbone = getattr(refiner, "backbone", None)
    if backbone is None:
        yield
    else:
        with original_head(backbone.iou_head):
            yield


def build_refiner(cfg: DictConfig) -> Refiner:
    """The refiner of a configuration, around the process's one copy of its backbone.

    Backbone and prompts go to constructors that ask for them; for the others no model is loaded.
    """
    parts: dict[str, Callable[[], Any]] = {
        "backbone": lambda: shared_backbone(cfg.backbone),
        "prompts": lambda: build(cfg.prompts),
    }
    wanted = inspect.signature(get_object(cfg.refiner._target_)).parameters
    refiner: Refiner = build(cfg.refiner, **{name: make() for name, make in parts.items() if name in wanted})
    return refiner


def zoomed(refiner: Refiner, zoom: Zoom) -> None:
    """Gives a refiner what chooses the masks that are refined in crops."""
    if isinstance(refiner, SAMRefiner):
        refiner.zoom = zoom


def judged(refiner: Refiner, verdict: Verdict, data: SampleDataModule) -> Estimate | None:
    """Gives a refiner the verdict that decides about its masks, and finds out where they come from."""
    if not isinstance(refiner, SAMRefiner):
        return None
    refiner.verdict = verdict
    if refiner.verdict is None:
        return None
    source = Estimate(verdict.source)
    if verdict.source == AUTO:
        source = estimate_source(verdict, data.samples, refiner.backbone, refiner.prompts, refiner.zoom)
        verdict.source = source.source
        if first_process():
            print(source.sentence())
    return source


def shared_backbone(cfg: DictConfig) -> Backbone:
    """The backbone of a configuration; jobs of one sweep in one process load it once."""
    return _load_backbone(json.dumps(OmegaConf.to_container(cfg, resolve=True), sort_keys=True))


@lru_cache(maxsize=1)
def _load_backbone(key: str) -> Backbone:
    # Below its group, so that errors name the option as it is typed: backbone.img_size.
    return open_backbone(OmegaConf.create({"backbone": json.loads(key)}).backbone)


def masks_folder(cfg: DictConfig, dataset: MaskDataset, folder: Path) -> Path | None:
    """Where refined masks go; None if they are not written."""
    if dataset.output is not None:
        return dataset.output
    return folder / "masks" if cfg.save_masks or not dataset.scored else None


def _refusal(error: OSError, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        todo = "make room and run the same command again, which goes on from here"
    else:
        todo = "choose a folder that can be written, by paths.outputs or dataset.output"
    what = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{error.filename or folder}: {what}; {todo}"


def _writers(cfg: DictConfig, dataset: MaskDataset, masks: Path | None, folder: Path) -> list[Writer]:
    candidates = folder / "candidates" if cfg.save_candidates else None
    return [Writer(dataset, masks, candidates)] if masks or candidates else []


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
