"""COCO and LVIS records in the one form that an evaluator needs, whatever forms they came in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from pycocotools import mask as mask_codec

from samref.errors import InputError

Record = dict[str, Any]
RunLengths = dict[str, Any]


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
    allowed = None if image_ids is None else set(image_ids)
    images = [image for image in content["images"] if allowed is None or image["id"] in allowed]
    numbers = {image["id"]: number for number, image in enumerate(sorted(images, key=_by_id), start=1)}
    sizes = {image["id"]: _size(image) for image in images}
    kept = [annotation for annotation in content.get("annotations", []) if annotation["image_id"] in numbers]
    truth = {
        "images": [{**image, "id": numbers[image["id"]]} for image in images],
        "annotations": [
            _annotation(annotation, k, numbers, sizes[annotation["image_id"]]) for k, annotation in enumerate(kept, 1)
        ],
        # Reduced to COCO's categories, LVIS files lose the frequency that LVIS evaluators look for.
        "categories": [{"frequency": "f", **category} for category in content["categories"]],
    }
    return truth, numbers


def result_records(results: Iterable[Mapping[str, Any]], truth: Record, numbers: Mapping[Any, int]) -> list[Record]:
    """Results of known images with their masks' own boxes and areas.

    Args:
        results: COCO results: `image_id, category_id, score` and `segmentation`, or `bbox` where there is none.
        truth: as `ground_truth_records` returns it.
        numbers: of the image ids; results of other images are left out.

    Raises:
        InputError: if a result has neither mask nor box, or a mask of another size than its image.
    """
    images = {image["id"]: image for image in truth["images"]}
    kept = [(result, numbers[result["image_id"]]) for result in results if result["image_id"] in numbers]
    return [_result(result, k, images[number]) for k, (result, number) in enumerate(kept, 1)]


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
        InputError: if it is none of these, or is of another size.
    """
    try:
        if isinstance(segmentation, Mapping):
            # Evaluators count a mask of another size as a miss and say nothing.
            if tuple(segmentation["size"]) != original_size:
                raise InputError(f"a mask is {tuple(segmentation['size'])} (H, W); its image is {original_size}")
            if not isinstance(segmentation["counts"], list):
                return {"size": list(original_size), "counts": segmentation["counts"]}
            return dict(mask_codec.frPyObjects(dict(segmentation), *original_size))
        if not segmentation:
            return dict(mask_codec.encode(np.zeros(original_size, np.uint8, order="F")))
        return dict(mask_codec.merge(mask_codec.frPyObjects(segmentation, *original_size)))
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"a segmentation is neither polygons nor run lengths ({type(error).__name__}: {error}): "
            f"{str(segmentation)[:60]}"
        ) from error


def _size(image: Mapping[str, Any]) -> tuple[int, int]:
    if not image.get("height") or not image.get("width"):
        raise InputError(f"image {image['id']!r} of the ground truth has no height and width, which scoring needs")
    return int(image["height"]), int(image["width"])


def _annotation(
    annotation: Mapping[str, Any], number: int, numbers: Mapping[Any, int], size: tuple[int, int]
) -> Record:
    segment = run_lengths(annotation.get("segmentation"), size)
    crowd = int(annotation.get("iscrowd") or 0)
    return {
        "id": number,
        "image_id": numbers[annotation["image_id"]],
        "category_id": annotation["category_id"],
        "segmentation": segment,
        "bbox": list(annotation.get("bbox") or mask_codec.toBbox(segment)),
        "area": float(annotation.get("area", mask_codec.area(segment))),
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
