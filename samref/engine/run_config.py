"""What one run is made of: its own options, and the parts that it builds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from samref.config.check import check_config
from samref.config.compose import plain
from samref.config.mistakes import in_a_sentence
from samref.config.reference import option_keys
from samref.config.validate import shown
from samref.engine.identity import fingerprint
from samref.errors import ConfigError

# A node of the configuration that `samref.config.compose.build` makes an object of.
Part = DictConfig
NAMED_BY = ("dataset", "refiner", "prompts", "adaption", "backbone")
TRAINING_NAMED_BY = ("dataset", "network")


@dataclass(frozen=True)
class RunConfig:
    """The configuration of one run, checked.

    Attributes:
        name: of the experiment, and of the folder below `outputs`.
        seed: of everything that is drawn.
        limit: only the first so many images, or None.
        on_error: `raise` or `skip`: what a file that cannot be read does to the run.
        num_workers: processes that read, mine, write and measure beside the model, or `auto`.
        save_masks: whether refined masks are written where the data set names no folder for them.
        save_candidates: whether the three candidates of every mask are written.
        force: whether everything is done again.
        outputs: folder of all runs, and of the adaptors they share.
        folder: of this run's results; the same options always have the same one, unless the user chose it.
        dataset: what is refined.
        refiner: what refines.
        backbone: for refiners that take one; None where it was left out.
        prompts: likewise.
        adaption: trains or loads an adaptor; None for none.
        guard: gives coarse masks back.
        verdict: decides mask by mask.
        zoom: chooses what is refined in crops.
        clean: removes crumbs and pinholes.
        network: what is trained on the masks; None: they are only refined.
        schedule: how it is trained.
        training: on which masks, and what it is scored on.
        trainer: Lightning's.
        loggers: beside the report.
        callbacks: beside those that belong to every run, by name.
        resolved: the same configuration in plain values, for the report and for what a run is known by.
    """

    name: str
    seed: int
    limit: int | None
    on_error: str
    num_workers: int | str
    save_masks: bool
    save_candidates: bool
    force: bool
    outputs: Path
    folder: Path
    dataset: Part
    refiner: Part
    backbone: Part | None
    prompts: Part | None
    adaption: Part | None
    guard: Part
    verdict: Part
    zoom: Part
    clean: Part
    network: Part | None
    schedule: Part | None
    training: Part | None
    trainer: Part
    loggers: tuple[Part, ...]
    callbacks: Mapping[str, Part]
    resolved: dict[str, Any]

    @classmethod
    def of(cls, cfg: DictConfig, folder: Path | None = None) -> RunConfig:
        """Checks a composed configuration.

        Args:
            cfg: see `samref.config.compose`.
            folder: for the results; None: one below `paths.outputs` that is named by the options.

        Raises:
            ConfigError: for an option of another kind or out of range, or a part that was left out.
        """
        check_config(cfg, paths=False)
        try:
            resolved = plain(cfg)
            adaption = cfg.get("adaption") or {}
            return cls(
                name=str(cfg.name),
                seed=cfg.seed,
                limit=cfg.limit,
                on_error=cfg.on_error,
                num_workers=cfg.num_workers,
                save_masks=cfg.save_masks,
                save_candidates=cfg.save_candidates,
                force=cfg.force,
                outputs=Path(cfg.paths.outputs),
                folder=folder or own_folder(resolved),
                dataset=cfg.dataset,
                refiner=cfg.refiner,
                backbone=cfg.get("backbone"),
                prompts=cfg.get("prompts"),
                adaption=cfg.adaption if adaption.get("_target_") else None,
                guard=cfg.guard,
                verdict=cfg.verdict,
                zoom=cfg.zoom,
                clean=cfg.clean,
                network=cfg.get("network"),
                schedule=cfg.get("schedule"),
                training=cfg.get("training"),
                trainer=cfg.trainer,
                loggers=tuple(part for _, part in targets(cfg.get("logger"))),
                callbacks=dict(chosen_callbacks(cfg.callbacks)),
                resolved=resolved,
            )
        except OmegaConfBaseException as error:
            # A part that somebody took away: ~dataset.
            raise ConfigError(in_a_sentence(error)) from error


def own_folder(resolved: Mapping[str, Any]) -> Path:
    """The folder below `paths.outputs` that belongs to some options."""
    choices, training = resolved.get("hydra_choices", {}), resolved.get("training")
    named = [str(choices[group]) for group in (TRAINING_NAMED_BY if training else NAMED_BY) if group in choices]
    named += [str(training["masks"]), f"seed_{training['seed']}"] if training else []
    return Path(resolved["paths"]["outputs"]) / str(resolved["name"]) / "-".join([*named, fingerprint(resolved)])


def targets(node: Any, name: str = "") -> Iterator[tuple[str, Part]]:
    """The parts in a group that may hold several, by name: each node that has a `_target_`."""
    if not OmegaConf.is_dict(node):
        return
    if node.get("_target_"):
        yield name, node
        return
    for key, child in node.items():
        yield from targets(child, str(key))


def chosen_callbacks(node: DictConfig) -> Iterator[tuple[str, Part]]:
    """The callbacks of a group; what is null, false or 0 was left out.

    Raises:
        ConfigError: for any other value in place of a callback.
    """
    for name, child in node.items():
        if child and not OmegaConf.is_dict(child):
            key = f"callbacks.{name!s}"
            own = ", ".join(f"{key}.{option}" for option in _options_of(str(name)))
            else_own = f", or an option of its own: {own}" if own else ""
            raise ConfigError(f"{key} is {shown(child)}; expected null, which leaves it out{else_own}")
    yield from targets(node)


def _options_of(callback: str) -> Iterator[str]:
    for key in option_keys("callbacks", "default"):
        name, _, option = key.partition(".")
        if name == callback and option:
            yield option
