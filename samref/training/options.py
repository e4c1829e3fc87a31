"""What a training run is about: which masks, which validation data, which seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samref.config.paths import InputPath
from samref.errors import ConfigError

COARSE, REFINED, TRUTH = MASKS = ("coarse", "refined", "truth")


@dataclass(frozen=True)
class TrainingOptions:
    """The group `training`.

    Attributes:
        masks: `coarse`: the data set's; `refined`: what a refinement makes of them; `truth`: the true ones.
        seed: of the order of images, of augmentation, and of what a network starts from.
        takes: option of the data set that names its masks.
        refined: masks that a run has written already; None: they are made first.
        truth: the true masks, for `masks=truth`; None: what the data set takes where it is given no masks.
        refinement: name of the run that refines; with the options of that experiment its finished run is used.
        labeled: list of images that keep their true masks, whatever the others have (NB, PointWSSIS), or None.
        validation: options of the data set that differ where the network is scored.
    """

    masks: str
    seed: int
    takes: str
    refined: InputPath | None
    truth: InputPath | None
    refinement: str
    validation: Mapping[str, Any]
    labeled: InputPath | None = None

    def __post_init__(self) -> None:
        if self.masks not in MASKS:
            raise ConfigError(f"training.masks is '{self.masks}'; expected one of {', '.join(MASKS)}")
