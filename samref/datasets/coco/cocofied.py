"""LVIS ground truth reduced to COCO's 80 categories, by the WordNet synsets that both name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from samref.errors import DatasetError
from samref.io.atomic import write_text
from samref.io.coco_files import read_json

# id, name and synset of each COCO category; COCO leaves out some ids between 1 and 90.
COCO_SYNSETS = (
    (1, "person", "person.n.01"),
    (2, "bicycle", "bicycle.n.01"),
    (3, "car", "car.n.01"),
    (4, "motorcycle", "motorcycle.n.01"),
    (5, "airplane", "airplane.n.01"),
    (6, "bus", "bus.n.01"),
    (7, "train", "train.n.01"),
    (8, "truck", "truck.n.01"),
    (9, "boat", "boat.n.01"),
    (10, "traffic light", "traffic_light.n.01"),
    (11, "fire hydrant", "fireplug.n.01"),
    (13, "stop sign", "stop_sign.n.01"),
    (14, "parking meter", "parking_meter.n.01"),
    (15, "bench", "bench.n.01"),
    (16, "bird", "bird.n.01"),
    (17, "cat", "cat.n.01"),
    (18, "dog", "dog.n.01"),
    (19, "horse", "horse.n.01"),
    (20, "sheep", "sheep.n.01"),
    (21, "cow", "beef.n.01"),
    (22, "elephant", "elephant.n.01"),
    (23, "bear", "bear.n.01"),
    (24, "zebra", "zebra.n.01"),
    (25, "giraffe", "giraffe.n.01"),
    (27, "backpack", "backpack.n.01"),
    (28, "umbrella", "umbrella.n.01"),
    (31, "handbag", "bag.n.04"),
    (32, "tie", "necktie.n.01"),
    (33, "suitcase", "bag.n.06"),
    (34, "frisbee", "frisbee.n.01"),
    (35, "skis", "ski.n.01"),
    (36, "snowboard", "snowboard.n.01"),
    (37, "sports ball", "ball.n.06"),
    (38, "kite", "kite.n.03"),
    (39, "baseball bat", "baseball_bat.n.01"),
    (40, "baseball glove", "baseball_glove.n.01"),
    (41, "skateboard", "skateboard.n.01"),
    (42, "surfboard", "surfboard.n.01"),
    (43, "tennis racket", "tennis_racket.n.01"),
    (44, "bottle", "bottle.n.01"),
    (46, "wine glass", "wineglass.n.01"),
    (47, "cup", "cup.n.01"),
    (48, "fork", "fork.n.01"),
    (49, "knife", "knife.n.01"),
    (50, "spoon", "spoon.n.01"),
    (51, "bowl", "bowl.n.03"),
    (52, "banana", "banana.n.02"),
    (53, "apple", "apple.n.01"),
    (54, "sandwich", "sandwich.n.01"),
    (55, "orange", "orange.n.01"),
    (56, "broccoli", "broccoli.n.01"),
    (57, "carrot", "carrot.n.01"),
    (58, "hot dog", "frank.n.02"),
    (59, "pizza", "pizza.n.01"),
    (60, "donut", "doughnut.n.02"),
    (61, "cake", "cake.n.03"),
    (62, "chair", "chair.n.01"),
    (63, "couch", "sofa.n.01"),
    (64, "potted plant", "pot.n.04"),
    (65, "bed", "bed.n.01"),
    (67, "dining table", "dining_table.n.01"),
    (70, "toilet", "toilet.n.02"),
    (72, "tv", "television_receiver.n.01"),
    (73, "laptop", "laptop.n.01"),
    (74, "mouse", "mouse.n.04"),
    (75, "remote", "remote_control.n.01"),
    (76, "keyboard", "computer_keyboard.n.01"),
    (77, "cell phone", "cellular_telephone.n.01"),
    (78, "microwave", "microwave.n.02"),
    (79, "oven", "oven.n.01"),
    (80, "toaster", "toaster.n.02"),
    (81, "sink", "sink.n.01"),
    (82, "refrigerator", "electric_refrigerator.n.01"),
    (84, "book", "book.n.01"),
    (85, "clock", "clock.n.01"),
    (86, "vase", "vase.n.01"),
    (87, "scissors", "scissors.n.01"),
    (88, "teddy bear", "teddy.n.01"),
    (89, "hair drier", "hand_blower.n.01"),
    (90, "toothbrush", "toothbrush.n.01"),
)

FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")


def cocofy(lvis: dict[str, Any]) -> dict[str, Any]:
    """LVIS ground truth with COCO's categories.

    All images stay. Annotations, and the categories that each image lists as absent or as not exhaustively annotated,
    are kept where the category's synset is one of COCO's, under COCO's category id. Categories keep LVIS's fields
    (frequency, counts, definition) under COCO's id and name; COCO categories that this file lacks stay absent.

    Args:
        lvis: content of an LVIS json, v0.5 or v1.

    Raises:
        DatasetError: if it is none.
    """
    parts = ("images", "annotations", "categories")
    if not isinstance(lvis, dict) or not all(isinstance(lvis.get(part), list) for part in parts):
        raise DatasetError("an LVIS file holds the lists images, annotations and categories; this one does not")
    for part, keys in (("images", ()), ("annotations", ("category_id",)), ("categories", ("id",))):
        _demand_keys(lvis[part], part, keys)
    if not all(isinstance(category.get("synset"), str) for category in lvis["categories"]):
        raise DatasetError("the categories have no synset, so this is not an LVIS file")
    by_synset = {synset: (coco_id, name) for coco_id, name, synset in COCO_SYNSETS}
    kept = {
        category["id"]: by_synset[category["synset"]]
        for category in lvis["categories"]
        if category["synset"] in by_synset
    }
    coco_ids = {lvis_id: coco_id for lvis_id, (coco_id, _) in kept.items()}

    categories = [
        {**category, "id": kept[category["id"]][0], "name": kept[category["id"]][1]}
        for category in lvis["categories"]
        if category["id"] in kept
    ]
    annotations = [
        {**annotation, "category_id": coco_ids[annotation["category_id"]]}
        for annotation in lvis["annotations"]
        if annotation["category_id"] in coco_ids
    ]
    images = [
        {**image, **{key: _mapped(image.get(key, ()), coco_ids) for key in FEDERATED}} for image in lvis["images"]
    ]
    categories.sort(key=lambda category: category["id"])
    return {**lvis, "images": images, "annotations": annotations, "categories": categories}


def cocofy_file(source: Path, target: Path) -> str:
    """Writes the `cocofy`ed content of one file to another, atomically.

    Returns:
        What was kept, in one sentence.

    Raises:
        DatasetError: if the source is missing or no LVIS file.
    """
    lvis = read_json(source, "LVIS")
    reduced = cocofy(lvis)
    write_text(target, json.dumps(reduced))
    return (
        f"{target}: {len(reduced['annotations'])} of {len(lvis['annotations'])} annotations in "
        f"{len(reduced['categories'])} of COCO's {len(COCO_SYNSETS)} categories, {len(reduced['images'])} images"
    )


def _demand_keys(records: list[Any], part: str, keys: tuple[str, ...]) -> None:
    for place, record in enumerate(records):
        if not isinstance(record, dict) or not all(type(record.get(key)) is int for key in keys):
            expected = f"an object with {' and '.join(keys)}" if keys else "an object"
            raise DatasetError(f"record {place} of {part} is {str(record)[:60]}; expected {expected}")
        for key in FEDERATED if part == "images" else ():
            ids = record.get(key, [])
            if not isinstance(ids, list) or not all(type(item) is int for item in ids):
                raise DatasetError(f"record {place} of {part} has the {key} {str(ids)[:60]}; expected a list of ids")


def _mapped(ids: Iterable[int], table: dict[int, int]) -> list[int]:
    return [table[number] for number in ids if number in table]
