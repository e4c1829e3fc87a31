"""COCO-like data with everything in it that evaluators stumble over, and a naive evaluator to compare with."""

import cv2
import numpy as np
from pycocotools import mask as mask_codec
from scipy.ndimage import binary_erosion

# 45 x 60 has the diagonal 75, at which rounding the boundary width is a matter of taste (1.5).
SIZES = ((45, 60), (60, 80), (48, 64), (33, 70), (105, 140), (50, 50))
CATEGORIES = (1, 3, 7, 9)  # nothing is annotated for 9


def encode(mask):
    found = mask_codec.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": found["size"], "counts": found["counts"].decode()}


def uncompressed(mask):
    flat = np.concatenate([[0], mask.astype(np.uint8).ravel(order="F")])
    edges = np.flatnonzero(np.diff(flat)) if flat.any() else np.array([], int)
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def ellipse(rng, height, width):
    mask = np.zeros((height, width), np.uint8)
    center = int(rng.integers(0, width)), int(rng.integers(0, height))
    axes = int(rng.integers(4, width // 2)), int(rng.integers(4, height // 2))
    cv2.ellipse(mask, center, axes, float(rng.integers(180)), 0, 360, 1, -1)
    return mask.astype(bool)


def polygon(rng, height, width):
    x, y = rng.uniform(0, width / 2), rng.uniform(0, height / 2)
    corners = [[0, 0], [rng.uniform(8, width / 2), 2], [rng.uniform(8, width / 2), height / 3], [1, height / 2]]
    return [round(float(v), 2) for cx, cy in corners for v in (x + cx, y + cy)]


def disturbed(rng, mask):
    moved = np.roll(mask, rng.integers(-3, 4, 2), (0, 1))
    step = int(rng.integers(1, 4))
    change = cv2.erode if rng.random() < 0.5 else cv2.dilate
    return change(moved.astype(np.uint8), np.ones((step, step), np.uint8)).astype(bool)


def coco_data(seed):
    """(ground truth, results) of six images: polygons, run lengths of both kinds, crowds, empty masks, equal scores."""
    rng = np.random.default_rng(seed)
    images, annotations, results = [], [], []
    for k, (height, width) in enumerate(SIZES):
        image_id = 100 - 7 * k
        images.append({"id": image_id, "height": height, "width": width, "file_name": f"{image_id}.jpg"})
        for n in range(0 if k == 5 else 5):
            kind = ("polygon", "rle", "counts", "crowd", "rle")[n]
            size = (height, width)
            segment = [polygon(rng, *size)] if kind == "polygon" else None
            if segment is None:
                mask = ellipse(rng, *size)
                segment = encode(mask) if kind == "rle" else uncompressed(mask)
            mask = decode(segment, height, width)
            x, y, w, h = (float(v) for v in mask_codec.toBbox(encode(mask)))
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": int(rng.choice(CATEGORIES[:3])),
                "segmentation": segment,
                "bbox": [x, y, w, h],
                "area": float(mask.sum()),
                "iscrowd": int(kind == "crowd"),
            }
            annotations.append(annotation)
            for _ in range(int(rng.integers(0, 4)) if k != 4 else 1):
                category = annotation["category_id"] if rng.random() < 0.8 else int(rng.choice(CATEGORIES))
                found = disturbed(rng, mask) if rng.random() < 0.9 else np.zeros_like(mask)
                score = float(rng.choice([0.3, 0.5, 0.5, 0.9, rng.random()]))
                results.append(
                    {"image_id": image_id, "category_id": category, "segmentation": encode(found), "score": score}
                )
        for category in CATEGORIES if k == 5 else ():
            mask = ellipse(rng, height, width)
            results.append({"image_id": image_id, "category_id": category, "segmentation": encode(mask), "score": 0.4})
    truth = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": c, "name": f"c{c}"} for c in CATEGORIES],
    }
    return truth, results


def lvis_data(seed):
    """As `coco_data`, without crowds, and with the categories that LVIS verified for each image."""
    truth, results = coco_data(seed)
    rng = np.random.default_rng(seed + 1000)
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = 0
    for image in truth["images"]:
        present = {a["category_id"] for a in truth["annotations"] if a["image_id"] == image["id"]}
        absent = [c for c in CATEGORIES if c not in present]
        image["neg_category_ids"] = [c for c in absent if rng.random() < 0.5]
        image["not_exhaustive_category_ids"] = [int(c) for c in present if rng.random() < 0.4]
    return truth, results


def decode(segment, height, width):
    if isinstance(segment, list):
        segment = mask_codec.merge(mask_codec.frPyObjects(segment, height, width))
    elif isinstance(segment["counts"], list):
        segment = mask_codec.frPyObjects(segment, height, width)
    return mask_codec.decode(segment).astype(bool)


def rim(mask):
    depth = max(1, round(0.02 * float(np.hypot(*mask.shape))))
    return mask & ~binary_erosion(mask, np.ones((3, 3)), iterations=depth, border_value=0)


def box_mask(mask):
    """The tight box of a mask as a mask: boxes with whole-pixel edges have the IoU of their pixels."""
    filled = np.zeros_like(mask)
    if mask.any():
        ys, xs = np.nonzero(mask)
        filled[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
    return filled


def ratio(found, truth, crowd):
    whole = found.sum() if crowd else (found | truth).sum()
    return (found & truth).sum() / whole if whole else 0.0


def pair_score(found, truth, crowd, iou_type):
    if iou_type == "bbox":
        return ratio(box_mask(found), box_mask(truth), crowd)
    value = ratio(found, truth, crowd)
    if iou_type == "boundary" and not crowd:
        value = min(value, ratio(rim(found), rim(truth), crowd))
    return value


def matches(scores, crowds, threshold):
    """Of one image and category, results in order of score: 1 right, 0 wrong, None not counted; greedy as in COCO."""
    taken, outcome = set(), []
    order = sorted(range(len(crowds)), key=lambda g: crowds[g])
    for row in scores:
        best, at = threshold, None
        for g in order:
            if g in taken and not crowds[g]:
                continue
            if at is not None and not crowds[at] and crowds[g]:
                break
            if row[g] >= best:
                best, at = row[g], g
        taken.add(at)
        outcome.append(0 if at is None else None if crowds[at] else 1)
    return outcome


def naive_ap(truth, results, iou_type, lvis=False, limit=100):
    """AP written from the protocols' description, on whole masks, one pair at a time."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    images = sorted(truth["images"], key=lambda image: image["id"])
    if lvis:
        results = [
            result
            for image in images
            for result in sorted((r for r in results if r["image_id"] == image["id"]), key=lambda r: -r["score"])[
                :limit
            ]
        ]
    values = []
    for category in [c["id"] for c in truth["categories"]]:
        scores, outcomes, positives = [], {t: [] for t in range(10)}, 0
        for image in images:
            size = sizes[image["id"]]
            here = [a for a in truth["annotations"] if (a["image_id"], a["category_id"]) == (image["id"], category)]
            if lvis and not here and category not in image["neg_category_ids"]:
                continue
            found = [r for r in results if (r["image_id"], r["category_id"]) == (image["id"], category)]
            if lvis:
                found = [r for r in found if mask_codec.area(r["segmentation"]) > 0]
            found = sorted(found, key=lambda r: -r["score"])[:limit]
            targets = [decode(a["segmentation"], *size) for a in here]
            crowds = [bool(a["iscrowd"]) for a in here]
            positives += crowds.count(False)
            masks = [decode(r["segmentation"], *size) for r in found]
            pairs = [[pair_score(m, g, c, iou_type) for g, c in zip(targets, crowds, strict=True)] for m in masks]
            scores += [r["score"] for r in found]
            for t in range(10):
                outcome = matches(pairs, crowds, 0.5 + 0.05 * t - 1e-10)
                if lvis and category in image["not_exhaustive_category_ids"]:
                    outcome = [None if right == 0 else right for right in outcome]
                outcomes[t] += outcome
        if positives:
            order = np.argsort(-np.array(scores), kind="stable")
            values += [area([outcomes[t][k] for k in order], positives) for t in range(10)]
    return float(np.mean(values)) if values else float("nan")


def area(outcome, positives):
    """Mean of the best precision at or beyond each of 101 recalls."""
    counted = np.array([right for right in outcome if right is not None], float)
    if not len(counted):
        return 0.0
    hits = np.cumsum(counted)
    recall, precision = hits / positives, hits / np.arange(1, len(counted) + 1)
    best = [precision[recall >= r - 1e-12].max(initial=0.0) for r in np.linspace(0, 1, 101)]
    return float(np.mean(best))
