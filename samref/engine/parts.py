"""What a run refines with: the refiner around its shared backbone, its zoom, its verdict."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from hydra.utils import get_object
from omegaconf import OmegaConf

from samref.adaption.lora import original_head
from samref.backbones.backbone import Backbone
from samref.backbones.open import keeps_embeddings, open_backbone
from samref.config.compose import build
from samref.datasets.loader import Samples
from samref.engine.run_config import Part
from samref.errors import ConfigError
from samref.refiners.samrefiner import Refiner, SAMRefiner
from samref.refiners.source import AUTO, Estimate, Evidence
from samref.refiners.verdict import Verdict, estimate_source


def build_refiner(refiner: Part, backbone: Part | None, prompts: Part | None, images: int | None = None) -> Refiner:
    """A refiner, around the process's one copy of its backbone.

    Backbone and prompts go to constructors that take them; for the others no model is loaded.

    Args:
        refiner: what refines.
        backbone: its model.
        prompts: what it mines of coarse masks.
        images: how many it refines, if that is known.

    Raises:
        ConfigError: for a part that cannot be built, or was left out though it is needed.
    """
    parts: dict[str, Callable[[], Any]] = {
        "backbone": lambda: shared_backbone(_needed("backbone", backbone), images),
        "prompts": lambda: build(_needed("prompts", prompts)),
    }
    wanted = inspect.signature(get_object(refiner._target_)).parameters
    built: Refiner = build(refiner, **{name: make() for name, make in parts.items() if name in wanted})
    return built


@contextmanager
def unadapted_afterwards(refiner: Refiner) -> Iterator[None]:
    """Takes any adaptor off again: the jobs of a sweep share one backbone."""
    backbone = getattr(refiner, "backbone", None)
    if backbone is None:
        yield
    else:
        with original_head(backbone.iou_head):
            yield


def sam_of(refiner: Refiner) -> SAMRefiner | None:
    """The refiner, or the one of its members, that verdict, zoom and clean belong to."""
    sam = refiner if isinstance(refiner, SAMRefiner) else getattr(refiner, "sam", None)
    return sam if isinstance(sam, SAMRefiner) else None


def give_verdict(
    refiner: Refiner, verdict: Verdict, samples: Samples, known: MutableMapping[int, list[Evidence]]
) -> Estimate | None:
    """Gives a refiner the verdict that decides about its masks, and finds out where they come from.

    Args:
        refiner: any; those without a verdict stay as they are.
        verdict: gets the source that is found.
        samples: of the run.
        known: what earlier runs found out about them.

    Returns:
        The source of the coarse masks; None where nothing is judged.
    """
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
    return source


def shared_backbone(backbone: Part, images: int | None = None) -> Backbone:
    """A backbone, for a run of so many images; jobs of one sweep in one process load it once."""
    settings = OmegaConf.to_container(backbone, resolve=True)
    assert isinstance(settings, dict)
    if "cache" in settings:
        settings["cache"] = keeps_embeddings(backbone, images)
    return load_backbone(json.dumps(settings, sort_keys=True))


@lru_cache(maxsize=1)
def load_backbone(settings: str) -> Backbone:
    """A backbone by its settings as JSON; the last one stays loaded."""
    # Below its group, so that errors name the option as it is typed: backbone.img_size.
    return open_backbone(OmegaConf.create({"backbone": json.loads(settings)}).backbone)


def _needed(group: str, part: Part | None) -> Part:
    if part is None:
        raise ConfigError(f"{group} is missing, which this refiner needs; leave it in the configuration")
    return part
