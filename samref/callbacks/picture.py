"""A picture of a run's first images: coarse masks, refined masks and truth as coloured outlines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from lightning import Callback, LightningModule, Trainer

from samref.files import write_png
from samref.structures import BoolArray, Refinement, Sample

Canvas = npt.NDArray[np.uint8]

# Colours that stay apart for the colour-blind (Okabe and Ito), RGB.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178))
PANEL_HEIGHT = 240
CAPTION_HEIGHT = 28


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


def stack_rows(rows: list[Canvas]) -> Canvas:
    """Rows of unequal width below each other, on white."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.vstack(padded)


def outlined(image: Canvas, masks: BoolArray, thickness: int = 2) -> Canvas:
    """The image with every mask tinted and outlined in a colour of its own.

    Args:
        image: H x W x 3 uint8 RGB.
        masks: N x H x W bool.
        thickness: of the outline, px.
    """
    canvas = image.copy()
    for k, mask in enumerate(masks):
        colour = np.array(COLOURS[k % len(COLOURS)], dtype=np.float32)
        canvas[mask] = (0.65 * canvas[mask] + 0.35 * colour).astype(np.uint8)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, tuple(int(c) for c in colour), thickness)
    return canvas


def _panel(image: Canvas, masks: BoolArray, caption: str) -> Canvas:
    scale = PANEL_HEIGHT / image.shape[0]
    size = (max(1, round(image.shape[1] * scale)), PANEL_HEIGHT)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    shrunk = [cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0 for mask in masks]
    drawn = outlined(small, np.array(shrunk, dtype=bool).reshape(-1, size[1], size[0]))
    strip = np.full((CAPTION_HEIGHT, size[0], 3), 255, dtype=np.uint8)
    cv2.putText(strip, caption, (6, CAPTION_HEIGHT - 9), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), 1, cv2.LINE_AA)
    framed: Canvas = np.pad(np.vstack([strip, drawn]), ((0, 6), (0, 6), (0, 0)), constant_values=255)
    return framed
