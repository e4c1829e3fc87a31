"""Chooses the masks worth looking at while a run goes on, and leaves them as `gallery.html`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch.distributed as dist
from lightning import Callback, LightningModule, Trainer

from samref.callbacks.evaluator import Evaluator
from samref.callbacks.outcome import Outcome
from samref.callbacks.resume import SampleResult
from samref.callbacks.selection import FAILED, Selection, merged
from samref.callbacks.steps import Show, ranked_by, shown_masks
from samref.callbacks.taken_up import TakenUp
from samref.errors import ConfigError
from samref.report.gallery import GalleryItem, Heading, write_gallery
from samref.structures import EMPTY, Failure
from samref.visualization.gallery_items import Numbers, failed_item, make_gallery_item, measure

# Which option of a data set says best what is refined.
DATA_PATHS = ("masks", "predictions", "coarse", "annotations", "root", "images")
SHOWN_GROUPS = ("dataset", "prompts", "backbone", "refiner", "adaption")


class Gallery(Callback):
    """Writes `gallery.html`, and shows the same masks to loggers that have a method `log_gallery_items`.

    Masks that an earlier run refined are shown without their mask prompt, which is too large to be kept.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        seed: int,
        heading: Callable[[], Heading],
        taken_up: TakenUp | None = None,
        problems: Sequence[Failure] = (),
    ) -> None:
        """Chooses where to and how much.

        Args:
            folder: of the page.
            count: masks at most.
            seed: of those drawn at random.
            heading: called when the run has ended.
            taken_up: images that earlier runs have refined.
            problems: what the data set found wrong before it was run.
        """
        if isinstance(count, bool) or count < 1:
            raise ConfigError(
                f"callbacks.gallery.count is {count}; expected how many masks it shows, or callbacks.gallery=null"
            )
        self.path, self.heading, self.taken_up = folder / "gallery.html", heading, taken_up or TakenUp()
        self.problems = problems
        self.image_step, self.selection = Show(count, seed), Selection(count, seed)

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        """Takes in the masks of one image."""
        outcome: Outcome = outputs
        self.selection.take(outcome.offers, len(outcome.numbers or ()))

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]  # Lightning passes all by position

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gathers all processes and writes the page."""
        if trainer.world_size > 1:
            parts: list[Selection | None] = [None] * trainer.world_size
            dist.all_gather_object(parts, self.selection)
            self.selection = merged(part for part in parts if part is not None)
        if not trainer.is_global_zero:
            return
        for failure in self.problems:
            self._offer_failure(failure)
        for image_id, result in self.taken_up.results():
            self._offer_earlier(image_id, result)
        items = self.selection.items()
        write_gallery(self.path, items, replace(self.heading(), seen=self.selection.seen))
        pictured = [item for item in items if item.picture]
        for logger in trainer.loggers:
            if hasattr(logger, "log_gallery_items"):
                logger.log_gallery_items(pictured)

    on_predict_end = on_test_end

    def _offer_earlier(self, image_id: Hashable, result: SampleResult) -> None:
        numbered = result.numbers
        if numbered is None:
            # The run that refined it had no gallery.
            shown = self.taken_up.shown(image_id)
            numbered = {} if shown is None else {k: measure(*shown, k, {}) for k in shown_masks(*shown)}
        for k, row in enumerate(result.statistics.rows):
            if k in numbered or row["flag"] == EMPTY:
                numbers = dict(numbered.get(k, {}))
                ranked = {EMPTY: 0.0} if row["flag"] == EMPTY else ranked_by(numbers, row["flag"], row.get("score"))
                make = partial(self._earlier_item, image_id, k, numbers)
                self.selection.offer(str(image_id), str(row["object"]), ranked, make, late=True)
        for failure in result.statistics.failures:
            self._offer_failure(failure)

    def _offer_failure(self, failure: Failure) -> None:
        make = partial(failed_item, failure)
        self.selection.offer(str(failure.image_id), failure.reason, {FAILED: 0.0}, make)

    def _earlier_item(self, image_id: Hashable, k: int, numbers: Numbers) -> GalleryItem | None:
        shown = self.taken_up.shown(image_id)
        return None if shown is None else make_gallery_item(*shown, k, numbers, self.image_step.side)


def heading(config: Mapping[str, Any], command: str, evaluator: Evaluator) -> Heading:
    """What stands above the gallery of a job.

    Args:
        config: of the job, resolved.
        command: what the user typed; may be empty.
        evaluator: has the scores when the job has ended.
    """
    choices = config.get("hydra_choices", {})
    chosen = [str(choices[group]) for group in SHOWN_GROUPS if choices.get(group) not in (None, "none")]
    return Heading(data_name(config), [str(config["name"]), *chosen], command, scores=evaluator.scores)


def data_name(config: Mapping[str, Any]) -> str:
    """What the data of a job is called: the ends of the path of its coarse masks, or else the data set's name.

    Args:
        config: of the job, resolved.

    >>> data_name({"dataset": {"images": "/data/pets/photos", "masks": "/data/pets/masks"}})
    'pets/masks'
    """
    options = config.get("dataset") or {}
    named = [options[key] for key in DATA_PATHS if isinstance(options.get(key), str)]
    if named:
        return "/".join(part for part in Path(named[0]).parts[-2:] if part not in ("/", ".", ".."))
    return str(config.get("hydra_choices", {}).get("dataset") or config["name"])
