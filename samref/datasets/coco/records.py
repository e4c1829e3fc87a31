"""Which records of a COCO file can be refined, and of which image each is."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from samref.errors import DatasetError, InputError
from samref.io.coco_files import CocoFile, Record, image_names
from samref.io.coco_ids import ImageId, match_ids, plain_id, whole_number
from samref.io.coco_masks import check_segmentation
from samref.io.image_folder import name_parts
from samref.structures import Failure

LARGEST_SCORE = 1e300
LARGEST_CATEGORY = 1 << 31


class CoarseRecords:
    """The records of a file of coarse masks, sorted by image.

    Attributes:
        images: image records by id, of the ground truth where there is one.
        wanted: ids that the run is restricted to, or None for all.
        positions: places of the records that can be refined, in the file's order, by image id.
        problems: records that cannot be refined.
        warnings: what a person should know of how ids and categories were taken.
    """

    def __init__(
        self, coarse: CocoFile, truth: CocoFile | None, image_ids: Iterable[ImageId] | None, scored: bool
    ) -> None:
        """Sorts the records; no mask is decoded.

        Args:
            coarse: file of the coarse masks.
            truth: file of the ground truth, or None; may be the same.
            image_ids: the images that the run is restricted to, or None for all.
            scored: whether the records are evaluated, and must have what that needs.

        Raises:
            DatasetError: if both files have image records, and an id means another file in each.
        """
        self.coarse, self.scored = coarse, scored
        self.problems: list[Failure] = []
        self.warnings: list[str] = []
        self.images = self._image_table((truth or coarse).images)
        if truth is not None and truth is not coarse:
            _demand_same_images(coarse, truth)
        self._shared = set() if coarse.is_results else self._shared_ids()
        self._matches = self._match(record.get("image_id") for record in coarse.records if isinstance(record, dict))
        self.wanted = None if image_ids is None else self._listed(image_ids)
        self.positions: Mapping[ImageId, Sequence[int]] = self._usable_positions()

    def image_of(self, record: Record) -> ImageId | None:
        """The id of the image that a record is of; None if it has none."""
        value = plain_id(record.get("image_id"))
        return None if value is None else self._matches.get(value, value)

    def size(self, image_id: ImageId) -> tuple[int, int] | None:
        """(H, W) that the image record gives, or None."""
        return record_size(self.images.get(image_id, {}))

    def spellings(self) -> set[Any] | None:
        """The wanted image ids in every form in which the file has them; None for all."""
        if self.wanted is None:
            return None
        found = {record.get("id"): plain_id(record.get("id")) for record in self.coarse.images if _has_id(record)}
        for value in (record.get("image_id") for record in self.coarse.records if isinstance(record, dict)):
            plain = plain_id(value)
            if plain is not None:
                found[value] = self._matches.get(plain, plain)
        return {value for value, image_id in found.items() if image_id in self.wanted}

    def object_id(self, position: int, record: Any) -> int | str:
        """An annotation's id; a result, whose ids mean nothing, goes by its position."""
        name = None if self.coarse.is_results or not isinstance(record, dict) else plain_id(record.get("id"))
        return position if name is None else name

    def failure(self, image_id: ImageId, position: int, record: Any, reason: str) -> Failure:
        """What is wrong with a record, with the file that it is in."""
        kind = "result" if self.coarse.is_results else "annotation"
        return Failure(image_id, f"{kind} {self.object_id(position, record)} of {self.coarse.path.name}: {reason}")

    def _image_table(self, images: list[Record]) -> dict[ImageId, Record]:
        table: dict[ImageId, Record] = {}
        sizes = 0
        for image in images:
            image_id = plain_id(image.get("id")) if isinstance(image, dict) else None
            if image_id is None:
                self.problems.append(Failure("?", f"an image record without an id: {str(image)[:60]}"))
            elif image_id in table:
                self.problems.append(Failure(image_id, f"image {image_id} is listed twice; the first is used"))
            else:
                table[image_id] = image
                sizes += record_size(image) is None and ("height" in image or "width" in image)
        if sizes:
            self.warnings.append(f"{sizes} image records have a height or width that is no number; sizes go unchecked")
        return table

    def _shared_ids(self) -> set[int]:
        """Hashes of the ids that several records may have: a set of all ids would be large."""
        names = (self.object_id(position, record) for position, record in enumerate(self.coarse.records))
        hashes = np.sort(np.fromiter(map(hash, names), np.int64))
        return set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())

    def _match(self, found: Iterable[Any]) -> dict[ImageId, ImageId]:
        if not self.images:
            return {}
        matched = match_ids(found, self.images, self.coarse.path.name)
        self.warnings += matched.warnings
        return matched.images

    def _listed(self, image_ids: Iterable[ImageId]) -> set[ImageId]:
        values = list(image_ids)
        if not self.images:
            return set(values)
        matched = match_ids(values, self.images, "dataset.image_ids").images
        unknown = [value for value in values if value not in matched]
        if unknown:
            self.warnings.append(
                f"{len(unknown)} of {len(values)} ids in dataset.image_ids are of no image record, as {unknown[0]!r}"
            )
        return set(matched.values())

    def _usable_positions(self) -> dict[ImageId, array[int]]:
        # Numbers of Python's own would be most of what a file of a million masks takes.
        positions = {image_id: array("q") for image_id in self.images}
        unknown: Counter[ImageId] = Counter()
        seen: set[Any] = set()
        for position, record in enumerate(self.coarse.records):
            image_id = self.image_of(record) if isinstance(record, dict) else None
            if image_id is None:
                self.problems.append(self.failure("?", position, record, "has no image_id"))
            elif (self.wanted is not None and image_id not in self.wanted) or is_crowd(record):
                # A crowd is no object to refine, and nothing is wrong with it: the writer hands it on as it came.
                continue
            elif self.images and image_id not in self.images:
                unknown[image_id] += 1
            else:
                try:
                    self._check(record, image_id, position, seen)
                except InputError as error:
                    self.problems.append(self.failure(image_id, position, record, str(error)))
                else:
                    positions.setdefault(image_id, array("q")).append(position)
        for image_id, count in unknown.items():
            self.problems.append(
                Failure(image_id, f"{count} masks of image {image_id!r}, which no image record describes")
            )
        return {image_id: found for image_id, found in positions.items() if found}

    def _check(self, record: Record, image_id: ImageId, position: int, seen: set[Any]) -> None:
        name = self.object_id(position, record)
        if hash(name) in self._shared:
            if name in seen:
                raise InputError("has the id of an earlier one")
            seen.add(name)
        if self.scored:
            # Without these the evaluation could not place the mask; found at its end, they would cost the run.
            category, score = whole_number(record.get("category_id")), record.get("score", 1.0)
            if category is None or abs(category) >= LARGEST_CATEGORY:
                raise InputError(f"has the category_id {str(record.get('category_id'))[:40]!r}; expected a number")
            if not isinstance(score, (int, float)) or not abs(score) <= LARGEST_SCORE:
                raise InputError(f"has the score {str(score)[:40]!r}; expected a finite number")
        check_segmentation(record.get("segmentation"), self.size(image_id))


def record_size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """(H, W) of an image record, whose sides may be numbers or text; None where it has none."""
    height, width = whole_number(image.get("height")), whole_number(image.get("width"))
    return (height, width) if height is not None and width is not None and height > 0 and width > 0 else None


def is_crowd(record: Mapping[str, Any]) -> bool:
    """Whether a record is a region of many objects: any `iscrowd` but 0, also as text."""
    value = record.get("iscrowd")
    return bool(value) and whole_number(value) != 0


def category_warnings(coarse: CocoFile, truth: CocoFile) -> list[str]:
    """Where categories of the coarse masks are not those of the ground truth.

    Masks of a category that the ground truth lacks count nowhere, so that an average precision comes out low, or 0,
    for no reason of the masks'.
    """
    if coarse is truth:
        return []
    known, found = _names_of(truth), _names_of(coarse)
    numbers = (whole_number(record.get("category_id")) for record in coarse.records if isinstance(record, dict))
    used = Counter(number for number in numbers if number is not None)
    strange = sorted(category for category in used if category not in known)
    warnings = []
    if strange:
        met = len(used) - len(strange)
        lost = f"only {met} of {len(used)} categories of" if met else "no category of"
        warnings.append(
            f"{lost} {coarse.path.name} in the ground truth: {_some(strange)} against {_some(sorted(known))}, so "
            f"{sum(used[category] for category in strange)} of {sum(used.values())} masks count nowhere; if one file "
            "counts categories from 0 and the other from 1, correct category_id"
        )
    renamed = [c for c, name in found.items() if name is not None and known.get(c) not in (None, name)]
    if renamed:
        category = renamed[0]
        warnings.append(
            f"{len(renamed)} categories have other names in {coarse.path.name} than in the ground truth: {category} is "
            f"{found[category]!r} there and {known[category]!r} here"
        )
    return warnings


def _names_of(file: CocoFile) -> dict[int, Any]:
    listed = [] if file.is_results else file.data.get("categories", [])
    records = [category for category in listed if isinstance(category, dict)] if isinstance(listed, list) else []
    numbered = ((whole_number(category.get("id")), category.get("name")) for category in records)
    return {number: name for number, name in numbered if number is not None}


def _demand_same_images(coarse: CocoFile, truth: CocoFile) -> None:
    ours, theirs = (_file_names(file) for file in (truth, coarse))
    for image_id in ours.keys() & theirs.keys():
        if ours[image_id].isdisjoint(theirs[image_id]):
            raise DatasetError(
                f"image {image_id!r} is {min(ours[image_id])} in {truth.path.name} and {min(theirs[image_id])} in "
                f"{coarse.path.name}; expected the same image ids in dataset.annotations and dataset.predictions"
            )


def _file_names(file: CocoFile) -> dict[ImageId, set[str]]:
    """What the file of each image may be called, without folders; of an id that is listed twice the first record."""
    found: dict[ImageId, set[str]] = {}
    for record in file.images:
        if _has_id(record):
            names = {name_parts(name)[-1:] for name in image_names(record) if isinstance(name, str)}
            names.discard(())
            if names:
                found.setdefault(plain_id(record["id"]), {name for (name,) in names})  # type: ignore[arg-type]
    return found


def _has_id(record: Any) -> bool:
    return isinstance(record, dict) and plain_id(record.get("id")) is not None


def _some(values: list[Any], most: int = 6) -> str:
    return "{" + ", ".join(map(str, values[:most])) + (", ..." if len(values) > most else "") + "}"
