"""COCO and LVIS records in the one form that an evaluator needs, whatever forms they came in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pycocotools import mask as mask_codec

from samref.errors import InputError
from samref.io.coco_ids import plain_id, whole_number
from samref.io.coco_masks import as_rle
from samref.io.images import MAX_PIXELS

Record = dict[str, Any]
FREQUENCIES = ("r", "c", "f")
OBJECT = 1
FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")
RunLengths = dict[str, Any]
# What the evaluation looks up in each record of each part of a file.
FIELDS = {"images": ("id",), "annotations": ("image_id", "category_id"), "categories": ("id",)}


def ground_truth_records(content: Mapping[str, Any], image_ids: Iterable[Any] | None) -> tuple[Record, dict[Any, int]]:
    """Ground truth with numbered images and annotations, and segments as compressed run lengths.

    Numbers replace the file's ids because ids may be words, or start at 0, which evaluators take for "no match".

    Args:
        content: of an annotations file: `images`, `annotations`, `categories`, and LVIS's lists of categories.
        image_ids: the images that count; all where None.

    Returns:
        The ground truth, and the number of each image id.

    Raises:
        InputError: if a segment cannot be read or an image has no size.
    """
    content = plain_content(content)
    allowed = None if image_ids is None else set(image_ids)
    # An image that is listed twice counts once, by its first record; data sets read it so, too.
    images = list({image["id"]: image for image in reversed(content["images"])}.values())[::-1]
    images = [image for image in images if allowed is None or image["id"] in allowed]
    numbers = {image["id"]: number for number, image in enumerate(sorted(images, key=_by_id), start=1)}
    sizes = {image["id"]: _size(image) for image in images}
    kept = [annotation for annotation in content.get("annotations", []) if annotation["image_id"] in numbers]
    _demand_known_categories(kept, content["categories"])
    truth = {
        "images": [{**_with_known(image, content["categories"]), "id": numbers[image["id"]]} for image in images],
        "annotations": [
            _annotation(annotation, k, numbers, sizes[annotation["image_id"]]) for k, annotation in enumerate(kept, 1)
        ],
        # Reduced to COCO's categories, LVIS files lose the frequency that LVIS evaluators look for.
        "categories": [
            {**category, "frequency": category["frequency"] if category.get("frequency") in FREQUENCIES else "f"}
            for category in content["categories"]
        ],
    }
    return truth, numbers


def result_records(results: Iterable[Mapping[str, Any]], truth: Record, numbers: Mapping[Any, int]) -> list[Record]:
    """Results of known images and categories with their masks' own boxes and areas.

    Args:
        results: COCO results: `image_id, category_id, score` and `segmentation`, or `bbox` where there is none.
        truth: as `ground_truth_records` returns it.
        numbers: of the image ids; results of other images are left out.

    Raises:
        InputError: if a result has neither mask nor box, or a mask of another size than its image.
    """
    images = {image["id"]: image for image in truth["images"]}
    # A category that the ground truth does not have is evaluated nowhere, and evaluators stumble over it.
    categories = {category["id"] for category in truth["categories"]}
    kept = [
        (result, numbers[result["image_id"]])
        for result in results
        if result["image_id"] in numbers and result["category_id"] in categories
    ]
    return [_result(result, k, images[number]) for k, (result, number) in enumerate(kept, 1)]


def of_one_category(truth: Record, results: Iterable[Mapping[str, Any]]) -> tuple[Record, list[Mapping[str, Any]]]:
    """Ground truth and results in which all categories are the same one.

    Args:
        truth: as `ground_truth_records` returns it.
        results: COCO results, whatever their categories.
    """
    category = {"category_id": OBJECT}
    one = {
        "annotations": [annotation | category for annotation in truth["annotations"]],
        "categories": [{"id": OBJECT, "name": "object", "frequency": "f"}],
    }
    return truth | one, [{**result, **category} for result in results]


def federated(truth: Record, results: list[Record], limit: int) -> tuple[Record, list[Record]]:
    """What LVIS's protocol counts.

    Of the results, the `limit` of highest score in each image over all categories (ties go to the earlier one), and of
    these the ones in a category that was verified for the image, as present or as absent. Empty masks count on neither
    side.

    Args:
        truth: as `ground_truth_records` returns it.
        results: as `result_records` returns them.
        limit: results that an image may have.

    Returns:
        Ground truth and results.
    """
    annotations = [annotation for annotation in truth["annotations"] if annotation["area"] > 0]
    verified = {image["id"]: set(image.get("neg_category_ids", ())) for image in truth["images"]}
    for annotation in annotations:
        verified[annotation["image_id"]].add(annotation["category_id"])
    by_image: dict[int, list[Record]] = defaultdict(list)
    for result in results:
        by_image[result["image_id"]].append(result)
    kept = [
        result
        for image, found in by_image.items()
        for result in sorted(found, key=lambda result: result["score"], reverse=True)[:limit]
        if result["area"] > 0 and result["category_id"] in verified[image]
    ]
    return {**truth, "annotations": annotations}, kept


def run_lengths(segmentation: Any, original_size: tuple[int, int]) -> RunLengths:
    """A segment as compressed run lengths.

    Args:
        segmentation: polygons, run lengths (compressed or not), or nothing, which is an empty mask.
        original_size: (H, W) of the image.

    Raises:
        InputError: if it is none of these, is of another size, or does not fill the image: evaluators would count such
            a mask as a miss without a word, or read memory that is not theirs.
    """
    try:
        return as_rle(segmentation, original_size)
    except InputError as error:
        raise InputError(f"a mask cannot be scored: {error}: {str(segmentation)[:60]}") from error


def check_ground_truth(content: Any) -> None:
    """Checks that a file's content is ground truth that can be scored against, mask by mask.

    Raises:
        InputError: naming what is wrong.
    """
    if not isinstance(content, Mapping) or "images" not in content or "categories" not in content:
        raise InputError("the ground truth is no COCO annotations file: expected images, annotations and categories")
    ground_truth_records(content, None)


def plain_content(content: Mapping[str, Any]) -> Record:
    """The content of an annotations file with ids and sizes as numbers, whether they came as numbers or as text.

    Raises:
        InputError: if a record lacks what the evaluation looks up.
    """
    parts = {
        part: [_plain(record, part) for record in content.get(part, [])]
        if isinstance(content.get(part, []), list)
        else None
        for part in FIELDS
    }
    plain = {**content, **{part: content[part] if records is None else records for part, records in parts.items()}}
    _demand_records(plain)
    known = {image["id"] for image in plain["images"]}
    for annotation in plain["annotations"]:
        other = str(annotation["image_id"]) if isinstance(annotation["image_id"], int) else None
        number = whole_number(annotation["image_id"])
        if annotation["image_id"] not in known:
            annotation["image_id"] = next((i for i in (number, other) if i in known), annotation["image_id"])
    return plain


def is_category(value: Any) -> bool:
    """Whether evaluators can use this id for a category."""
    return type(value) is int and abs(value) < 1 << 31


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number."""
    return isinstance(value, (int, float)) and abs(value) <= _LARGEST


_LARGEST = 1e300


def _demand_records(content: Mapping[str, Any]) -> None:
    """That every record has the fields that the evaluation looks up; later faults would cost a finished run."""
    for part, names in FIELDS.items():
        records = content.get(part, [])
        if not isinstance(records, list):
            raise InputError(f"{part} of the ground truth is a {type(records).__name__}; expected a list")
        for place, record in enumerate(records):
            for name in names:
                value = record.get(name) if isinstance(record, Mapping) else None
                numbered = name == "category_id" or part == "categories"
                if not (is_category(value) if numbered else isinstance(value, (int, str))):
                    raise InputError(
                        f"record {place} of the ground truth's {part} has the {name} {str(value)[:40]!r}; "
                        f"expected {'a number' if numbered else 'a number or a name'}: correct or remove that record"
                    )


def _plain(record: Any, part: str) -> Any:
    """A copy of a record, ids and sizes as they are compared; whatever is none of these stays, and is refused."""
    if not isinstance(record, Mapping):
        return record
    found = dict(record)
    numbers = ("category_id", "height", "width", *(("id",) if part == "categories" else ()))
    for name in ("id", "image_id"):
        plain = plain_id(found.get(name))
        found |= {} if plain is None else {name: plain}
    for name in numbers:
        number = whole_number(found.get(name))
        found |= {} if number is None else {name: number}
    return found


def _with_known(image: Mapping[str, Any], categories: Iterable[Mapping[str, Any]]) -> Record:
    """An image record whose lists of categories name none that the file lacks: evaluators stumble over those."""
    lists = {key: image[key] for key in FEDERATED if key in image}
    if not all(isinstance(ids, list) for ids in lists.values()):
        raise InputError(f"image {image['id']!r} of the ground truth has no lists in {' and '.join(lists)}")
    known = {category["id"] for category in categories} if lists else set()
    return {**image, **{key: [c for c in ids if is_category(c) and c in known] for key, ids in lists.items()}}


def _demand_known_categories(annotations: Iterable[Mapping[str, Any]], categories: Iterable[Mapping[str, Any]]) -> None:
    known = {category["id"] for category in categories}
    for annotation in annotations:
        if annotation["category_id"] not in known:
            raise InputError(
                f"an annotation of image {annotation['image_id']!r} has the category {annotation['category_id']}, "
                "which the ground truth does not list"
            )


def _size(image: Mapping[str, Any]) -> tuple[int, int]:
    height, width = image.get("height"), image.get("width")
    if not (type(height) is int and type(width) is int and height > 0 and width > 0):
        raise InputError(
            f"image {image['id']!r} of the ground truth has height {height!r} and width {width!r}, which scoring needs"
        )
    if height * width > MAX_PIXELS:
        raise InputError(f"image {image['id']!r} of the ground truth is {height} x {width}; that is too large")
    return height, width


def _annotation(
    annotation: Mapping[str, Any], number: int, numbers: Mapping[Any, int], size: tuple[int, int]
) -> Record:
    segment = run_lengths(annotation.get("segmentation"), size)
    box, area = annotation.get("bbox"), annotation.get("area")
    whole = isinstance(box, (list, tuple)) and len(box) == 4 and all(map(is_number, box))
    if box and not whole:
        raise InputError(
            f"an annotation of image {annotation['image_id']!r} has the bbox {str(box)[:60]}; expected x, y, width "
            "and height"
        )
    crowd = int(annotation.get("iscrowd") in (1, True))
    return {
        "id": number,
        "image_id": numbers[annotation["image_id"]],
        "category_id": annotation["category_id"],
        "segmentation": segment,
        "bbox": [float(value) for value in (box or mask_codec.toBbox(segment))],
        "area": float(area if is_number(area) else mask_codec.area(segment)),  # type: ignore[arg-type]
        "iscrowd": crowd,
    }


def _result(result: Mapping[str, Any], number: int, image: Mapping[str, Any]) -> Record:
    record: Record = {"id": number, "image_id": image["id"], "iscrowd": 0}
    record |= {"category_id": result["category_id"], "score": float(result["score"])}
    if result.get("segmentation") is not None:
        segment = run_lengths(result["segmentation"], _size(image))
        return record | {
            "segmentation": segment,
            "bbox": [float(value) for value in mask_codec.toBbox(segment)],
            "area": float(mask_codec.area(segment)),
        }
    if result.get("bbox") is None:
        raise InputError(f"a result of image {result['image_id']!r} has neither segmentation nor bbox: {result}")
    box = [float(value) for value in result["bbox"]]
    return record | {"bbox": box, "area": box[2] * box[3]}


def _by_id(image: Mapping[str, Any]) -> tuple[bool, Any]:
    # Evaluators go through images in the order of their ids, which decides between equal scores.
    return isinstance(image["id"], str), image["id"]
