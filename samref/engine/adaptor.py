"""The adaptor that a job wants: loaded, taken over from another job of the sweep, or trained now."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor

from samref.adaption.checkpoint import load_adaptor, save_adaptor
from samref.adaption.iou_lora import VERDICT, IouLora
from samref.adaption.module import checkpointing, fit, judge_of, prepare_targets, rate
from samref.config.compose import build
from samref.engine.identity import IMMATERIAL_PARTS, RESULTS_VERSION
from samref.engine.inputs import Inputs, digest
from samref.engine.module import RefinementModule
from samref.engine.run_config import Part, RunConfig
from samref.engine.trainer import make_trainer
from samref.errors import ConfigError, WeightsError
from samref.io.atomic import write_text
from samref.refiners.samrefiner import Refiner, SAMRefiner
from samref.refiners.source import AUTO
from samref.refiners.verdict import Verdict, estimate_source
from samref.structures import Samples

KEY_LENGTH = 16


def adapt(
    config: RunConfig, adaption: Part, refiner: Refiner, samples: Samples, inputs: Inputs, force: bool
) -> dict[str, Any]:
    """Attaches to the refiner's backbone the adaptor that a configuration wants.

    An adaptor is kept in `<outputs>/adaptors/` under a key of all that decides it, the content of the training data
    included, so that it is trained once and shared by the jobs of a sweep.

    Args:
        config: of the run.
        adaption: the group `adaption`.
        refiner: whose backbone is adapted.
        samples: what it is trained on.
        inputs: of the run.
        force: whether it is trained again, on training targets computed again.

    Returns:
        What is known of the training, for the report: steps, losses, agreement before and after, seconds, file.

    Raises:
        ConfigError: for a refiner without Segment Anything's IoU head, or options that make no sense.
        WeightsError: for a checkpoint that cannot be loaded.
    """
    if not isinstance(refiner, SAMRefiner):
        raise ConfigError("adaption=iou_lora adapts Segment Anything's IoU head; it needs refiner=samrefiner")
    options: IouLora = build(adaption)
    if options.checkpoint is not None:
        load_adaptor(Path(options.checkpoint), refiner.backbone)
        return {"checkpoint": str(options.checkpoint)}
    store = config.outputs / "adaptors"
    judge = make_judge(config.verdict, refiner, samples) if options.target == VERDICT else None
    frozen = targets_key(config.resolved, refiner.backbone.weights_sha256, judge)
    folder, targets = store / adaptor_key(frozen, config.resolved, inputs), store / f"targets-{frozen}"
    keys = list(inputs.samples.values())
    folder.mkdir(parents=True, exist_ok=True)
    file, record = folder / "adaptor.safetensors", folder / "training.json"
    with FileLock(folder / ".lock"):
        if force:
            for path in (file, record, folder / "last.ckpt", *(targets / f"{key}.safetensors" for key in keys)):
                path.unlink(missing_ok=True)
        training = _trained(file, record, refiner)
        if training is None:
            options.attach(refiner.backbone)
            found = _train(config, options, refiner, samples, folder, targets, keys, judge)
            save_adaptor(file, refiner.backbone, options.rank, options.alpha, options.placement)
            training = {**found, "checkpoint": str(file)}
            write_text(record, json.dumps(training, indent=1) + "\n")
    return training


def make_judge(part: Part, refiner: SAMRefiner, samples: Samples) -> SAMRefiner:
    """What decides the masks that are trained on, whether or not the verdict decides those that are written."""
    verdict: Verdict = build(part, enabled=True)
    judge = judge_of(refiner, verdict)
    if verdict.source == AUTO:
        verdict.source = estimate_source(verdict, samples, refiner.backbone, judge.prompts).source
    return judge


def targets_key(config: dict[str, Any], weights_sha256: str, judge: SAMRefiner | None = None) -> str:
    """Sixteen characters that two jobs share exactly when equal samples give them equal training targets."""
    prompts = {key: value for key, value in config["prompts"].items() if key != "use"}
    backbone = {key: value for key, value in config["backbone"].items() if key not in IMMATERIAL_PARTS["backbone"]}
    dataset = {key: value for key, value in config["dataset"].items() if key not in ("output", "cache")}
    adaption = [config["adaption"][key] for key in ("prompts", "target")]
    if judge is not None and judge.verdict is not None:
        adaption += [config["verdict"], judge.verdict.source]
    return digest([RESULTS_VERSION, dataset, backbone, weights_sha256, prompts, adaption])[:KEY_LENGTH]


def adaptor_key(frozen: str, config: dict[str, Any], inputs: Inputs) -> str:
    """Sixteen characters that two jobs share exactly when they would train the same adaptor.

    Args:
        frozen: of `targets_key`.
        config: of the job.
        inputs: of the job, whose samples are trained on in their order.
    """
    adaption = {key: value for key, value in config["adaption"].items() if key != "cached"}
    return digest([frozen, adaption, list(inputs.samples.items())])[:KEY_LENGTH]


def _trained(file: Path, record: Path, refiner: SAMRefiner) -> dict[str, Any] | None:
    """Loads the adaptor that an earlier job has trained and returns what is known of it; None if it is damaged."""
    if not (file.is_file() and record.is_file()):
        return None
    layers: Any = refiner.backbone.iou_head.layers
    before = list(layers)
    try:
        training = json.loads(record.read_text(encoding="utf-8"))
        load_adaptor(file, refiner.backbone)
    except (ValueError, OSError, WeightsError):
        for index, layer in enumerate(before):
            layers[index] = layer
        return None
    return training if isinstance(training, dict) else None


def _train(
    config: RunConfig,
    adaption: IouLora,
    refiner: SAMRefiner,
    samples: Samples,
    folder: Path,
    store: Path,
    keys: list[str],
    judge: SAMRefiner | None,
) -> dict[str, Any]:
    clock = time.perf_counter()
    targets = prepare_targets(samples, refiner, adaption, store, keys, judge)
    prepared = time.perf_counter()
    before = rate(targets)
    module = RefinementModule(refiner)
    module.prepare_fit(adaption, targets)
    losses = Losses()
    callbacks: list[Callback] = [losses, checkpointing(folder)]
    if config.loggers:
        callbacks.append(LearningRateMonitor(logging_interval="step"))
    trainer = make_trainer(
        config,
        folder,
        callbacks,
        refiner.backbone.device,
        max_epochs=adaption.passes(len(targets)),
        enable_checkpointing=True,
        log_every_n_steps=1,
        # A thousand numbers are trained in the time that other processes take to start; they load what comes out.
        devices=1,
        num_nodes=1,
        strategy="auto",
    )
    fit(module, trainer, adaption, targets, folder / "last.ckpt")
    after = rate(targets)
    rates = {
        f"{name}_{when}": value
        for when, found in (("before", before), ("after", after))
        for name, value in found.items()
    }
    for logger in trainer.loggers:
        logger.log_metrics({f"adaption/{name}": value for name, value in rates.items()})
    return {
        **({} if judge is None or judge.verdict is None else {"source": judge.verdict.source}),
        "masks": len(targets),
        "steps": trainer.global_step,
        "epoch_losses": losses.epochs,
        **rates,
        "seconds": {"targets": prepared - clock, "fit": time.perf_counter() - prepared},
    }


class Losses(Callback):
    """Mean loss of each epoch; part of the fit's checkpoint, so that a resumed fit knows those before it."""

    def __init__(self) -> None:
        self.epochs: list[float] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes the epoch's loss."""
        self.epochs.append(float(trainer.callback_metrics["adaption/loss_epoch"]))

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"epochs": list(self.epochs)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint."""
        self.epochs = list(state_dict["epochs"])
