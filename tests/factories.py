"""Miniature data sets in the official layouts, generated for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [0] * 756


def photo(size: tuple[int, int], seed: int) -> np.ndarray:
    """H x W x 3 uint8: smooth colors with some noise, so that encoders and SLIC have something to see."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.standard_normal((*size, 3)), (min(size) / 8, min(size) / 8, 0))
    smooth = (smooth - smooth.min()) / (np.ptp(smooth) or 1)
    return (200 * smooth + 40 * rng.random((*size, 3))).clip(0, 255).astype(np.uint8)


def blob(size: tuple[int, int], seed: int) -> np.ndarray:
    """H x W bool: an ellipse somewhere inside."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    cy, cx = (rng.uniform(0.35, 0.65) * n for n in size)
    ry, rx = (rng.uniform(0.15, 0.3) * n for n in size)
    return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1


def rough(mask: np.ndarray, seed: int) -> np.ndarray:
    """The mask with a bite taken out and a lump put on."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.standard_normal(mask.shape), 3)
    near = gaussian_filter(mask.astype(float), 4)
    return near + 2 * noise > 0.5


def save_mask(path: Path, mask: np.ndarray) -> None:
    """A 0/255 PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def save_photo(path: Path, size: tuple[int, int], seed: int) -> None:
    """An image file in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo(size, seed)).save(path)


def make_davis585(root: Path, sequences: int = 2, frames: int = 2, objects: int = 1, size=(48, 80)) -> Path:
    """DAVIS-585: `<sequence>/00000.jpg`, `object1_00000.png`, `init_sp_object1_00000.png`."""
    for s in range(sequences):
        for f in range(frames):
            folder, stem, seed = root / f"seq{s}", f"{f * 5:05d}", 100 * s + 10 * f
            save_photo(folder / f"{stem}.jpg", size, seed)
            for k in range(1, objects + 1):
                truth = blob(size, seed + k)
                save_mask(folder / f"object{k}_{stem}.png", truth)
                save_mask(folder / f"init_sp_object{k}_{stem}.png", rough(truth, seed + k))
    return root


def make_davis(root: Path, year: int = 2017, sequences: int = 1, frames: int = 2, size=(48, 80)) -> Path:
    """DAVIS 2016 (0/255, list of file pairs) or 2017 (palette indices, list of names)."""
    lines = []
    for s in range(sequences):
        for f in range(frames):
            name, stem, seed = f"seq{s}", f"{f:05d}", 100 * s + 10 * f
            save_photo(root / "JPEGImages" / "480p" / name / f"{stem}.jpg", size, seed)
            labels = blob(size, seed).astype(np.uint8)
            if year == 2017:
                labels[blob(size, seed + 1)] = 2
            image = Image.fromarray(labels if year == 2017 else labels * 255)
            if year == 2017:
                image.putpalette(PALETTE)
            path = root / "Annotations" / "480p" / name / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)
            pair = f"/JPEGImages/480p/{name}/{stem}.jpg /Annotations/480p/{name}/{stem}.png"
            lines.append(name if year == 2017 else pair)
    listed = root / "ImageSets" / str(year) / "val.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("\n".join(dict.fromkeys(lines)) + "\n")
    return root


def make_folder(root: Path, names=("a", "b"), size=(48, 80), truth: bool = False) -> Path:
    """Images, 0/255 masks and, if wanted, 0/1 ground truth of the same names, in `images`, `masks` and `truth`."""
    for seed, name in enumerate(names):
        save_photo(root / "images" / f"{name}.jpg", size, seed)
        save_mask(root / "masks" / f"{name}.png", rough(blob(size, seed), seed))
        if truth:
            path = root / "truth" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(blob(size, seed).astype(np.uint8)).save(path)
    return root
