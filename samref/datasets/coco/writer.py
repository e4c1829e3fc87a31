"""Writes refined masks as one COCO file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samref.datasets.dataset import MaskWriter
from samref.io.atomic import copy_file
from samref.io.coco_files import CocoFile, Record
from samref.io.coco_ids import ImageId
from samref.io.json_stream import write_elements
from samref.io.spill import Spill
from samref.structures import REFINED, BoolArray, Refinement, Sample

REPLACED = ("segmentation", "area", "bbox")


class CocoWriter(MaskWriter):
    """Collects refined records on the disk and writes one file of the kind that came, in its order, when it is closed.

    Records that were never refined stay as they came; those of images that the run leaves out by `image_ids` are left
    out.
    """

    def __init__(
        self,
        output: Path,
        coarse: CocoFile,
        positions: Mapping[ImageId, Sequence[int]],
        image_ids: set[ImageId] | None,
        records: Callable[[Sample, BoolArray], list[Record]],
    ) -> None:
        """Opens the folder.

        Args:
            output: folder of the file.
            coarse: the file of coarse masks.
            positions: places, in that file, of each image's records.
            image_ids: of the images to write, or None for all.
            records: turns masks of a sample into records.
        """
        self.path = output / (coarse.path.stem + ".json")
        self._coarse, self._positions, self._image_ids, self._records = coarse, positions, image_ids, records
        self._refined = Spill(output)
        output.mkdir(parents=True, exist_ok=True)

    def write(self, sample: Sample, refinement: Refinement) -> Any:
        """Adds one image's refined masks; masks that were not refined keep their record.

        Returns:
            What changes in the image's records, each with its place among them: places in the file may move.
        """
        records = self._records(sample, refinement.masks)
        places = {position: place for place, position in enumerate(self._positions[sample.image_id])}
        kept = [
            (places[position], {key: record[key] for key in REPLACED if key in record})
            for row, (position, record) in enumerate(zip(sample.meta["positions"], records, strict=True))
            if refinement.flags[row] == REFINED and not np.array_equal(sample.masks[row], refinement.masks[row])
        ]
        self.restore(sample.image_id, kept)
        return kept

    def restore(self, image_id: ImageId, kept: Any) -> None:
        """See `MaskWriter`."""
        positions = self._positions[image_id]
        for place, fields in kept:
            self._refined[positions[place]] = fields

    def close(self) -> None:
        """Writes the file atomically; one in which nothing changed is a copy."""
        if self._refined or self._image_ids is not None:
            write_elements(self.path, self._coarse.elements(self._merged(), self._image_ids))
        else:
            copy_file(self._coarse.path, self.path)
        self._refined.close()

    def _merged(self) -> Iterator[Any]:
        for position, record in enumerate(self._coarse.records):
            if self._image_ids is None or (isinstance(record, dict) and record.get("image_id") in self._image_ids):
                yield {**record, **self._refined[position]} if position in self._refined else record
