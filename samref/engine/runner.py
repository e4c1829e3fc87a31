"""run(cfg) -> report: builds the parts a configuration names, runs them, writes the report last."""

from __future__ import annotations

import datetime
import errno
import inspect
import json
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
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
from samref.backbones.open import keeps_embeddings, open_backbone
from samref.callbacks.evaluator import Evaluator
from samref.callbacks.gallery import Gallery, heading
from samref.callbacks.picture import Picture
from samref.callbacks.progress import ProgressLine, label_of
from samref.callbacks.resume import ResumeLog, Wanted
from samref.callbacks.run_report import RunReport
from samref.callbacks.taken_up import TakenUp
from samref.callbacks.writer import CANDIDATES, MASKS, Writer
from samref.config.compose import build
from samref.config.mistakes import in_a_sentence
from samref.config.validate import check_run_options
from samref.datasets.datamodule import SampleDataModule
from samref.datasets.dataset import MaskDataset
from samref.datasets.loader import Samples
from samref.engine import environment
from samref.engine.adaptor import adapt
from samref.engine.evidence import KnownEvidence
from samref.engine.inputs import Inputs, read_inputs
from samref.engine.job import RESULTS_VERSION, Job, demand_unchanged, first_process, material, own_rank
from samref.engine.module import RefinementModule
from samref.engine.trainer import closing_logger, device_of, log_report, make_trainer
from samref.errors import ConfigError, OutputError
from samref.io.atomic import noting_files, remove_partial
from samref.io.manifest import Manifest
from samref.refiners.samrefiner import Refiner, SAMRefiner
from samref.refiners.source import AUTO, Estimate, Evidence
from samref.refiners.verdict import Verdict, estimate_source

Report = dict[str, Any]
INPUTS = ".inputs.json"


def run(cfg: DictConfig, command: str = "") -> Report:
    """Runs one job, or returns the report of an earlier run with the same options and inputs.

    Args:
        cfg: composed configuration, see `samref.config.compose`.
        command: what the user typed, for the report.

    Returns:
        The content of `report.json`, and under `folder` where it lies.

    Raises:
        SamrefError: for anything the user can fix; nothing half-written is left under a final name.
    """
    try:
        check_run_options(cfg)
        job = Job.of(cfg)
    except OmegaConfBaseException as error:
        # A part that somebody took away: ~dataset.
        raise ConfigError(in_a_sentence(error)) from error
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        with claimed(job.folder) if first_process() else nullcontext(), closing(open_log(job.folder)) as log:
            return {**_run(cfg, job, command, log), "folder": str(job.folder)}
    except OmegaConfBaseException as error:
        raise ConfigError(in_a_sentence(error)) from error
    except OSError as error:
        # What the operating system refuses is as much the user's to fix as a wrong option is.
        raise OutputError(_refusal(error, job.folder)) from error


def _run(cfg: DictConfig, job: Job, command: str, log: ResumeLog) -> Report:
    started, clock = _now(), time.perf_counter()
    seed_everything(cfg.seed, verbose=False)
    dataset: MaskDataset = build(cfg.dataset)
    samples = Samples(dataset, cfg.limit, cfg.on_error)
    manifest = Manifest(job.folder / INPUTS)
    options = {"options": material(job.config), "results": RESULTS_VERSION}
    inputs = read_inputs(options, job.config, dataset, len(samples), manifest)
    if first_process():
        manifest.save()
    report = None if cfg.force else job.finished(inputs, log if first_process() else None)
    if report is not None:
        return {**report, "reused": True}
    output = masks_folder(cfg, dataset, job.folder)
    with claimed(output) if output and first_process() else nullcontext(), closing_logger(cfg):
        if first_process():
            prepare(job, log, inputs, output, cfg.force)
        report = _refine(cfg, job, command, log, Data(samples, inputs, manifest), output)
    report |= {"started": started, "finished": _now()}
    report["timing"]["wall"] = time.perf_counter() - clock
    if first_process():
        job.finish(report, log)
    return report


@dataclass(frozen=True)
class Data:
    """What is refined, and what is known of its files."""

    samples: Samples
    inputs: Inputs
    manifest: Manifest


def prepare(job: Job, log: ResumeLog, inputs: Inputs, output: Path | None, force: bool) -> None:
    """Makes sure that nobody's work is overwritten, and clears away what a killed run left unfinished.

    Raises:
        OutputError: if somebody has changed what an earlier run wrote.
    """
    if force:
        log.forget()
    changed = log.changed(inputs.samples)
    demand_unchanged([path for path in changed if Path(path).name != job.report_path.name])
    log.begin(inputs.samples)
    job.report_path.unlink(missing_ok=True)
    remove_partial(job.folder)
    if output and job.folder not in output.parents:
        remove_partial(output)


def _refine(cfg: DictConfig, job: Job, command: str, log: ResumeLog, given: Data, output: Path | None) -> Report:
    dataset, samples, inputs = given.samples.dataset, given.samples, given.inputs
    refiner = build_refiner(cfg, len(samples))
    with unadapted_afterwards(refiner):
        adaption, adaptor = None, ""
        if cfg.adaption.get("_target_"):
            adaption = adapt(cfg, job.config, refiner, samples, inputs, force=cfg.force and first_process())
            adaptor = given.manifest.digest(adaption["checkpoint"])
        if (sam := sam_of(refiner)) is not None:
            sam.zoom, sam.clean = build(cfg.zoom), build(cfg.clean)
        known = KnownEvidence(log, inputs, adaptor) if first_process() else {}
        source = judged(refiner, build(cfg.verdict), samples, known)
        wanted = inputs.wanted(adaptor, "" if source is None else source.source)
        kinds = [kind for kind, on in ((MASKS, output), (CANDIDATES, cfg.save_candidates)) if on]
        reused = log.reusable(wanted, kinds) if first_process() and job.takes_up else []
        places = {image_id: place for place, image_id in enumerate(wanted)}
        taken_up = TakenUp(samples, log, wanted, sorted(reused, key=places.__getitem__))
        data = SampleDataModule(samples, cfg.num_workers, done=taken_up.images)
        evaluator = Evaluator(dataset, data.limited_ids, taken_up)
        candidates = job.folder / "candidates" if cfg.save_candidates else None
        writer = Writer(dataset, output, candidates, taken_up)
        callbacks: list[Callback] = [evaluator, writer]
        if cfg.callbacks.picture:
            callbacks.append(Picture(job.folder, cfg.callbacks.picture, taken_up))
        if cfg.callbacks.gallery:
            about = partial(heading, job.config, command, evaluator)
            callbacks.append(Gallery(job.folder, cfg.callbacks.gallery, cfg.seed, about, taken_up))
        if cfg.callbacks.progress:
            callbacks.append(ProgressLine(label_of(job.config), len(samples) - len(taken_up.images)))
        key_of = partial(_key_of, wanted, places, given)
        summary = RunReport(job.folder / "samples.csv", dataset.problems, log, key_of, taken_up)
        with noting_files() as outputs:
            trainer = _test(cfg, job, data, refiner, [*callbacks, summary])
    report = {
        "experiment": cfg.name,
        "command": command,
        "config": job.config,
        "identity": inputs.identity,
        "metrics": evaluator.scores,
        "input": dataset.unit,
        "origins": summary.origins(),
        "counts": summary.counts(),
        "failures": [{"image": failure.image_id, "reason": failure.reason} for failure in summary.failures()],
        "warnings": [*dataset.warnings, *summary.warnings()],
        "taken_up": len(taken_up.images),
        "left_over": [],
        "adaption": adaption,
        "source": None if source is None else asdict(source),
        "timing": summary.timing(),
        "peak_memory_mb": environment.peak_memory_mb(device_of(refiner)),
        "hardware": environment.hardware(),
        "versions": environment.versions(),
        "git": environment.git(),
        "seed": cfg.seed,
    }
    if first_process():
        log.record_outputs(outputs, checked=False)
        log.record_outputs(writer.closed)
        report["left_over"] = log.left_over([*summary.files, *log.files_of(taken_up.images)])
    log_report(trainer, report)
    return report


def _key_of(
    wanted: Mapping[Hashable, Wanted], places: Mapping[Hashable, int], data: Data, image_id: Hashable
) -> Wanted:
    """The key that an image's result is recorded under; none if its files were written while it was refined."""
    found = wanted[image_id]
    moved = any(data.manifest.moved(path) for path in data.samples.dataset.sample_files(places[image_id]))
    return Wanted("", found.names) if moved else found


def _test(cfg: DictConfig, job: Job, data: SampleDataModule, refiner: Refiner, callbacks: list[Callback]) -> Trainer:
    dataset = data.samples.dataset
    module = RefinementModule(refiner, cfg.save_candidates, dataset.keep_logits, build(cfg.guard), dataset.settle)
    trainer = make_trainer(cfg, job.folder, callbacks, device_of(refiner))
    if not dataset.scored:
        trainer.predict(module, data, return_predictions=False)
    else:
        trainer.test(module, data, verbose=False)
    return trainer


def open_log(folder: Path) -> ResumeLog:
    """The resume log of this process."""
    return ResumeLog(folder, own_rank())


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keeps every other run out of a folder.

    The lock file stays: deleted while it is held, it would let a third run in beside a second one that waits for it.

    Raises:
        OutputError: if another run is in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise OutputError(
            f"{folder} is being written by another run; wait for it, or choose another paths.outputs or dataset.output"
        ) from None


@contextmanager
def unadapted_afterwards(refiner: Refiner) -> Iterator[None]:
    """Takes any adaptor off again: the jobs of a sweep share one backbone."""
    backbone = getattr(refiner, "backbone", None)
    if backbone is None:
        yield
    else:
        with original_head(backbone.iou_head):
            yield


def build_refiner(cfg: DictConfig, images: int | None = None) -> Refiner:
    """The refiner of a configuration, around the process's one copy of its backbone.

    Backbone and prompts go to constructors that ask for them; for the others no model is loaded.

    Args:
        cfg: of the job.
        images: how many it refines, if that is known.
    """
    parts: dict[str, Callable[[], Any]] = {
        "backbone": lambda: shared_backbone(cfg.backbone, images),
        "prompts": lambda: build(cfg.prompts),
    }
    wanted = inspect.signature(get_object(cfg.refiner._target_)).parameters
    refiner: Refiner = build(cfg.refiner, **{name: make() for name, make in parts.items() if name in wanted})
    return refiner


def sam_of(refiner: Refiner) -> SAMRefiner | None:
    """The refiner, or the one of its members, that verdict, zoom and clean belong to."""
    sam = refiner if isinstance(refiner, SAMRefiner) else getattr(refiner, "sam", None)
    return sam if isinstance(sam, SAMRefiner) else None


def judged(
    refiner: Refiner, verdict: Verdict, samples: Samples, known: MutableMapping[int, list[Evidence]]
) -> Estimate | None:
    """Gives a refiner the verdict that decides about its masks, and finds out where they come from."""
    sam = sam_of(refiner)
    if sam is None:
        return None
    sam.verdict = verdict
    if sam.verdict is None:
        return None
    source = Estimate(verdict.source)
    if verdict.source == AUTO:
        source = estimate_source(verdict, samples, sam.backbone, sam.prompts, sam.zoom, known)
        verdict.source = source.source
        if first_process():
            print(source.sentence())
    return source


def shared_backbone(cfg: DictConfig, images: int | None = None) -> Backbone:
    """The backbone of a configuration, for a run of so many images; jobs of one sweep in one process load it once."""
    settings = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(settings, dict)
    if "cache" in settings:
        settings["cache"] = keeps_embeddings(cfg, images)
    return _load_backbone(json.dumps(settings, sort_keys=True))


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


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
