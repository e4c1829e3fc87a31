"""A picture of a run's first images: coarse masks, refined masks and truth as coloured outlines."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from samref.callbacks.outcome import Outcome
from samref.callbacks.steps import Draw, draw_row
from samref.callbacks.taken_up import TakenUp
from samref.errors import ConfigError
from samref.io.atomic import write_png
from samref.visualization.drawing import Canvas, stack_table


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
        self.image_step = Draw(count)
        self.rows: dict[Hashable, Sequence[Canvas]] = {}

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        """Keeps the drawing of one image."""
        outcome: Outcome = outputs
        if len(self.rows) < self.count and trainer.is_global_zero and outcome.row is not None:
            self.rows[batch.image_id] = outcome.row

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the picture; its images are the first of the data set, whichever run refined them."""
        if not trainer.is_global_zero:
            return
        rows = list(islice(self._first_rows(), self.count))
        if rows:
            write_png(self.path, stack_table(rows))

    on_predict_end = on_test_end

    def _first_rows(self) -> Iterator[Sequence[Canvas]]:
        earlier = set(self.taken_up.images)
        for image_id in self.taken_up.wanted or self.rows:
            if image_id in self.rows:
                yield self.rows[image_id]
            elif image_id in earlier and (shown := self.taken_up.shown(image_id)) is not None:
                yield draw_row(*shown)
