"""Images and masks that networks are trained on: random subsets; true masks of some images, pseudo masks of others.

Table 3's networks see the true masks of 1, 5 or 10 % of COCO's train2017 and pseudo masks of the rest, and its pseudo
masks are scored on 5,000 images (train5K) that are not among the labeled ones.
"""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path
from random import Random
from typing import Any

from samref.errors import DatasetError, InputError
from samref.io.atomic import write_text
from samref.io.coco_files import CocoFile, Record, read_coco, read_image_ids
from samref.io.coco_ids import ImageId, plain_id
from samref.io.coco_masks import area_and_box, decode

TRAIN5K = 5000


def write_subset(
    annotations: Path, target: Path, count: int = TRAIN5K, apart_from: Path | None = None, seed: int = 0
) -> str:
    """Writes the annotations of some images, drawn at random.

    The same file, count and seed give the same images, whatever order the file has them in.

    Args:
        annotations: COCO annotations.
        target: what is written: annotations of the images that were drawn.
        count: of the images.
        apart_from: file that lists images that are not drawn, such as those a network was trained on with their true
            masks: ids, results or annotations.
        seed: of the draw.

    Returns:
        One sentence: how many images of how many, with how many masks.

    Raises:
        DatasetError: for a file that is not there or not fit, or too few images to draw from.
    """
    file = _read_annotations(annotations)
    left_out = set() if apart_from is None else read_image_ids(apart_from)
    known = _image_ids(file)
    free = sorted(known - left_out, key=lambda image_id: (isinstance(image_id, str), image_id))
    if not 1 <= count <= len(free):
        raise DatasetError(
            f"{count} images cannot be drawn from the {len(free)} of {annotations}"
            f"{f' that are not in {apart_from}' if apart_from else ''}; expected 1 to {len(free)}"
        )
    drawn = set(Random(seed).sample(free, count))
    records = [record for record in file.records if plain_id(record.get("image_id")) in drawn]
    images = [image for image in file.images if plain_id(image.get("id")) in drawn]
    write_text(target, json.dumps({**file.data, "images": images, "annotations": records}))
    return f"{target}: {count} of {len(known)} images, {len(records)} masks; use dataset.annotations={target}"


def write_mixture(truth: Path, labeled: Path, pseudo: Path, target: Path) -> str:
    """Writes the true masks of some images and pseudo masks of all others as one annotations file.

    Args:
        truth: COCO annotations of all images; only masks of labeled images are taken from it.
        labeled: file that lists the labeled images: ids, results or annotations.
        pseudo: results or annotations file with the masks of the others, coarse or refined; those of labeled images
            are left out.
        target: what is written. Annotations are numbered from 1.

    Returns:
        One sentence: how many masks of either kind.

    Raises:
        DatasetError: for a file that is not there or not fit, or a mask of an image or category that the truth lacks.
        InputError: for a mask that cannot be decoded.
    """
    file, others = _read_annotations(truth), read_coco(pseudo, "PSEUDO")
    known, listed = _image_ids(file), read_image_ids(labeled)
    if unknown := sorted(map(str, listed - known)):
        raise DatasetError(f"{labeled} lists image {unknown[0]}, which {truth} does not have; expected images of it")
    sizes = {plain_id(image.get("id")): (image.get("height"), image.get("width")) for image in file.images}
    categories = {category.get("id") for category in file.data.get("categories", [])}
    true = [record for record in file.records if plain_id(record.get("image_id")) in listed]
    made = []
    for place, record in enumerate(others.records):
        image_id = plain_id(record.get("image_id"))
        if image_id not in known or record.get("category_id") not in categories:
            raise DatasetError(
                f"record {place} of {pseudo} has image_id {record.get('image_id')!r} and category_id "
                f"{record.get('category_id')!r}; expected those of {truth}"
            )
        if image_id not in listed:
            made.append(_as_annotation(record, image_id, sizes[image_id], f"record {place} of {pseudo}"))
    records = [{**record, "id": number} for number, record in enumerate([*true, *made], start=1)]
    write_text(target, json.dumps({**file.data, "annotations": records}))
    return (
        f"{target}: {len(true)} true masks of {len(listed)} images, {len(made)} pseudo masks of the others, "
        f"{len(others.records) - len(made)} of labeled images left out"
    )


def _as_annotation(record: Record, image_id: ImageId | None, size: tuple[Any, Any], name: str) -> Record:
    """An annotation of a result, which may lack an area, a box and whether it is a crowd."""
    kept = {key: value for key, value in record.items() if key != "score"} | {"image_id": image_id}
    if {"area", "bbox"} <= record.keys():
        return {"iscrowd": 0} | kept
    if not all(type(side) is int for side in size):
        raise DatasetError(f"image {image_id} has height and width {size}; expected numbers in the annotations")
    try:
        area, box = area_and_box(decode(record.get("segmentation", []), size))
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    return {"iscrowd": 0, "area": area, "bbox": box} | kept


def _read_annotations(path: Path) -> CocoFile:
    file = read_coco(path, "ANNOTATIONS")
    whole = not file.is_results and all(
        isinstance(record, dict) for part in (file.records, file.images) for record in part
    )
    if not whole or not isinstance(file.data.get("categories", []), list):
        raise DatasetError(f"{path} is no annotations file; expected an object with images, annotations and categories")
    return file


def _image_ids(file: CocoFile) -> Set[ImageId]:
    found = {plain_id(image.get("id")) for image in file.images}
    return {image_id for image_id in found if image_id is not None}
