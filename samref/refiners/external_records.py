"""Another tool's masks in a COCO results or annotations file."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samref.errors import InputError
from samref.io.coco_files import Record, read_coco
from samref.io.coco_ids import plain_id
from samref.io.coco_masks import decode
from samref.structures import BoolArray, Sample


class RecordMasks:
    """Records matched with the coarse masks of the same image.

    By `id` where the coarse masks are annotations and the records have ids, too; else by order, where there are as many
    records of the image as masks; else by place in the full file, as tools keep it that copy what they cannot refine.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Args:
            path: of the results or annotations.

        Raises:
            DatasetError: if there is no such file, or it is neither.
        """
        self.path = path
        self._file = read_coco(path, "refiner.masks")
        # Places in the file, by image.
        self._of_image: dict[str, array[int]] = defaultdict(lambda: array("q"))
        for place, record in enumerate(self._file.records):
            if not isinstance(record, dict):
                raise InputError(f"{path} holds the record {str(record)[:60]}; expected objects with an image_id")
            self._of_image[_text(record.get("image_id"))].append(place)

    def open(self, sample: Sample) -> Callable[[int], BoolArray]:
        """See `samref.refiners.external.MaskSource`."""
        matched = self._match(sample)

        def read(row: int) -> BoolArray:
            record = matched[row]
            try:
                return decode(record.get("segmentation"), sample.original_size)
            except InputError as error:
                raise InputError(f"{self.path}: mask {row} of image {sample.image_id}: {error}") from None

        return read

    def _match(self, sample: Sample) -> list[Record]:
        found = self._file.records_at(self._of_image.get(_text(sample.image_id), ()))
        coarse = sample.meta.get("records", ())
        # Ids of any kind are compared as text: a damaged file may hold some that cannot be looked up.
        by_id = {_text(record["id"]): record for record in found if "id" in record}
        if coarse and all("id" in record and _text(record["id"]) in by_id for record in coarse):
            matched = [by_id[_text(record["id"])] for record in coarse]
        elif len(found) == len(sample.masks):
            matched = found
        else:
            matched = self._by_place(sample, len(found))
        for row, (ours, theirs) in enumerate(zip(coarse, matched, strict=False)):
            if _text(ours.get("category_id")) != _text(theirs.get("category_id", ours.get("category_id"))):
                raise InputError(
                    f"{self.path}: mask {row} of image {sample.image_id} has category {theirs['category_id']}, the "
                    f"coarse mask {ours['category_id']}; expected the records of an image in the coarse masks' order"
                )
        return matched

    def _by_place(self, sample: Sample, count: int) -> list[Record]:
        places = sample.meta.get("positions", ())
        if places and places[-1] < len(self._file.records):
            matched = self._file.records_at(places)
            if all(_text(record.get("image_id")) == _text(sample.image_id) for record in matched):
                return matched
        raise InputError(
            f"{self.path} has {count} masks of image {sample.image_id}, expected {len(sample.masks)}, one for each "
            "coarse mask in their order, or the coarse masks' ids"
        )


def _text(value: Any) -> str:
    plain = plain_id(value)
    return str(value if plain is None else plain)
