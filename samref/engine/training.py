"""One training run: its masks, refined first where that is wanted, its network, its fit and its score."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_object
from lightning import Callback, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from samref.backbones.backbone import Backbone
from samref.callbacks.progress import TrainingLine
from samref.callbacks.resume import ResumeLog
from samref.config.compose import build
from samref.config.reference import options as known_options
from samref.datasets.dataset import MaskDataset
from samref.datasets.loader import Samples
from samref.engine import environment
from samref.engine.callbacks import build_callbacks
from samref.engine.data import INPUTS
from samref.engine.identity import OWN_CALLBACKS, RESULTS_VERSION, material
from samref.engine.inputs import Inputs, digest, read_inputs
from samref.engine.job import Job, first_process
from samref.engine.loggers import closing_loggers, log_report
from samref.engine.outcome import Clock, TrainingOutcome, now
from samref.engine.parts import shared_backbone
from samref.engine.run_config import Part, RunConfig
from samref.engine.trainer import make_trainer
from samref.engine.workers import worker_count
from samref.errors import ConfigError
from samref.io.coco_files import read_image_ids
from samref.io.manifest import Manifest
from samref.training.data import TrainingDataModule, TrainingImages
from samref.training.module import TrainingModule
from samref.training.networks.network import SEMANTIC, Network
from samref.training.networks.weights import save_network
from samref.training.options import REFINED, TRUTH, TrainingOptions
from samref.training.schedule import Schedule
from samref.training.scoring import scorer_of
from samref.training.targets import Classes, classes_of

Report = dict[str, Any]
Refine = Callable[[DictConfig], Report]
# Of Lightning's trainer: options of a fit, which mean nothing to a refinement.
OF_A_FIT = ("max_steps", "precision", "gradient_clip_val", "accumulate_grad_batches")
OF_TRAINING = ("network", "schedule", "training")
WEIGHTS, CHECKPOINTS, LAST = "network.safetensors", "checkpoints", "last.ckpt"


def train(config: RunConfig, command: str, log: ResumeLog, refine: Refine) -> Report:
    """Trains a network on masks and scores it, or returns the report of an earlier run of the same.

    Args:
        config: with the parts `network`, `schedule` and `training`.
        command: what the user typed, for the report.
        log: of the run's folder.
        refine: runs a refinement, for masks that are to be refined first.

    Returns:
        The content of `report.json`.

    Raises:
        SamrefError: for anything the user can fix.
    """
    clock = Clock()
    options: TrainingOptions = build(_needed("training", config.training))
    schedule: Schedule = build(_needed("schedule", config.schedule))
    data = _Data.of(config, options, refine)
    job = Job(config, data.inputs, log)
    report = None if config.force else job.finished()
    if report is not None:
        return {**report, "reused": True}
    with closing_loggers(config.loggers):
        if first_process():
            job.prepare(None)
        report = _fit(job, data, options, schedule, command, clock).report()
    if first_process():
        job.finish(report)
    return report


@dataclass(frozen=True)
class _Data:
    """What is trained on and scored on.

    Attributes:
        places: samples whose masks are trained on, each as those of a data set and its index among them.
        validation: samples with ground truth.
        classes: of the validation data.
        inputs: hash of all that goes into the run.
    """

    places: list[tuple[Samples, int]]
    validation: Samples
    classes: Classes
    inputs: Inputs

    @classmethod
    def of(cls, config: RunConfig, options: TrainingOptions, refine: Refine) -> _Data:
        # First what is there already: a mistake in it must not cost a refinement.
        scored = _samples(config, dict(options.validation))
        sources, labeled = _sources(config, options, refine)
        classes = classes_of(scored.dataset, sources[0])
        places = [
            (samples, index)
            for number, samples in enumerate(sources)
            for index in range(len(samples))
            if number or samples.dataset.image_id(index) not in labeled
        ]
        manifest = Manifest(config.folder / INPUTS)
        known = {"options": material(config.resolved), "results": RESULTS_VERSION}
        identities = [
            read_inputs(known, config.resolved, samples.dataset, len(samples), manifest).identity
            for samples in (*sources, scored)
        ]
        if first_process():
            manifest.save()
        return cls(places, scored, classes, Inputs(digest(known), digest(identities), {}, {}))


def _sources(config: RunConfig, options: TrainingOptions, refine: Refine) -> tuple[list[Samples], set[Any]]:
    """The data sets of a training set, and the images of the first that the second has true masks of."""
    own: dict[str, Any] = {}
    if options.masks == TRUTH:
        own = {options.takes: options.truth}
    elif options.masks == REFINED:
        # Data of its own first: its mistakes are answered before anything is refined.
        _samples(config, {})
        own = {options.takes: str(options.refined or _refined(config, options, refine))}
    sources = [_samples(config, own)]
    if options.labeled is None:
        return sources, set()
    sources.append(_samples(config, {options.takes: options.truth, "image_ids": str(options.labeled)}))
    return sources, read_image_ids(options.labeled)


def _samples(config: RunConfig, own: dict[str, Any]) -> Samples:
    if "stm" in config.dataset:
        # Networks see label maps; regions are what a refiner needs.
        own = {**own, "stm": build(config.dataset.stm, enabled=False)}
    dataset: MaskDataset = build(config.dataset, **own)
    return Samples(dataset, config.limit, config.on_error)


def _refined(config: RunConfig, options: TrainingOptions, refine: Refine) -> Path:
    """Where the refined masks are, which a finished run has left or one makes now."""
    own = {key: value for key, value in config.resolved.items() if key not in OF_TRAINING}
    choices = {key: value for key, value in own["hydra_choices"].items() if key not in (*OF_TRAINING, "experiment")}
    if options.refinement in known_options("experiment"):
        choices["experiment"] = options.refinement
    own |= {
        "name": options.refinement,
        # Data sets want all the masks of a split, and a later run without a limit has them.
        "limit": None,
        "save_masks": True,
        "hydra_choices": choices,
        "trainer": {key: value for key, value in own["trainer"].items() if key not in OF_A_FIT},
    }
    report = refine(OmegaConf.create(own))
    folder = Path(own["dataset"].get("output") or Path(report["folder"]) / "masks")
    coarse = Path(own["dataset"].get(options.takes) or own["dataset"].get("annotations") or "")
    # COCO's masks are one file, under the name of the coarse ones'.
    return folder / f"{coarse.stem}.json" if coarse.suffix == ".json" else folder


def build_network(part: Part, backbone: Part | None, classes: int, images: int | None = None) -> Network:
    """A network for so many classes, around the process's backbone where it takes one.

    Args:
        part: the group `network`.
        backbone: the group `backbone`.
        classes: background included.
        images: how many it will see, if that is known.

    Raises:
        ConfigError: for a part that cannot be built, or was left out though it is needed.
        WeightsError: for weights that cannot be found or do not fit.
    """
    own: dict[str, Any] = {"classes": classes}
    if "backbone" in inspect.signature(get_object(part._target_)).parameters and "backbone" not in part:
        if backbone is None:
            raise ConfigError("backbone is missing, which this network needs; leave it in the configuration")
        own["backbone"] = shared_backbone(backbone, images)
    network: Network = build(part, **own)
    return network


def _fit(
    job: Job, data: _Data, options: TrainingOptions, schedule: Schedule, command: str, clock: Clock
) -> TrainingOutcome:
    config = job.config
    steps = int(config.trainer.get("max_steps") or schedule.max_steps)
    seed_everything(options.seed, verbose=False)
    part = _needed("network", config.network)
    network = build_network(part, config.backbone, data.classes.count, len(data.places) + len(data.validation))
    if network.kind != data.classes.kind:
        raise ConfigError(
            f"network={config.resolved['hydra_choices'].get('network')} finds {_finds(network.kind)}, but data set "
            f"{data.validation.dataset.name} has {_finds(data.classes.kind)}; choose another network"
        )
    trainer = make_trainer(
        config,
        config.folder,
        list(_callbacks(config, schedule, steps)),
        None,
        max_steps=steps,
        max_epochs=-1,
        gradient_clip_val=schedule.clip,
        enable_checkpointing=True,
        log_every_n_steps=max(1, min(50, steps // 100)),
        **_validation(schedule),
    )
    images = TrainingImages(data.places, data.classes, schedule.augmentation, options.seed)
    workers = worker_count(config.num_workers, trainer.strategy.root_device)
    batches = TrainingDataModule(images, data.validation, schedule.batch_size, steps, options.seed, workers)
    scorer = scorer_of(data.classes, schedule.evaluation, data.validation.dataset, batches.scored.limited_ids)
    module = TrainingModule(network, schedule, scorer, steps, options.seed)
    seconds = {"fit": -time.perf_counter()}
    checkpoint = config.folder / CHECKPOINTS / LAST
    if first_process() and (config.force or not _is_whole(checkpoint)):
        checkpoint.unlink(missing_ok=True)
    trainer.fit(module, batches, ckpt_path=str(checkpoint) if checkpoint.is_file() else None, weights_only=True)
    seconds["fit"] += time.perf_counter()
    seconds["score"] = -time.perf_counter()
    trainer.test(module, batches, verbose=False)
    seconds["score"] += time.perf_counter()
    if trainer.is_global_zero:
        frozen = config.backbone if isinstance(getattr(network, "backbone", None), Backbone) else None
        facts = {
            "network": OmegaConf.to_container(part, resolve=True),
            "backbone": None if frozen is None else OmegaConf.to_container(frozen, resolve=True),
            "classes": list(data.classes.ids),
            "count": data.classes.count,
        }
        save_network(config.folder / WEIGHTS, network, facts)
        checkpoint.unlink(missing_ok=True)
    outcome = TrainingOutcome(
        experiment=config.name,
        command=command,
        config=config.resolved,
        identity=data.inputs.identity,
        metrics={"trained": module.metrics},
        counts={"images": len(data.places), "scored": len(data.validation), "classes": data.classes.count},
        training={
            "masks": options.masks,
            "steps": trainer.global_step,
            "losses": module.history,
            "weights": str(config.folder / WEIGHTS),
        },
        failures=[],
        warnings=list(dict.fromkeys(warning for samples, _ in data.places for warning in samples.dataset.warnings)),
        timing={"total": seconds["fit"], **seconds, "wall": clock.seconds()},
        peak_memory_mb=environment.peak_memory_mb(trainer.strategy.root_device),
        hardware=environment.hardware(),
        versions=environment.versions(),
        git=environment.git(),
        seed=options.seed,
        started=clock.started,
        finished=now(),
    )
    log_report(trainer, outcome.report())
    return outcome


def _needed(group: str, part: Part | None) -> Part:
    if part is None:
        raise ConfigError(f"{group} is missing, which training needs; +experiment=voc_training chooses one")
    return part


def _finds(kind: str) -> str:
    return "label maps" if kind == SEMANTIC else "instances"


def _callbacks(config: RunConfig, schedule: Schedule, steps: int) -> Iterator[Callback]:
    yield ModelCheckpoint(
        dirpath=config.folder / CHECKPOINTS,
        filename=Path(LAST).stem,
        save_top_k=1,
        every_n_train_steps=schedule.checkpoint_every,
        save_on_train_epoch_end=False,
        enable_version_counter=False,
    )
    if config.loggers:
        yield LearningRateMonitor(logging_interval="step")
    if "progress" in config.callbacks:
        choices = config.resolved["hydra_choices"]
        yield TrainingLine(f"{choices.get('network')} on {config.resolved['training']['masks']} masks", steps)
    foreign = {
        name: part for name, part in config.callbacks.items() if not str(part._target_).startswith(OWN_CALLBACKS)
    }
    yield from build_callbacks(foreign, {"folder": config.folder})


def _validation(schedule: Schedule) -> Mapping[str, Any]:
    if schedule.validate_every is None:
        return {"limit_val_batches": 0, "num_sanity_val_steps": 0}
    return {"val_check_interval": schedule.validate_every, "check_val_every_n_epoch": None, "num_sanity_val_steps": 0}


def _is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint can be gone on from; a damaged one costs the fit a new start, not the run."""
    with suppress(Exception):  # a damaged archive fails in as many ways as it has formats
        torch.load(checkpoint, map_location="cpu", weights_only=True)
        return True
    return False
