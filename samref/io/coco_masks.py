"""COCO segmentations - polygons, compressed and uncompressed run lengths - to masks and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from samref.errors import InputError
from samref.geometry.masks import tight_box
from samref.geometry.polygons import outlines
from samref.io.coco_ids import plain_id, whole_number
from samref.structures import BoolArray, IntArray

Segmentation = Sequence[Any] | Mapping[str, Any]

# A polygon that reaches farther than this many image sides is broken; rasterizing it would cost memory by its length.
FARTHEST = 4
MOST_PIXELS = 1 << 32
# Polygons within so many pixels of the corner, in an image of this many, are rather fractions of its sides.
FRACTION, FRACTION_OF = 1.5, 16
EXPECTED = "expected a list of polygons, each a list of numbers: [[x, y, x, y, x, y, ...], ...]"


def check_segmentation(segmentation: Any, size: tuple[int, int] | None) -> None:
    """Finds what can be found without decoding: kind, sizes, ranges.

    Args:
        segmentation: polygons `[[x, y, x, y, ...], ...]` in image px, pixel borders being integers, also a single one
            `[x, y, x, y, ...]` or with points as pairs, or run lengths `{"size": [H, W], "counts": str | list}`.
        size: (H, W) of the image, or None where only the file itself has it.

    Raises:
        InputError: naming the defect.
    """
    if isinstance(segmentation, Mapping):
        _check_rle(segmentation, size)
    else:
        _checked_polygons(segmentation, size)


def decode(segmentation: Any, size: tuple[int, int]) -> BoolArray:
    """The H x W bool mask of a segmentation.

    Args:
        segmentation: as in `check_segmentation`.
        size: (H, W) of the image.

    Raises:
        InputError: naming the defect.
    """
    if isinstance(segmentation, Mapping):
        _check_rle(segmentation, size)
        return _from_counts(_counts(segmentation["counts"]), size)
    return np.ascontiguousarray(coco_mask.decode(_runs(_checked_polygons(segmentation, size), size)).view(bool))


def as_rle(segmentation: Any, size: tuple[int, int]) -> dict[str, Any]:
    """A segmentation as compressed run lengths that evaluators and codecs, which check nothing, can be trusted with.

    Args:
        segmentation: as in `check_segmentation`; nothing (None or an empty list) is an empty mask.
        size: (H, W) of the image.

    Raises:
        InputError: naming the defect.
    """
    if not segmentation and not isinstance(segmentation, (str, int)):
        return encode_rle(np.zeros(size, bool))
    if isinstance(segmentation, Mapping):
        _check_rle(segmentation, size)
        counts = segmentation["counts"]
        _check_sum(_counts(counts), size)
        if isinstance(counts, list):
            return dict(coco_mask.frPyObjects({"size": [*size], "counts": _counts(counts).tolist()}, *size))
        return {"size": [*size], "counts": counts}
    return dict(_runs(_finite_polygons(segmentation, size), size))


def encode_rle(mask: BoolArray) -> dict[str, Any]:
    """Compressed run lengths of an H x W mask, as JSON can hold them."""
    rle = coco_mask.encode(by_columns(mask))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def by_columns(mask: BoolArray) -> npt.NDArray[np.uint8]:
    """An H x W mask as COCO's encoder reads it, column after column; OpenCV turns it several times as fast as numpy."""
    pixels = mask.view(np.uint8)
    return cv2.transpose(pixels).T if mask.size else np.asfortranarray(pixels)


def run_lengths(mask: BoolArray) -> list[int]:
    """Uncompressed run lengths of an H x W mask, column by column, background first; of its transpose, row by row."""
    flat = np.concatenate([[False], mask.T.reshape(-1)])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    counts: list[int] = np.diff(np.concatenate([[0], starts, [mask.size]])).tolist()
    return counts


def encode_like(mask: BoolArray, original: Segmentation) -> Segmentation:
    """An H x W mask in the form in which another one came.

    Run lengths come out compressed or not as they came in. Polygons come out as polygons if these rasterize to
    exactly the same mask, which every mask without holes allows; else as compressed run lengths.
    """
    if isinstance(original, Mapping):
        if isinstance(original["counts"], list):
            return {"size": list(mask.shape), "counts": run_lengths(mask)}
        return encode_rle(mask)
    polygons, runs = encode_polygons(mask), encode_rle(mask)
    if polygons and _runs(polygons, mask.shape)["counts"] == runs["counts"].encode():
        return _nested_like(polygons, original)
    return runs


def encode_polygons(mask: BoolArray) -> list[list[float]]:
    """The outlines of an H x W mask as COCO polygons (x, y, ... in image px); a hole comes out as one more of them."""
    return [outline.reshape(-1).tolist() for outline in outlines(mask)]


def area_and_box(mask: BoolArray) -> tuple[int, list[float]]:
    """COCO's `area` (pixels) and `bbox` (x, y, width, height in image px) of an H x W mask; zeros if it is empty."""
    box = tight_box(mask)
    if box is None:
        return 0, [0.0, 0.0, 0.0, 0.0]
    x0, y0, x1, y1 = box
    return int(np.count_nonzero(mask)), [float(x0), float(y0), float(x1 - x0 + 1), float(y1 - y0 + 1)]


def _check_rle(rle: Mapping[str, Any], size: tuple[int, int] | None) -> None:
    if "size" not in rle or "counts" not in rle:
        raise InputError(f"run lengths have the keys {sorted(rle)}; expected size and counts")
    if not isinstance(rle["counts"], (str, bytes, list)):
        raise InputError(f"counts of the run lengths are a {type(rle['counts']).__name__}; expected text or a list")
    sides = [whole_number(side) for side in rle["size"]] if isinstance(rle["size"], (list, tuple)) else None
    if size is not None and sides != [*size]:
        raise InputError(f"run lengths are of size {str(rle['size'])[:40]}; expected the image's {[*size]} (H, W)")


def _runs(polygons: list[list[float]], size: tuple[int, int]) -> dict[str, Any]:
    """The union of polygons as compressed run lengths, in bytes."""
    runs: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
    return runs


def _checked_polygons(segmentation: Any, size: tuple[int, int] | None) -> list[list[float]]:
    """Polygons of three points or more; degenerate ones beside them are left out, as detectors' loaders do."""
    valid = _finite_polygons(segmentation, size)
    if size is not None and not any(_meets(polygon, size) for polygon in valid):
        raise InputError(f"all polygons lie outside the image of {size} (H, W)")
    return valid


def _finite_polygons(segmentation: Any, size: tuple[int, int] | None) -> list[list[float]]:
    if not isinstance(segmentation, list):
        raise InputError(f"segmentation is a {type(segmentation).__name__}; expected polygons or run lengths")
    polygons = _flat_polygons(segmentation)
    valid = [polygon for polygon in polygons if len(polygon) >= 6]
    if not valid:
        raise InputError(f"no polygon of three points or more among {len(polygons)}")
    if not _all_of((int, float), chain.from_iterable(valid)):
        raise InputError("a polygon holds something else than numbers")
    odd = next((len(polygon) for polygon in valid if len(polygon) % 2), None)
    if odd is not None:
        raise InputError(f"a polygon has {odd} numbers, which are no pairs of x and y")
    try:
        numbers = np.fromiter(chain.from_iterable(valid), np.float64)
    except OverflowError:
        raise InputError("a polygon holds numbers that are too large") from None
    low, high = numbers.min(), numbers.max()
    if size is not None and not max(abs(low), abs(high)) <= FARTHEST * min(max(size), MOST_PIXELS):
        raise InputError(f"a polygon has coordinates from {low:g} to {high:g}; the image is {size} (H, W)")
    if size is not None and max(abs(low), abs(high)) <= FRACTION and max(size) >= FRACTION_OF:
        raise InputError(
            f"coordinates from {low:g} to {high:g} are fractions of the image's sides; expected pixels of the image of "
            f"{size} (H, W): multiply x by its width and y by its height"
        )
    return valid


def _flat_polygons(segmentation: Sequence[Any]) -> list[list[float]]:
    """Polygons as lists of numbers, whatever they are nested in."""
    nesting = _nesting(segmentation)
    if nesting == "numbers":
        return [list(segmentation)]
    if nesting == "points":
        return [_chained(segmentation)]
    if nesting == "lists of points":
        return [_chained(polygon) for polygon in segmentation]
    return list(segmentation)


def _nesting(segmentation: Sequence[Any]) -> str:
    """How the numbers of polygons are nested; `polygons` is COCO's own way."""
    if _all_of((list,), segmentation):
        if len(segmentation) > 2 and all(_is_point(part) for part in segmentation):
            return "points"
        if _all_plain(chain.from_iterable(segmentation)):
            return "polygons"
        if all(_is_point(point) for part in segmentation for point in part):
            return "lists of points"
    elif _all_plain(segmentation):
        return "numbers"
    kinds = sorted({type(part).__name__ for part in segmentation})
    raise InputError(f"segmentation is a list of {' and '.join(kinds)} that are no polygons; {EXPECTED}")


def _nested_like(polygons: list[list[float]], original: Segmentation) -> Segmentation:
    """Polygons in the nesting in which others came; where that holds one alone, several are nested as in COCO."""
    nesting = _nesting(list(original))
    if nesting == "lists of points":
        return [_paired(polygon) for polygon in polygons]
    if len(polygons) == 1 and nesting != "polygons":
        return polygons[0] if nesting == "numbers" else _paired(polygons[0])
    return polygons


def _all_of(kinds: tuple[type, ...], values: Iterable[Any]) -> bool:
    return all(issubclass(kind, kinds) for kind in set(map(type, values)))


def _all_plain(values: Iterable[Any]) -> bool:
    return not any(issubclass(kind, (list, Mapping)) for kind in set(map(type, values)))


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _all_plain(value)


def _chained(points: Sequence[Any]) -> list[float]:
    return [number for point in points for number in point]


def _paired(polygon: Sequence[float]) -> list[list[float]]:
    return [[x, y] for x, y in zip(polygon[0::2], polygon[1::2], strict=True)]


def _meets(polygon: Sequence[float], size: tuple[int, int]) -> bool:
    x, y = polygon[0::2], polygon[1::2]
    return max(x) > 0 and max(y) > 0 and min(x) < size[1] and min(y) < size[0]


def _counts(counts: str | bytes | list[int]) -> IntArray:
    """Run lengths, alternating background and foreground in column-major order.

    pycocotools checks neither that they are integers nor that they fill the image, and hands out unset memory
    where they do not; hence our own reading.
    """
    if isinstance(counts, list):
        # numpy would cut fractions off and read numbers out of text.
        whole = [plain_id(count) if isinstance(count, float) else count for count in counts]
        if not all(type(count) is int and abs(count) < MOST_PIXELS for count in whole):
            raise InputError("the run lengths hold something else than integers, or too large ones")
        return np.array(whole, dtype=np.int64)
    try:
        data = counts.encode("ascii") if isinstance(counts, str) else counts
    except UnicodeEncodeError:
        raise InputError("the compressed run lengths hold characters outside their alphabet") from None
    return _decompress(np.frombuffer(data, np.uint8).astype(np.int64) - 48)


def _decompress(digits: IntArray) -> IntArray:
    """COCO's code: groups of 5 bits, lowest first, bit 5 = more to come; from the fourth run on, differences."""
    last = np.flatnonzero((digits & 32) == 0)
    if not digits.size or digits.min() < 0 or digits.max() > 63 or not last.size or last[-1] != digits.size - 1:
        raise InputError("the compressed run lengths are cut off or hold characters outside their alphabet")
    first = np.concatenate([[0], last[:-1] + 1])
    length = last - first + 1
    if length.max() > 7:
        raise InputError("the compressed run lengths hold a number beyond 32 bits")
    place = np.arange(digits.size) - np.repeat(first, length)
    values = np.add.reduceat((digits & 31) << (5 * place), first)
    values -= np.where(digits[last] & 16, 1 << (5 * length), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _from_counts(counts: IntArray, size: tuple[int, int]) -> BoolArray:
    _check_sum(counts, size)
    height, width = size
    values = np.zeros(len(counts), bool)
    values[1::2] = True
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)


def _check_sum(counts: IntArray, size: tuple[int, int]) -> None:
    height, width = size
    in_range = (counts >= 0) & (counts <= height * width)
    if not in_range.all() or counts.sum() != height * width:
        raise InputError(f"run lengths do not add up to the {height} x {width} = {height * width} pixels of the image")
