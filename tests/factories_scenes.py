"""GeoTIFFs, generated for tests by rasterio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin

from tests.factories import blob, photo

SCENE = (90, 130)


def scene_values() -> np.ndarray:
    """H x W uint8: two parts of value 1, one of value 7 that several windows share."""
    values = np.zeros(SCENE, np.uint8)
    values[5:25, 5:30] = 1
    values[60:80, 100:120] = 1
    values[20:75, 45:85][blob((55, 40), 2)] = 7
    return values


def profile(count: int, dtype: str) -> dict:
    return {
        "driver": "GTiff", "height": SCENE[0], "width": SCENE[1], "count": count, "dtype": dtype,
        "crs": CRS.from_epsg(32633), "transform": from_origin(500000, 5400000, 0.5, 0.5), "compress": "deflate",
    }  # fmt: skip


def make_scenes(folder: Path, dtype: str = "uint16", bands: int = 4) -> Path:
    """IMAGES/a.tif and MASKS/a.tif."""
    picture = photo(SCENE, 3).astype(np.float64)
    values = np.concatenate([picture, picture[..., :1] * 0.5], axis=2)[..., :bands].transpose(2, 0, 1)
    for name in ("IMAGES", "MASKS"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with rasterio.open(folder / "IMAGES" / "a.tif", "w", **profile(bands, dtype)) as image:
        image.write((values * (12 if dtype == "uint16" else 1)).astype(dtype))
    tiles = {"tiled": True, "blockxsize": 64, "blockysize": 64}
    with rasterio.open(folder / "MASKS" / "a.tif", "w", **profile(1, "uint8"), **tiles) as mask:
        mask.write(scene_values(), 1)
        mask.update_tags(source="by hand", year="2026")
        mask.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 7: (0, 0, 255, 255)})
    return folder
