"""PASCAL VOC's label maps: PNGs with VOC's palette, and scores or class activation maps turned into labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from samref.datasets.voc.npy_dicts import plain_array, read_dict
from samref.errors import InputError
from samref.io import masks
from samref.io.atomic import atomic_path
from samref.io.colors import voc_colors

Labels = npt.NDArray[np.uint8]

BACKGROUND, IGNORE, CLASSES = 0, 255, 21
DEFAULT_MAPS = "attn_highres"
SHOWN = 6


def read_labels(path: Path) -> Labels:
    """The H x W uint8 class indices of a label PNG: 0 background, 1 to 20 classes, 255 ignore.

    Raises:
        InputError: if the file is missing, broken, in colors instead of indices, or holds other indices.
    """
    values = masks.read_labels(path)
    unknown = sorted(set(np.unique(values).tolist()) - {*range(CLASSES), IGNORE})
    if unknown:
        raise InputError(f"{path} holds the values {unknown[:6]}; expected 0 to {CLASSES - 1} and {IGNORE}")
    return values.astype(np.uint8)


def read_npy_labels(path: Path, original_size: tuple[int, int], maps: str | None) -> Labels:
    """The labels of the scores of one image: a network's 21 x h x w, or class activation maps.

    Args:
        path: `.npy` file: numbers as `numpy.save` writes them, the background first, or a dictionary.
        original_size: (H, W) of the image, to which smaller maps are resized bilinearly.
        maps: see `read_activation_labels`.

    Returns:
        H x W uint8.

    Raises:
        InputError: if the file is of neither kind.
    """
    scores = plain_array(path)
    return (
        read_activation_labels(path, original_size, maps) if scores is None else _highest(scores, original_size, path)
    )


def _highest(scores: npt.NDArray[Any], original_size: tuple[int, int], path: Path) -> Labels:
    """The class of the highest of 21 scores at each pixel, maps of another size resized bilinearly."""
    if scores.ndim != 3 or len(scores) != CLASSES or 0 in scores.shape or scores.dtype.kind not in "fiu":
        raise InputError(
            f"{path} holds an array of shape {scores.shape} and dtype {scores.dtype}; expected {CLASSES} x h x w "
            "scores, the background's first"
        )
    height, width = original_size
    resized = np.stack(
        [cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in scores.astype(np.float32)]
    )
    if not np.isfinite(resized).all():
        raise InputError(f"{path} has scores that are no finite numbers; expected {CLASSES} x h x w scores")
    labels: Labels = resized.argmax(axis=0).astype(np.uint8)
    return labels


def read_activation_labels(path: Path, original_size: tuple[int, int], maps: str | None) -> Labels:
    """The labels of the class activation maps of one image, as CLIP-ES and others write them.

    The file is a dictionary with `keys`, the K classes counted from 0 without the background, and K x h x w score maps
    in [0, 1]. The background's score is 1 minus the highest of them. Also read: one map a class, `{class: h x w}`.

    Args:
        path: `.npy` file.
        original_size: (H, W) of the image, to which smaller maps are resized bilinearly.
        maps: name of the score maps in the dictionary; None finds them.

    Returns:
        H x W uint8; a tie goes to the background, then to the class named first.

    Raises:
        InputError: if the file is not of this kind.
    """
    content = read_dict(path)
    try:
        keys, scores = _keys_and_scores(content, path, maps)
        classes = np.concatenate([[BACKGROUND], np.asarray(keys, np.int64).reshape(-1) + 1])
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"{path} has keys or score maps that are no arrays of numbers ({reason})") from None
    if scores.ndim != 3 or len(scores) != len(classes) - 1 or (len(scores) and 0 in scores.shape):
        raise InputError(
            f"{path} has {len(classes) - 1} keys and score maps of shape {scores.shape}; expected K x h x w"
        )
    if len(set(classes.tolist())) < len(classes):
        raise InputError(f"{path} names a class twice among its keys {(classes[1:] - 1).tolist()[:SHOWN]}")
    if not np.isfinite(scores).all():
        raise InputError(f"{path} has score maps with values that are no finite numbers; expected scores in [0, 1]")
    if classes.min() < 0 or classes.max() >= CLASSES:
        raise InputError(
            f"{path} has the keys {(classes[1:] - 1).tolist()[:SHOWN]}; expected classes 0 to {CLASSES - 2}"
        )
    if not len(scores):
        return np.zeros(original_size, np.uint8)
    height, width = original_size
    resized = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in scores])
    everything = np.concatenate([1 - resized.max(axis=0, keepdims=True), resized])
    labels: Labels = classes[everything.argmax(axis=0)].astype(np.uint8)
    return labels


def write_labels(path: Path, labels: Labels, like: Path) -> None:
    """Writes H x W uint8 class indices as PNG, atomically.

    Args:
        path: of the PNG.
        labels: class indices.
        like: the file whose palette is taken; VOC's palette if it is no image, none if it is gray.
    """
    image = Image.fromarray(labels)
    palette = _palette(like)
    if palette is not None:
        image.putpalette(palette)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")


def voc_palette() -> list[int]:
    """VOC's 256 colors as R, G, B, R, ....

    >>> voc_palette()[3 * 15 : 3 * 16]
    [192, 128, 128]
    """
    palette: list[int] = voc_colors().reshape(-1).tolist()
    return palette


def _palette(like: Path) -> list[int] | None:
    if like.suffix != ".png":
        return voc_palette()
    with Image.open(like) as image:
        return image.getpalette() if image.mode == "P" else None


def _keys_and_scores(content: dict[Any, Any], path: Path, maps: str | None) -> tuple[Any, npt.NDArray[np.float32]]:
    if "keys" not in content:
        if not content or not all(isinstance(key, int) for key in content):
            raise InputError(f"{path} has no `keys`, only {list(content)[:6]}; expected class activation maps")
        keys = sorted(content)
        return keys, np.stack([np.asarray(content[key], np.float32) for key in keys])
    found = {name: value for name, value in content.items() if isinstance(value, np.ndarray) and value.ndim == 3}
    name = maps or (DEFAULT_MAPS if DEFAULT_MAPS in found else None) or (next(iter(found)) if len(found) == 1 else None)
    if name is None and not len(np.atleast_1d(content["keys"])):
        return [], np.zeros((0, 1, 1), np.float32)
    if name not in found:
        raise InputError(f"{path} has the score maps {sorted(map(str, found))}; name one of them by dataset.cam_maps")
    return content["keys"], found[name].astype(np.float32)
