"""A picture of a run's first images: coarse masks, refined masks and truth as coloured outlines."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer

from samref.callbacks.outcome import Outcome
from samref.callbacks.taken_up import TakenUp
from samref.errors import ConfigError
from samref.io.atomic import write_png
from samref.structures import BoolArray, Refinement, Sample
from samref.visualization.drawing import Canvas, View, captioned, outlined, stack_rows

PANEL_HEIGHT = 240


class Picture(Callback):
    """Draws `picture.png`: one row an image, columns coarse | refined | truth."""

    def __init__(self, folder: Path, count: int, taken_up: TakenUp | None = None) -> None:
        """Chooses what is drawn.

        Args:
            folder: of the PNG.
            count: images at most.
            taken_up: images that earlier runs have refined.
        """
        if isinstance(count, bool) or count < 1:
            raise ConfigError(f"callbacks.picture.count is {count}; expected how many images it shows, or no picture")
        self.path, self.count, self.taken_up = folder / "picture.png", count, taken_up or TakenUp()
        self.rows: dict[Hashable, Canvas] = {}

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        """Draws one image while its masks are at hand."""
        outcome: Outcome = outputs
        if len(self.rows) < self.count and trainer.is_global_zero and outcome.refinement is not None:
            self.rows[batch.image_id] = draw_row(batch, outcome.refinement)

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the picture; its images are the first of the data set, whichever run refined them."""
        if not trainer.is_global_zero:
            return
        rows = list(islice(self._first_rows(), self.count))
        if rows:
            write_png(self.path, stack_rows(rows))

    on_predict_end = on_test_end

    def _first_rows(self) -> Iterator[Canvas]:
        earlier = set(self.taken_up.images)
        for image_id in self.taken_up.wanted or self.rows:
            if image_id in self.rows:
                yield self.rows[image_id]
            elif image_id in earlier and (shown := self.taken_up.shown(image_id)) is not None:
                yield draw_row(*shown)


def draw_row(sample: Sample, refinement: Refinement) -> Canvas:
    """Coarse | refined | truth (where there is one) of one image, with captions: h x w x 3 uint8 RGB."""
    panels = [("coarse", sample.masks), ("refined", refinement.masks)]
    if sample.truth is not None:
        panels.append(("truth", sample.truth))
    return np.hstack([_panel(sample.image, masks, caption) for caption, masks in panels])


def _panel(image: Canvas, masks: BoolArray, caption: str) -> Canvas:
    height, width = image.shape[:2]
    view = View.of(image, max(1, round(PANEL_HEIGHT * max(height, width) / height)))
    return captioned(outlined(view.picture, view.masks(masks)), caption)
