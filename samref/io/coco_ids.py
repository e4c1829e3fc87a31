"""Ids and numbers in COCO files, whose writers store them as whole numbers, fractions or text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from samref.io.image_folder import is_number, name_parts

ImageId = int | str

# In front of the parts of a name that is a record's own, with nothing left out.
FULL = "/"


def plain_id(value: Any) -> ImageId | None:
    """An id as it is compared: whole fractions are numbers, text stays text; None for anything else.

    >>> plain_id(1.0), plain_id("1"), plain_id(True), plain_id(0.5)
    (1, '1', None, None)
    """
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def whole_number(value: Any) -> int | None:
    """A whole number stored as number, fraction or text; None for anything else.

    >>> whole_number(160.0), whole_number("160"), whole_number("wide")
    (160, 160, None)
    """
    plain = plain_id(value)
    if isinstance(plain, str):
        try:
            return whole_number(float(plain)) if not is_number(plain) else int(plain)
        except ValueError:
            return None
    return plain


@dataclass(frozen=True)
class MatchedIds:
    """Which image each id of a file of masks means.

    Attributes:
        images: id of an image record, by the id as `plain_id` gives it.
        warnings: what a person should know of how they were matched.
    """

    images: dict[ImageId, ImageId] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def match_ids(found: Iterable[Any], images: Mapping[ImageId, Mapping[str, Any]], source: str) -> MatchedIds:
    """Matches the image ids of masks with image records.

    An id is that of a record, also where one of them is text and the other a number, or names the record's file, by
    name or stem. A number may be the number in a file's name, as some detectors write it; that is believed where more
    of all numbers are found by it than by ids.

    Args:
        found: image ids of the masks, as they came.
        images: image records by their `plain_id`.
        source: name of the file of masks, for warnings.
    """
    values = list(dict.fromkeys(value for value in map(plain_id, found) if value is not None))
    by_id: dict[ImageId, ImageId] = {v: match for v in values if (match := _by_id(v, images)) is not None}
    if all(isinstance(value, str) and value in images for value in values):
        return MatchedIds(by_id)
    names, numbers = _file_names(images)
    by_name: dict[ImageId, ImageId] = {
        value: match for value in values if (match := _by_name(value, names, numbers)) is not None
    }
    counted = [value for value in values if whole_number(value) is not None]
    with_id, with_number = (sum(value in matches for value in counted) for matches in (by_id, by_name))
    if with_number > with_id:
        matched = MatchedIds(by_id | by_name)
        matched.warnings.append(
            f"image ids of {source} are taken as the numbers in the file names: {with_number} of {len(counted)} are "
            f"found there, {with_id} among the ids of the image records"
        )
        return matched
    # `00007` is rather the stem of a file than the number 7.
    named: dict[ImageId, ImageId] = {value: by_name[value] for value in by_name if isinstance(value, str)}
    matched = MatchedIds(named | {value: by_id[value] for value in by_id if value not in named or value in images})
    differing = [value for value in counted if value in by_name and by_name[value] != by_id.get(value, by_name[value])]
    if differing and with_number == with_id:
        value = differing[0]
        matched.warnings.append(
            f"{len(differing)} image ids of {source} are both ids of image records and numbers in other file names "
            f"({value}: record {by_id[value]!r}, or {images[by_name[value]].get('file_name')}); they are taken as ids"
        )
    return matched


def _by_id(value: ImageId, images: Mapping[ImageId, Any]) -> ImageId | None:
    if value in images:
        return value
    other: ImageId | None = str(value) if isinstance(value, int) else whole_number(value)
    return other if other in images else None


def _by_name(
    value: ImageId, names: Mapping[tuple[str, ...], ImageId | None], numbers: Mapping[int, ImageId | None]
) -> ImageId | None:
    if isinstance(value, str):
        parts = name_parts(value)
        # Of folders in front a record may lack some.
        tails = [parts, *((FULL, *parts[k:]) for k in range(1, len(parts)))]
        if found := next((tail for tail in tails if tail in names), None):
            return names[found]
    number = whole_number(value)
    return None if number is None else numbers.get(number)


def _file_names(
    images: Mapping[ImageId, Mapping[str, Any]],
) -> tuple[dict[tuple[str, ...], ImageId | None], dict[int, ImageId | None]]:
    """Image ids by path, name and stem of their files, and by the number that is a file's stem; None for several."""
    names: dict[tuple[str, ...], set[ImageId]] = defaultdict(set)
    numbers: dict[int, set[ImageId]] = defaultdict(set)
    for image_id, record in images.items():
        name = record.get("file_name")
        parts = name_parts(name) if isinstance(name, str) else ()
        if not parts:
            continue
        stem = parts[-1].rpartition(".")[0] or parts[-1]
        for option in (parts, parts[-1:], (*parts[:-1], stem), (stem,), (FULL, *parts), (FULL, *parts[:-1], stem)):
            names[option].add(image_id)
        if is_number(stem):
            numbers[int(stem)].add(image_id)
    return {key: _only(ids) for key, ids in names.items()}, {key: _only(ids) for key, ids in numbers.items()}


def _only(ids: set[ImageId]) -> ImageId | None:
    return next(iter(ids)) if len(ids) == 1 else None
