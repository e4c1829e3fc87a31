"""What the page shows of one photo and its masks: refined, described for a browser, and saved as they were chosen."""

from __future__ import annotations

import base64
import io
import json
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from samref.backbones.backbone import Backbone
from samref.cli.trial import Settings, changed_settings, refine_masks
from samref.errors import InputError
from samref.geometry.masks import pair_iou
from samref.io.coco_masks import area_and_box, encode_rle
from samref.report.html import data_url
from samref.report.outlines import outline
from samref.structures import BoolArray, Refinement
from samref.visualization.drawing import Canvas
from samref.visualization.gallery_items import as_fraction, encode_jpeg

PRESETS = {"paper": None, "released": "released"}
FORMATS = {"png": "PNG, a file a mask", "labels": "PNG, one label map", "coco": "COCO json"}
KEPT_RESULTS = 8
# What may be chosen of a mask; candidates are 1 to 3.
COARSE, REFINED, REJECTED = "coarse", "refined", "rejected"


class Desk:
    """Refines masks with one model, one request at a time."""

    def __init__(self, backbone: Backbone, name: str) -> None:
        """Takes the model.

        Args:
            backbone: keeps the embedding of the last image.
            name: what it is called on a command line.
        """
        self.backbone, self.name = backbone, name
        # There is one model, and Hydra composes one configuration at a time.
        self.lock = threading.Lock()
        self._kept: OrderedDict[bytes, Refinement] = OrderedDict()

    def refine(self, image: Canvas, masks: BoolArray, settings: Settings, preset: str) -> Refinement:
        """Refines N x H x W masks, see `refine_masks`; what was tried a moment ago is still known."""
        tried = json.dumps([masks.shape, image.shape, dict(settings), preset], sort_keys=True).encode()
        key = blake2b(b"".join([image.tobytes(), np.packbits(masks).tobytes(), tried])).digest()
        with self.lock:
            if key not in self._kept:
                self._kept[key] = refine_masks(self.backbone, image, masks, settings, PRESETS[preset])
                while len(self._kept) > KEPT_RESULTS:
                    self._kept.popitem(last=False)
            return self._kept[key]

    def command(self, settings: Settings, preset: str) -> str:
        """The command that refines a folder in the same way."""
        with self.lock:
            words = changed_settings(PRESETS[preset], settings)
        changed = [word for word in words if word != "dataset=folder"]
        return " ".join(["samref refine IMAGES MASKS OUTPUT", *changed, f"backbone={self.name}"])


def described(masks: BoolArray, result: Refinement) -> list[dict[str, Any]]:
    """What a browser shows of each mask: outlines as SVG paths in image px, numbers, prompts and reasons.

    Args:
        masks: N x H x W bool, coarse.
        result: of them, with candidates.
    """
    return [_described(masks[k], result, k) for k in range(len(masks))]


def _described(mask: BoolArray, result: Refinement, k: int) -> dict[str, Any]:
    made = choices_of(mask, result, k)
    prompts = result.prompts[k : k + 1]
    points = [] if prompts.point_coords is None or prompts.point_labels is None else [
        [float(x) + 0.5, float(y) + 0.5, int(label)]
        for (x, y), label in zip(prompts.point_coords[0], prompts.point_labels[0], strict=True) if label >= 0
    ]  # fmt: skip
    boxed = prompts.boxes is not None and bool(np.isfinite(prompts.boxes).all())
    return {
        "flag": result.flags[k],
        "reason": result.reasons[k] if result.reasons else "",
        "score": None if result.scores is None else float(result.scores[k]),
        "candidate": int(result.chosen[k]) + 1,
        "choices": [
            {
                "name": name,
                "path": outline(made[name]),
                "predicted": as_fraction(result.iou_predictions[k, int(name) - 1]) if name.isdecimal() else None,
                "agreement": pair_iou(mask, made[name]),
                "pixels": int(np.count_nonzero(made[name])),
            }
            for name in made
        ],
        "points": points,
        "box": [float(value) for value in prompts.boxes[0]] if boxed and prompts.boxes is not None else None,
    }


def choices_of(mask: BoolArray, result: Refinement, k: int) -> dict[str, BoolArray]:
    """The masks that may be saved in place of mask `k`, by name; `refined` is what came out."""
    made = {REFINED: result.masks[k], COARSE: mask}
    if k in result.rejected:
        made[REJECTED] = result.rejected[k]
    if result.candidates is not None:
        made |= {str(c + 1): result.candidates[k, c] for c in range(3)}
    return made


def chosen_masks(masks: BoolArray, result: Refinement, chosen: Sequence[str]) -> BoolArray:
    """N x H x W masks as they were chosen by name.

    Raises:
        InputError: for a name that there is not.
    """
    if len(chosen) != len(masks):
        raise InputError(f"{len(chosen)} masks are chosen; expected one choice for each of {len(masks)}")
    made = [choices_of(mask, result, k) for k, mask in enumerate(masks)]
    for of_one, name in zip(made, chosen, strict=True):
        if name not in of_one:
            raise InputError(f"there is no mask {name} to save; expected one of {', '.join(of_one)}")
    return np.array([of_one[name] for of_one, name in zip(made, chosen, strict=True)])


def saved(masks: BoolArray, stem: str, form: str) -> tuple[str, bytes]:
    """Name and content of the file that masks are downloaded as.

    Args:
        masks: N x H x W bool.
        stem: of the photo's name.
        form: one of `FORMATS`.

    Raises:
        InputError: for another form, or more masks than a label map has labels.
    """
    if form == "png" and len(masks) == 1:
        return f"{stem}.png", png_of(masks[0])
    if form == "png":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            for k, mask in enumerate(masks, 1):
                file.writestr(f"{stem}_{k}.png", png_of(mask))
        return f"{stem}.zip", packed.getvalue()
    if form == "labels":
        if len(masks) > 255:
            raise InputError(f"{len(masks)} masks do not fit a label map of 255 labels; save them as png or coco")
        labels = np.zeros(masks.shape[1:], np.uint8)
        for k, mask in enumerate(masks, 1):
            labels[mask] = k
        return f"{stem}.png", _encoded(labels)
    if form == "coco":
        return f"{stem}.json", json.dumps(_coco(masks, stem)).encode()
    raise InputError(f"there is no format {form}; expected one of {', '.join(FORMATS)}")


def png_of(mask: BoolArray) -> bytes:
    """An H x W mask as a PNG of 0 and 255."""
    return _encoded(mask.astype(np.uint8) * 255)


def mask_of(url: str, size: tuple[int, int]) -> BoolArray:
    """The H x W mask that a canvas drew: what is at least half opaque, since brushes have soft edges.

    Raises:
        InputError: if it is no PNG with transparency of this size.
    """
    try:
        content = base64.b64decode(url.partition(",")[2], validate=True)
        drawn = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except (ValueError, cv2.error):
        drawn = None
    if drawn is None or drawn.ndim != 3 or drawn.shape[2] != 4 or drawn.shape[:2] != size:
        raise InputError(f"a drawn mask is not a PNG with transparency of {size} (H, W)")
    return np.asarray(drawn[..., 3] >= 128)


def photo_url(image: Canvas) -> str:
    """An image as a JPEG in an address, at its own size."""
    return data_url("image/jpeg", encode_jpeg(image, 4_000_000))


def drawn_url(mask: BoolArray) -> str:
    """An H x W mask as what a canvas draws: opaque where it is."""
    return data_url("image/png", _encoded(np.where(mask[..., None], np.uint8(255), np.uint8(0)).repeat(4, axis=2)))


def _coco(masks: BoolArray, stem: str) -> dict[str, Any]:
    records = []
    for k, mask in enumerate(masks, 1):
        area, box = area_and_box(mask)
        known = {"id": k, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": area, "bbox": box}
        records.append({**known, "segmentation": encode_rle(mask)})
    image = {"id": 1, "file_name": stem, "height": masks.shape[1], "width": masks.shape[2]}
    return {"images": [image], "annotations": records, "categories": [{"id": 1, "name": "object"}]}


def _encoded(array: np.ndarray[Any, Any]) -> bytes:
    done, content = cv2.imencode(".png", array)
    assert done
    return bytes(content)


def stem_of(name: str) -> str:
    """A photo's name without its folders and its suffix; `mask` where nothing is left.

    >>> stem_of("a/b.jpg"), stem_of("..")
    ('b', 'mask')
    """
    return Path(name).name.rpartition(".")[0].strip(".") or "mask"
