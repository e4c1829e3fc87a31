"""run(cfg) -> report: builds the parts a configuration names, runs them, writes the report last."""

from __future__ import annotations

import errno
from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer, seed_everything
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from samref.callbacks.announced import Announced
from samref.callbacks.evaluator import Evaluator
from samref.callbacks.gallery import heading
from samref.callbacks.progress import label_of
from samref.callbacks.resume import ResumeLog, Wanted
from samref.callbacks.run_report import RunReport
from samref.callbacks.steps import CANDIDATES, MASKS
from samref.callbacks.taken_up import TakenUp
from samref.callbacks.writer import Writer
from samref.config.compose import build
from samref.config.mistakes import in_a_sentence
from samref.datasets.datamodule import SampleDataModule
from samref.engine import environment
from samref.engine.adaptor import adapt
from samref.engine.callbacks import build_callbacks
from samref.engine.data import Data
from samref.engine.evidence import KnownEvidence
from samref.engine.identity import is_limited
from samref.engine.job import Job, first_process, own_rank
from samref.engine.loggers import closing_loggers, log_report
from samref.engine.module import RefinementModule, refining
from samref.engine.outcome import Clock, RunOutcome, now
from samref.engine.parts import build_refiner, give_verdict, sam_of, unadapted_afterwards
from samref.engine.run_config import RunConfig
from samref.engine.trainer import device_of, make_trainer
from samref.engine.training import train
from samref.engine.workers import worker_count
from samref.errors import ConfigError, OutputError
from samref.io.atomic import noting_files
from samref.io.lock import claimed
from samref.refiners.samrefiner import Refiner
from samref.refiners.source import Estimate
from samref.report.calibration import calibration_of

Report = dict[str, Any]


def run(cfg: DictConfig, command: str = "", folder: Path | None = None) -> Report:
    """Runs one job, or returns the report of an earlier run with the same options and inputs.

    Args:
        cfg: composed configuration, see `samref.config.compose`.
        command: what the user typed, for the report.
        folder: for the results; None: one below `paths.outputs` that is named by the options.

    Returns:
        The content of `report.json`, and under `folder` where it lies.

    Raises:
        SamrefError: for anything the user can fix; nothing half-written is left under a final name.
    """
    config = RunConfig.of(cfg, folder)
    with _refusals_as_sentences(config.folder):
        config.folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(config.folder), closing(ResumeLog(config.folder, own_rank())) as log:
            report = _run(config, command, log) if config.network is None else train(config, command, log, run)
            return {**report, "folder": str(config.folder)}


def _run(config: RunConfig, command: str, log: ResumeLog) -> Report:
    clock = Clock()
    seed_everything(config.seed, verbose=False)
    data = Data.of(config)
    job = Job(config, data.inputs, log)
    report = None if config.force else job.finished()
    if report is not None:
        return {**report, "reused": True}
    output = _masks_folder(config, data)
    with _alone_in(output), closing_loggers(config.loggers):
        if first_process():
            job.prepare(output)
        report = _refine(job, data, output, command, clock).report()
    if first_process():
        job.finish(report)
    return report


def _refine(job: Job, data: Data, output: Path | None, command: str, clock: Clock) -> RunOutcome:
    config = job.config
    refiner = build_refiner(config.refiner, config.backbone, config.prompts, len(data.samples))
    with unadapted_afterwards(refiner):
        ready = _make_ready(refiner, job, data)
        taken_up = _taken_up(job, data, ready, output)
        workers = worker_count(config.num_workers, device_of(refiner))
        module = SampleDataModule(data.samples, workers, done=taken_up.images)
        evaluator = Evaluator(data.dataset, module.limited_ids, taken_up)
        candidates = config.folder / "candidates" if config.save_candidates else None
        announced = Announced(config.folder)
        writer = Writer(data.dataset, output, candidates, taken_up, announced)
        chosen = _chosen_callbacks(config, command, data, evaluator, taken_up)
        samples_csv = config.folder / "samples.csv"
        summary = RunReport(samples_csv, data.dataset.problems, job.log, data.keys(ready.wanted), taken_up)
        with noting_files() as outputs:
            trainer = _test(config, module, refiner, [evaluator, writer, *chosen, summary])
    left_over: list[str] = []
    if first_process():
        job.log.record_outputs(outputs, checked=False)
        job.log.record_outputs(writer.closed)
        announced.clear()
        left_over = job.log.left_over([*summary.files, *job.log.files_of(taken_up.images)])
    outcome = RunOutcome(
        experiment=config.name,
        command=command,
        config=config.resolved,
        identity=data.inputs.identity,
        metrics=evaluator.scores,
        input=data.dataset.unit,
        origins=summary.origins(),
        counts=summary.counts(),
        failures=[{"image": failure.image_id, "reason": failure.reason} for failure in summary.failures()],
        warnings=[*data.dataset.warnings, *summary.warnings()],
        taken_up=len(taken_up.images),
        left_over=left_over,
        adaption=ready.adaption,
        source=ready.source,
        calibration=calibration_of(summary.totals.table),
        timing={**summary.timing(), "wall": clock.seconds()},
        peak_memory_mb=environment.peak_memory_mb(device_of(refiner)),
        hardware=environment.hardware(),
        versions=environment.versions(),
        git=environment.git(),
        seed=config.seed,
        started=clock.started,
        finished=now(),
    )
    log_report(trainer, outcome.report())
    return outcome


@dataclass(frozen=True)
class Ready:
    """What a refiner was made ready with.

    Attributes:
        adaption: what is known of its adaptor, or None.
        source: where the coarse masks come from, or None.
        wanted: what each image's result must be known by.
    """

    adaption: dict[str, Any] | None
    source: Estimate | None
    wanted: Mapping[Hashable, Wanted]


def _make_ready(refiner: Refiner, job: Job, data: Data) -> Ready:
    """Gives a refiner its adaptor, its zoom, its cleaning and its verdict."""
    config, adaption, adaptor = job.config, None, ""
    if config.adaption is not None:
        adaption = adapt(config, config.adaption, refiner, data.samples, data.inputs, config.force and first_process())
        adaptor = data.manifest.digest(adaption["checkpoint"])
    if (sam := sam_of(refiner)) is not None:
        sam.zoom, sam.clean = build(config.zoom), build(config.clean)
    evidence = KnownEvidence(job.log, data.inputs, adaptor) if first_process() else {}
    source = give_verdict(refiner, build(config.verdict), data.samples, evidence)
    if source is not None and source.masks and first_process():
        print(source.sentence())
    return Ready(adaption, source, data.inputs.wanted(adaptor, "" if source is None else source.source))


def _taken_up(job: Job, data: Data, ready: Ready, output: Path | None) -> TakenUp:
    """The images that are not refined again; the first process knows them."""
    kinds = [kind for kind, on in ((MASKS, output), (CANDIDATES, job.config.save_candidates)) if on]
    if not first_process() or is_limited(job.config.resolved):
        return TakenUp(data.samples, job.log, ready.wanted)
    reused = set(job.log.reusable(ready.wanted, kinds))
    return TakenUp(data.samples, job.log, ready.wanted, [image_id for image_id in ready.wanted if image_id in reused])


def _chosen_callbacks(
    config: RunConfig, command: str, data: Data, evaluator: Evaluator, taken_up: TakenUp
) -> Iterator[Callback]:
    """The callbacks of the configuration, with what only a run knows, by the names of their arguments."""
    known = {
        "folder": config.folder,
        "seed": config.seed,
        "label": label_of(config.resolved),
        "total": len(data.samples) - len(taken_up.images),
        "heading": partial(heading, config.resolved, command, evaluator),
        "taken_up": taken_up,
        "problems": data.dataset.problems,
    }
    return build_callbacks(config.callbacks, known)


def _test(config: RunConfig, module: SampleDataModule, refiner: Refiner, callbacks: list[Callback]) -> Trainer:
    dataset = module.samples.dataset
    steps = [step for callback in callbacks if (step := getattr(callback, "image_step", None)) is not None]
    refinement = RefinementModule(
        refiner, config.save_candidates, dataset.keep_logits, build(config.guard), dataset.settle, steps
    )
    trainer = make_trainer(config, config.folder, callbacks, device_of(refiner))
    with refining(refinement, module):
        if dataset.scored:
            trainer.test(refinement, module, verbose=False)
        else:
            trainer.predict(refinement, module, return_predictions=False)
    return trainer


def _masks_folder(config: RunConfig, data: Data) -> Path | None:
    """Where refined masks go; None if they are not written."""
    if data.dataset.output is not None:
        return data.dataset.output
    return config.folder / "masks" if config.save_masks or not data.dataset.scored else None


def _alone_in(folder: Path | None) -> AbstractContextManager[None]:
    """Keeps other runs out of a folder; the first process does it for its helpers."""
    return claimed(folder) if folder and first_process() else nullcontext()


@contextmanager
def _refusals_as_sentences(folder: Path) -> Iterator[None]:
    """What the configuration's library and the operating system refuse is the user's to fix, as a wrong option is."""
    try:
        yield
    except OmegaConfBaseException as error:
        raise ConfigError(in_a_sentence(error)) from error
    except OSError as error:
        raise OutputError(_refusal(error, folder)) from error


def _refusal(error: OSError, folder: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        todo = "make room and run the same command again, which goes on from here"
    else:
        todo = "choose a folder that can be written, by paths.outputs or dataset.output"
    what = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return f"{error.filename or folder}: {what}; {todo}"
