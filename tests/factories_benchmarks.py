"""Miniature benchmarks in their official layouts, generated."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from samref.structures import REFINED, Prompts, Refinement

SIZE = (48, 64)


def rng(seed):
    return np.random.default_rng(seed)


def save_image(path, seed, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)


def save_gray(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def rectangle(x0, y0, x1, y1, size=SIZE):
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def rle(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


def polygon(x0, y0, x1, y1):
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def annotation(number, image_id, category_id, box, **more):
    x0, y0, x1, y1 = box
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": polygon(*box),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
        **more,
    }


def result(image_id, category_id, box, score=0.9, **more):
    return {
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": rle(rectangle(*box)),
        "score": score,
        **more,
    }


def image_record(image_id, **more):
    return {"id": image_id, "file_name": f"{image_id:012d}.jpg", "height": SIZE[0], "width": SIZE[1], **more}


def make_coco(root: Path):
    """COCO val2017 of 4 images: two objects in 1, one in 2, a crowd in 3, nothing in 4; and coarse results."""
    for image_id in (1, 2, 3, 4):
        save_image(root / "val2017" / f"{image_id:012d}.jpg", image_id)
    crowd = {"size": list(SIZE), "counts": [10, 20, SIZE[0] * SIZE[1] - 30]}
    content = {
        "info": {"year": 2017},
        "licenses": [],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        "images": [image_record(image_id) for image_id in (1, 2, 3, 4)],
        "annotations": [
            annotation(101, 1, 1, (5, 5, 25, 30)),
            annotation(102, 1, 18, (30, 10, 50, 40)),
            annotation(201, 2, 1, (10, 8, 40, 36)),
            annotation(301, 3, 1, (0, 0, 10, 10), iscrowd=1, segmentation=crowd),
        ],
    }
    coarse = [
        result(1, 1, (5, 5, 23, 30), 0.9),
        result(2, 1, (12, 8, 40, 33), 0.8),
        result(1, 18, (30, 12, 50, 40), 0.7),
    ]
    return SimpleNamespace(
        root=root,
        images=root / "val2017",
        annotations=write_json(root / "annotations" / "instances_val2017.json", content),
        predictions=write_json(root / "predictions.json", coarse),
        content=content,
        results=coarse,
    )


def make_lvis(root: Path, version="v0.5"):
    """LVIS val of 2 images with a category that COCO has (dog, 30) and one that it has not (7)."""
    for image_id in (11, 12):
        save_image(root / "val2017" / f"{image_id:012d}.jpg", image_id)
    url = "http://images.cocodataset.org/val2017/{:012d}.jpg"
    images = []
    for image_id in (11, 12):
        record = image_record(
            image_id, coco_url=url.format(image_id), neg_category_ids=[7], not_exhaustive_category_ids=[30]
        )
        record["file_name"] = f"COCO_val2014_{image_id:012d}.jpg"
        if version == "v1":
            del record["file_name"]
        images.append(record)
    content = {
        "info": {},
        "licenses": [],
        "images": images,
        "categories": [
            {
                "id": 7,
                "name": "bow-tie",
                "synset": "bow_tie.n.01",
                "frequency": "c",
                "image_count": 3,
                "instance_count": 4,
            },
            {"id": 30, "name": "dog", "synset": "dog.n.01", "frequency": "f", "image_count": 9, "instance_count": 9},
            {
                "id": 99,
                "name": "person",
                "synset": "person.n.01",
                "frequency": "f",
                "image_count": 9,
                "instance_count": 9,
            },
        ],
        "annotations": [
            annotation(1, 11, 30, (5, 5, 25, 30)),
            annotation(2, 11, 7, (30, 10, 50, 40)),
            annotation(3, 12, 99, (10, 8, 40, 36)),
        ],
    }
    coarse = [result(11, 30, (5, 5, 23, 30)), result(12, 99, (12, 8, 40, 33))]
    return SimpleNamespace(
        root=root,
        images=root / "val2017",
        annotations=write_json(root / "annotations" / f"lvis_{version}_val.json", content),
        predictions=write_json(root / "predictions.json", coarse),
        content=content,
    )


def make_voc(root: Path, cams=False):
    """VOC2012 of 3 images; the second has two categories, of which one lies in two pieces, and ignored rims."""
    names = ["2007_000001", "2007_000002", "2007_000003"]
    truth = {name: np.zeros(SIZE, np.uint8) for name in names}
    truth[names[0]][5:30, 5:25] = 12
    truth[names[1]][5:20, 5:25] = 8
    truth[names[1]][30:45, 40:60] = 8
    truth[names[1]][22:40, 8:30] = 15
    truth[names[1]][21, 8:30] = 255
    for seed, name in enumerate(names):
        save_image(root / "JPEGImages" / f"{name}.jpg", seed)
        save_labels(root / "SegmentationClass" / f"{name}.png", truth[name])
        coarse = np.roll(truth[name], 2, axis=1)
        if cams:
            save_cam(root / "coarse" / f"{name}.npy", coarse)
        else:
            save_labels(root / "coarse" / f"{name}.png", coarse)
    split = root / "ImageSets" / "Segmentation" / "val.txt"
    split.parent.mkdir(parents=True)
    split.write_text("\n".join(names) + "\n")
    return SimpleNamespace(root=root, coarse=root / "coarse", names=names, truth=truth)


def save_labels(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0, *(value for k in range(1, 256) for value in (k, 255 - k, k // 2))])
    image.save(path)


def save_cam(path, labels):
    """Class activation maps as CLIP-ES writes them, whose labels are these."""
    path.parent.mkdir(parents=True, exist_ok=True)
    classes = [value for value in np.unique(labels) if value not in (0, 255)]
    maps = np.stack([0.2 + 0.6 * (labels == value) for value in classes]) if classes else np.zeros((0, *labels.shape))
    np.save(path, {"keys": np.array(classes, np.int64) - 1, "attn_highres": maps.astype(np.float16)}, allow_pickle=True)


def make_big(root: Path, count=2, suffix="jpg"):
    """BIG or relabeled VOC: `count` objects."""
    for k in range(count):
        truth = rectangle(8 + k, 8, 50, 40)
        save_image(root / f"object{k}_im.{suffix}", k)
        save_gray(root / f"object{k}_gt.png", truth * 255)
        save_gray(root / f"object{k}_seg.png", np.roll(truth, 2, axis=0) * 200)
    return SimpleNamespace(root=root)


def refined(masks, flags=None, logits=None):
    """A refinement with these masks."""
    count = len(masks)
    return Refinement(
        masks=masks,
        chosen=np.zeros(count, np.int64),
        predicted_iou=np.ones(count, np.float32),
        iou_predictions=np.ones((count, 3), np.float32),
        prompts=Prompts(),
        flags=tuple(flags or [REFINED] * count),
        logits=logits,
    )
