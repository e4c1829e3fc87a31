"""From one refined mask to one gallery item: a small picture of it, with all that is drawn on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as run_lengths

from samref.errors import InputError
from samref.geometry.masks import pair_iou, tight_box
from samref.io.coco_masks import by_columns
from samref.report.gallery import GalleryItem, Runs
from samref.structures import EMPTY, BoolArray, Failure, FloatArray, Prompts, Refinement, Sample

Window = tuple[int, int, int, int]
Numbers = dict[str, float]

# Longest side of a picture, px, in galleries of at most so many masks: all of them are in one file.
SIDES = {100: 768, 1000: 384}
SMALLEST_SIDE = 224
HEAT_SIDE = 96
MARGIN = 0.25
MIN_MARGIN = 24
MAX_PICTURE_BYTES = 150_000
QUALITIES = (85, 70, 50, 30, 10)
HEAT_COLOR = (255, 45, 85)
HEAT_ALPHA = 120
# As on the gallery's page; later ones lie over earlier ones.
OUTLINES = {"truth": (255, 106, 213), "coarse": (255, 166, 0), "refined": (63, 196, 255)}


def measure(sample: Sample, refinement: Refinement, k: int, columns: Mapping[str, Sequence[Any]]) -> Numbers:
    """What is known of mask `k`: `agreement` always, and IoUs with the truth where there is one.

    Args:
        sample: one image.
        refinement: of its masks.
        k: index of the mask.
        columns: of the evaluator, each with one entry a mask; what it measured is not measured again.
    """
    numbers: Numbers = {}
    for name, masks in (("coarse_iou", sample.masks), ("refined_iou", refinement.masks)):
        if name in columns:
            numbers[name] = float(columns[name][k])
        elif sample.truth is not None:
            numbers[name] = pair_iou(masks[k], sample.truth[k])
    if numbers:
        numbers["gain"] = numbers["refined_iou"] - numbers["coarse_iou"]
    for name in ("coarse_boundary_iou", "refined_boundary_iou"):
        if name in columns:
            numbers[name] = float(columns[name][k])
    # Refiners that predict no IoU leave zeros.
    if refinement.predicted_iou[k] != 0:
        numbers["predicted_iou"] = as_fraction(refinement.predicted_iou[k])
    numbers["agreement"] = pair_iou(sample.masks[k], refinement.masks[k])
    if refinement.scores is not None:
        numbers["score"] = float(refinement.scores[k])
    return numbers


def picture_side(count: int) -> int:
    """Longest side of the pictures of a gallery of so many masks, px.

    >>> picture_side(24), picture_side(20_000)
    (768, 224)
    """
    return next((side for most, side in SIDES.items() if count <= most), SMALLEST_SIDE)


def make_gallery_item(
    sample: Sample, refinement: Refinement, k: int, numbers: Numbers, side: int = picture_side(1)
) -> GalleryItem:
    """The item of mask `k`.

    Args:
        sample: one image.
        refinement: of its masks.
        k: index of the mask.
        numbers: of `measure`.
        side: longest one of the picture, px.
    """
    layers = {"coarse": sample.masks[k], "refined": refinement.masks[k]}
    if (truth := truth_of(sample, k)) is not None:
        layers["truth"] = truth
    if k in refinement.rejected:
        layers["rejected"] = refinement.rejected[k]
    prompts = refinement.prompts[k : k + 1]
    # Around what was refined: a category's truth may fill the image.
    around = [mask for name, mask in layers.items() if name != "truth" or sample.truth is not None]
    window = surroundings(around, prompts)
    size = picture_size(window, side)
    scale = size[1] / (window[2] - window[0]), size[0] / (window[3] - window[1])
    return GalleryItem(
        image_id=str(sample.image_id),
        object_id=_object_name(sample.object_ids[k]),
        flag=refinement.flags[k],
        numbers=numbers,
        picture=encode_jpeg(shrink(_cut(sample.image, window), size)),
        size=size,
        window=window,
        masks={name: encode_mask(shrink_mask(_cut(mask, window), size)) for name, mask in layers.items()},
        points=_points(prompts, window, scale),
        box=_box(prompts, window, scale),
        heat=_heat(prompts, sample.original_size, window),
        candidates=_candidates(refinement, k),
        chosen=int(refinement.chosen[k]),
        reason=_reason(refinement, k),
    )


def failed_item(failure: Failure) -> GalleryItem:
    """The item of what could not be read: it has no picture."""
    return GalleryItem(str(failure.image_id), "", "failed", {}, b"", (3, 4), (0, 0, 0, 0), {}, reason=failure.reason)


def as_fraction(predicted_iou: float) -> float:
    """A predicted IoU as it is shown: SAM's head regresses and may leave [0, 1]; samples.csv keeps the raw number.

    >>> as_fraction(1.02), as_fraction(-0.1)
    (1.0, 0.0)
    """
    return min(max(float(predicted_iou), 0.0), 1.0)


def truth_of(sample: Sample, k: int) -> BoolArray | None:
    """The true H x W mask beside mask `k`; for regions of a semantic data set, that of their entire category."""
    if sample.truth is not None:
        truth: BoolArray = sample.truth[k]
        return truth
    if sample.label_map is not None and "categories" in sample.meta:
        return np.asarray(sample.label_map == sample.meta["categories"][k])
    return None


def surroundings(masks: Sequence[BoolArray], prompts: Prompts) -> Window:
    """The part of the image that holds some masks and their prompts, with a margin.

    Args:
        masks: H x W bool each.
        prompts: of one mask; may hold none.

    Returns:
        (x0, y0, x1, y1), image px, x1 and y1 exclusive, inside the image; all of it where nothing is to be held.
    """
    height, width = masks[0].shape
    boxes = [np.add(box, (0, 0, 1, 1)) for mask in masks if (box := tight_box(mask)) is not None]
    if prompts.boxes is not None and np.isfinite(prompts.boxes).all():
        boxes.append(prompts.boxes[0] + (0, 0, 1, 1))
    if not boxes:
        return 0, 0, width, height
    x0, y0 = np.min([box[:2] for box in boxes], axis=0)
    x1, y1 = np.max([box[2:] for box in boxes], axis=0)
    margin = max(MIN_MARGIN, MARGIN * max(x1 - x0, y1 - y0))
    return (
        max(math.floor(x0 - margin), 0),
        max(math.floor(y0 - margin), 0),
        min(math.ceil(x1 + margin), width),
        min(math.ceil(y1 + margin), height),
    )


def picture_size(window: Window, side: int) -> tuple[int, int]:
    """(h, w) of the picture of a window: its own size, shrunk so that no side is longer than `side` px."""
    width, height = window[2] - window[0], window[3] - window[1]
    scale = min(1.0, side / max(width, height))
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """An H x W (x 3) uint8 picture at the size (h, w), by area."""
    small: npt.NDArray[np.uint8] = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    return small


def shrink_mask(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """An H x W mask at the size (h, w): foreground where at least half of a pixel's area was."""
    return shrink(np.where(mask, np.uint8(255), np.uint8(0)), size) >= 128


def encode_jpeg(image: npt.NDArray[np.uint8], limit: int = MAX_PICTURE_BYTES) -> bytes:
    """An h x w x 3 uint8 RGB picture as JPEG of at most `limit` bytes, if any quality is that small."""
    for quality in QUALITIES:
        done, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise InputError(f"cannot encode a picture of shape {image.shape} as JPEG; expected h x w x 3 uint8")
        if len(data) <= limit:
            break
    return bytes(data)


def decode_jpeg(data: bytes) -> npt.NDArray[np.uint8]:
    """The h x w x 3 uint8 RGB picture of a JPEG."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError("the picture of a sample is no JPEG")
    return np.ascontiguousarray(image[..., ::-1])


def overlay(item: GalleryItem) -> npt.NDArray[np.uint8]:
    """The picture of a gallery item with the outlines of its masks: h x w x 3 uint8 RGB."""
    picture = decode_jpeg(item.picture)
    for layer, color in OUTLINES.items():
        mask = item.mask(layer)
        if mask is not None:
            contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, contours, -1, color, 2, cv2.LINE_AA)
    return picture


def encode_mask(mask: BoolArray) -> Runs:
    """An h x w mask as COCO's compressed run lengths."""
    runs: Runs = run_lengths.encode(by_columns(mask))
    return runs


def heat_window(logits: FloatArray, original_size: tuple[int, int], window: Window) -> FloatArray:
    """The positive part of a mask prompt, as shares of its peak, over a window of the image.

    Args:
        logits: h x w, logit grid; it covers the padded square, of which the image has the upper left part.
        original_size: (H, W) of the image.
        window: (x0, y0, x1, y1), image px, x1 and y1 exclusive.

    Returns:
        h' x w' float32 in 0 to 1, at most `HEAT_SIDE` a side.
    """
    width, height = window[2] - window[0], window[3] - window[1]
    shrunk = min(1.0, HEAT_SIDE / max(width, height))
    size = max(1, round(width * shrunk)), max(1, round(height * shrunk))
    cell = logits.shape[0] / max(original_size)
    step = width / size[0] * cell, height / size[1] * cell
    # Pixel centers of the output, in pixel centers of the grid.
    matrix = np.array(
        [
            [step[0], 0, (window[0] * cell + 0.5 * step[0]) - 0.5],
            [0, step[1], (window[1] * cell + 0.5 * step[1]) - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    positive = np.maximum(logits, 0).astype(np.float32)
    heat: FloatArray = cv2.warpAffine(positive, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return heat / max(float(positive.max()), 1e-6)


def heat_of_image(logits: FloatArray, original_size: tuple[int, int]) -> FloatArray:
    """The positive part of a mask prompt over the full image, see `heat_window`."""
    return heat_window(logits, original_size, (0, 0, original_size[1], original_size[0]))


def _heat(prompts: Prompts, original_size: tuple[int, int], window: Window) -> bytes | None:
    if prompts.mask_input is None or not (prompts.mask_input > 0).any():
        return None
    heat = heat_window(prompts.mask_input[0, 0], original_size, window)
    red, green, blue = HEAT_COLOR
    picture = np.empty((*heat.shape, 4), dtype=np.uint8)
    picture[..., :3] = (blue, green, red)
    picture[..., 3] = np.clip(HEAT_ALPHA * heat, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".png", picture)
    return bytes(data)


def _points(prompts: Prompts, window: Window, scale: tuple[float, float]) -> tuple[tuple[float, float, int], ...]:
    if prompts.point_coords is None or prompts.point_labels is None:
        return ()
    found = zip(prompts.point_coords[0], prompts.point_labels[0], strict=True)
    return tuple(
        (float(x + 0.5 - window[0]) * scale[0], float(y + 0.5 - window[1]) * scale[1], int(label))
        for (x, y), label in found
        if label >= 0
    )


def _box(prompts: Prompts, window: Window, scale: tuple[float, float]) -> tuple[float, float, float, float] | None:
    if prompts.boxes is None or not np.isfinite(prompts.boxes).all():
        return None
    x0, y0, x1, y1 = (float(value) for value in prompts.boxes[0])
    return (
        (x0 - window[0]) * scale[0],
        (y0 - window[1]) * scale[1],
        (x1 + 1 - window[0]) * scale[0],
        (y1 + 1 - window[1]) * scale[1],
    )


def _candidates(refinement: Refinement, k: int) -> tuple[tuple[float, float | None], ...]:
    predicted = refinement.iou_predictions[k]
    if not predicted.any():
        return ()
    true = refinement.candidate_iou[k] if refinement.candidate_iou is not None else None
    known = true is not None and bool(np.isfinite(true).all())
    return tuple((as_fraction(predicted[c]), float(true[c]) if known and true is not None else None) for c in range(3))


def _reason(refinement: Refinement, k: int) -> str:
    said = refinement.reasons[k] if refinement.reasons else ""
    return said or ("the coarse mask is empty: there is nothing to refine" if refinement.flags[k] == EMPTY else "")


def _object_name(name: Any) -> str:
    return " ".join(str(part) for part in name) if isinstance(name, tuple) else str(name)


def _cut(array: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
    return array[window[1] : window[3], window[0] : window[2]]
