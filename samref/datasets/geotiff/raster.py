"""GeoTIFFs, read window by window: pictures of any depth and number of bands as RGB, masks as integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samref.errors import ConfigError, InputError
from samref.geometry.windows import Window
from samref.io.images import printable

# Percentiles of a band that come out as black and white, and the side up to which a scene is looked at for them.
LOW, HIGH, LOOKED_AT = 2.0, 98.0, 1024

Values = npt.NDArray[Any]


@contextmanager
def scene(path: Path, mode: str = "r") -> Iterator[Any]:
    """An opened GeoTIFF.

    Raises:
        ConfigError: without rasterio.
        InputError: for a file that cannot be read.
    """
    try:
        import rasterio
    except ImportError:
        raise ConfigError("rasterio is not installed; expected pip install 'samref[geo]'") from None
    try:
        with rasterio.open(path, mode) as opened:
            yield opened
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{printable(path)} cannot be read ({' '.join(str(error).split())[:120]})") from None


def georeference(path: Path) -> tuple[tuple[int, int], Any, Any]:
    """Size (H, W), transform and coordinate system of a scene.

    Raises:
        InputError: as `scene`.
    """
    with scene(path) as opened:
        return (opened.height, opened.width), opened.transform, opened.crs


def value_range(path: Path, bands: Sequence[int], given: Sequence[float] | None) -> npt.NDArray[np.float64]:
    """The values of each band that come out as 0 and 255.

    Args:
        path: of the scene.
        bands: three numbers of bands, from 1.
        given: (low, high) for all bands; None: 0 to 255 for 8 bits, else the 2nd and 98th percentile of each band.

    Returns:
        3 x 2 float64.

    Raises:
        InputError: for bands that the scene lacks.
    """
    with scene(path) as opened:
        if max(bands) > opened.count or min(bands) < 1:
            raise InputError(
                f"{printable(path)} has {opened.count} bands, dataset.bands is {list(bands)}; expected some of these"
            )
        if given is not None:
            return np.array([given] * 3, dtype=np.float64)
        if all(opened.dtypes[band - 1] == "uint8" for band in bands):
            return np.array([(0, 255)] * 3, dtype=np.float64)
        shrink = max(1.0, max(opened.height, opened.width) / LOOKED_AT)
        small = max(1, round(opened.height / shrink)), max(1, round(opened.width / shrink))
        values = opened.read(list(bands), out_shape=(3, *small), masked=True).astype(np.float64)
        found = []
        for band in values:
            plain = band.compressed()
            plain = plain[np.isfinite(plain)]
            found.append(np.percentile(plain, (LOW, HIGH)) if plain.size else (0.0, 1.0))
        return np.array(found)


def read_picture(
    path: Path, span: Window, bands: Sequence[int], limits: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """Three bands of a window as an RGB picture.

    Args:
        path: of the scene.
        span: of the window.
        bands: three numbers of bands, from 1.
        limits: 3 x 2, see `value_range`; values between them are spread over 0 to 255.

    Returns:
        H x W x 3 uint8; pixels without data are 0.

    Raises:
        InputError: as `scene`.
    """
    with scene(path) as opened:
        values = opened.read(list(bands), window=_ranges(span), masked=True)
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    data = np.nan_to_num(values.filled(0).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    spread = (data - low) / np.maximum(high - low, 1e-12) * 255
    picture = np.rint(spread.clip(0, 255)).astype(np.uint8)
    picture[np.ma.getmaskarray(values)] = 0
    return np.ascontiguousarray(picture.transpose(1, 2, 0))


def read_values(path: Path, span: Window | None = None) -> Values:
    """The first band of a window of a mask.

    Args:
        path: of the mask.
        span: of the window; None: all of it.

    Returns:
        H x W integers.

    Raises:
        InputError: as `scene`, and for several bands or fractions.
    """
    with scene(path) as opened:
        if opened.count != 1:
            raise InputError(f"mask {printable(path)} has {opened.count} bands; expected one")
        values: Values = opened.read(1, window=None if span is None else _ranges(span))
    if values.dtype.kind == "f":
        whole = np.rint(np.nan_to_num(values, nan=0.5)).astype(np.int64)
        if (whole != values).any():
            raise InputError(f"mask {printable(path)} holds fractions; expected whole numbers, one a label")
        return np.asarray(whole)
    return values


def write_values(opened: Any, span: Window, values: Values) -> None:
    """Puts H x W values into a window of an opened scene's first band."""
    opened.write(values, 1, window=_ranges(span))


def spans(size: tuple[int, int], side: int, margin: int) -> list[tuple[Window, Window]]:
    """The windows of a scene.

    Args:
        size: (H, W) of the scene.
        side: of a window's core, px.
        margin: around the core that is seen and not changed, px.

    Returns:
        For each window its core and the core with its margin; the cores fill the scene and do not overlap.

    >>> [core for core, _ in spans((5, 8), 5, 1)]
    [Window(x=0, y=0, height=5, width=5), Window(x=5, y=0, height=5, width=3)]
    """
    found = []
    for row in range(0, size[0], side):
        for column in range(0, size[1], side):
            core = Window(column, row, min(side, size[0] - row), min(side, size[1] - column))
            top, left = max(row - margin, 0), max(column - margin, 0)
            bottom, right = min(row + core.height + margin, size[0]), min(column + core.width + margin, size[1])
            found.append((core, Window(left, top, bottom - top, right - left)))
    return found


def _ranges(span: Window) -> tuple[tuple[int, int], tuple[int, int]]:
    """A window as rasterio takes it."""
    return (span.y, span.y + span.height), (span.x, span.x + span.width)
