"""Writes refined masks of scenes as GeoTIFFs that differ from the coarse ones in their pixels alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samref.datasets.dataset import MaskWriter
from samref.datasets.geotiff.raster import read_values, scene, write_values
from samref.geometry.windows import Window
from samref.io.atomic import atomic_path, copy_file
from samref.io.coco_masks import decode, encode_rle
from samref.structures import Refinement, Sample


class GeoTiffWriter(MaskWriter):
    """Collects the cores of windows and writes each mask when all are there; one that did not change is copied."""

    def __init__(
        self,
        output: Path,
        masks: Path,
        names: Sequence[str],
        cores: Mapping[Any, tuple[str, Window]],
        background: int,
    ) -> None:
        """Chooses where to.

        Args:
            output: folder of the refined masks.
            masks: folder of the coarse ones.
            names: of the files, below both.
            cores: by image id, the file and what of it is the window's.
            background: value of pixels that belong to nothing.
        """
        self.output, self.masks, self.names, self.cores, self.background = output, masks, names, cores, background
        self._changed: dict[str | int, Any] = {}

    def write(self, sample: Sample, refinement: Refinement) -> Any:
        """Adds one window.

        Returns:
            Its values, each with the run lengths of its pixels in the core; nothing where no pixel changed.
        """
        inside = sample.meta["inside"].slices
        kept = []
        if not np.array_equal(sample.masks, refinement.masks):
            for value in sorted(set(sample.meta["parts_of"])):
                rows = [row for row, own in enumerate(sample.meta["parts_of"]) if own == value]
                union = np.logical_or.reduce([refinement.masks[row][inside] for row in rows])
                kept.append([value, encode_rle(np.ascontiguousarray(union))])
        self.restore(sample.image_id, kept)
        return kept

    def restore(self, image_id: str | int, kept: Any) -> None:
        """See `MaskWriter`."""
        self._changed[image_id] = kept

    def close(self) -> None:
        """Writes the files, one after the other."""
        for name in self.names:
            windows = [
                (self.cores[k][1], kept) for k, kept in self._changed.items() if kept and self.cores[k][0] == name
            ]
            if windows:
                self._write(name, windows)
            else:
                copy_file(self.masks / name, self.output / name)

    def _write(self, name: str, windows: Sequence[tuple[Window, Any]]) -> None:
        source = self.masks / name
        with atomic_path(self.output / name) as temporary:
            # A copy keeps all that a file has beside its pixels, and is then changed in place.
            temporary.write_bytes(source.read_bytes())
            with scene(temporary, "r+") as opened:
                kind = np.dtype(opened.dtypes[0])
                for core, kept in windows:
                    values = read_values(source, core).astype(kind)
                    values[np.isin(values, [value for value, _ in kept])] = self.background
                    for value, rle in kept:
                        values[decode(rle, (core.height, core.width))] = value
                    write_values(opened, core, values)
