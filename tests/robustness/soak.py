"""`python -m tests.robustness.soak [IMAGES]`: a long run's memory and open files do not grow with its images."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning import Callback

from samref.engine import runner
from tests.factories import make_folder
from tests.robustness.undisturbed import folder_config, in_child

# The table of samples is kept in memory: half a kilobyte a mask. An image of the soak weighs 20 KB, its embedding 32.
BYTES_AN_IMAGE = 8_000


class Meter(Callback):
    """Notes memory and open files after every image."""

    points: ClassVar[list[tuple[int, int]]] = []

    def on_predict_batch_end(self, *_: Any) -> None:
        """One point."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        Meter.points.append((pages * resource.getpagesize(), len(os.listdir("/proc/self/fd"))))


def soak(images: int) -> str:
    """Runs over so many images and fails where memory or handles grow.

    Returns:
        What was measured, in one line.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = make_folder(Path(folder) / "data", names=[f"image{k:05d}" for k in range(images)], size=(64, 96))
        cfg = folder_config(
            data,
            Path(folder),
            "callbacks.gallery.count=24",
            "+callbacks.meter._target_=tests.robustness.soak.Meter",
        )

        def work() -> Any:
            from tests.robustness.soak import Meter as configured

            runner.run(cfg)
            return configured.points

        outcome = in_child(work)
    assert outcome[0] == "done", outcome[1]
    memory, handles = np.array(outcome[1]).T
    assert len(memory) == images
    # The first third fills caches, the gallery and the allocator's pools.
    settled = np.arange(images // 3, images)
    slope = float(np.polyfit(settled, memory[settled], 1)[0])
    assert slope < BYTES_AN_IMAGE, f"memory grows by {slope:.0f} bytes an image"
    assert handles[settled].max() - handles[settled].min() <= 2, "open files pile up"
    return (
        f"soak: {images} images, memory grows by {slope:.0f} bytes an image ({memory[settled[0]] / 1e6:.0f} to "
        f"{memory[-1] / 1e6:.0f} MB), {handles[settled].min()} to {handles[settled].max()} open files"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(soak(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
