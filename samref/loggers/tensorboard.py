"""`logger=tensorboard`: metrics, curves, pictures of samples, and each job as a row of the HParams page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from samref.report.gallery import GalleryItem
from samref.visualization.gallery_items import overlay


class TensorBoardLog(TensorBoardLogger):
    """Lightning's logger, with the gallery's masks and the job's configuration beside its final metrics."""

    def __init__(self, save_dir: str, name: str = "", version: str = "") -> None:
        """Chooses where to.

        Args:
            save_dir: folder of the event files.
            name: folder below it; empty for none.
            version: folder below that; empty for none.
        """
        super().__init__(save_dir, name=name, version=version, default_hp_metric=False)

    @rank_zero_only
    def log_gallery_items(self, items: Sequence[GalleryItem]) -> None:
        """Logs the gallery's masks as pictures: coarse, refined and true outlines."""
        for place, item in enumerate(items):
            group = item.groups[0] if item.groups else "samples"
            name = f"{group}/{place:02d} {item.image_id} {item.object_id}"
            self.experiment.add_image(name, overlay(item), dataformats="HWC")

    @rank_zero_only
    def log_report(self, report: Mapping[str, Any]) -> None:
        """Logs the configuration with the final metrics."""
        metrics = {
            f"{part}/{key}": value for part, values in report["metrics"].items() for key, value in values.items()
        }
        self.log_hyperparams(dict(report["config"]), metrics)
        self.experiment.flush()
