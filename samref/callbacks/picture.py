"""A picture of a run's first images: coarse masks, refined masks and truth as coloured outlines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer

from samref.io.atomic import write_png
from samref.structures import BoolArray, Refinement, Sample
from samref.visualization.drawing import Canvas, View, captioned, outlined, stack_rows

PANEL_HEIGHT = 240


class Picture(Callback):
    """Draws `picture.png`: one row an image, columns coarse | refined | truth."""

    def __init__(self, path: Path, count: int) -> None:
        """Chooses what is drawn.

        Args:
            path: of the PNG.
            count: images at most.
        """
        self.path, self.count = path, count
        self.rows: list[Canvas] = []

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        """Draws one image while its masks are at hand."""
        if len(self.rows) < self.count and trainer.is_global_zero and outputs["refinement"] is not None:
            self.rows.append(draw_row(batch, outputs["refinement"]))

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the picture."""
        if self.rows and trainer.is_global_zero:
            write_png(self.path, stack_rows(self.rows))

    on_predict_end = on_test_end


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
