"""`python -m benchmarks`: excavating all prompts of an image's masks, against the paper's steps taken plainly."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.ndimage import distance_transform_edt, gaussian_filter
from torch.nn import functional as F

from samref.configs import build, compose_config
from samref.geometry import resized_size
from samref.prompts.excavation import Frame
from samref.structures import Embedding

IMG_SIZE, GRID, SIZE = 1024, (256, 256), (480, 854)


def blobs(count: int) -> np.ndarray:
    """N x H x W bool: smooth blobs of some thousand pixels."""
    rng = np.random.default_rng(0)
    masks = np.zeros((count, *SIZE), dtype=bool)
    for mask in masks:
        y, x = (int(rng.integers(60, n - 60)) for n in SIZE)
        mask[y - 50 : y + 50, x - 50 : x + 50] = gaussian_filter(rng.standard_normal((100, 100)), 8) > -0.01
    return masks


def plain(mask: np.ndarray, features: torch.Tensor, input_size: tuple[int, int]) -> None:
    """One mask: whole-image distance transforms, features resized to the image, whole-image Gaussian."""
    inside = distance_transform_edt(mask)
    y, x = np.unravel_index(inside.argmax(), mask.shape)
    distance_transform_edt(~mask)
    whole = F.interpolate(features[None], SIZE, mode="bilinear", align_corners=False)[0]
    query = whole[:, torch.from_numpy(mask)].mean(dim=1)
    F.cosine_similarity(query[:, None, None], whole, dim=0)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    gaussian = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (4 * mask.sum())) * mask
    for array in (gaussian, np.where(mask, 1.0, -1.0)):
        resized = F.interpolate(torch.from_numpy(array)[None, None].float(), input_size, mode="bilinear")
        padded = F.pad(resized, (0, IMG_SIZE - input_size[1], 0, IMG_SIZE - input_size[0]))
        F.interpolate(padded, GRID, mode="bilinear")


def seconds(action: Callable[[], object]) -> float:
    """The best of three runs after a warm-up."""
    action()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Prints the table; the plain path is timed on three masks, as its cost is the same for each."""
    torch.set_num_threads(1)
    input_size = resized_size(SIZE, IMG_SIZE)
    embedding = Embedding(torch.randn(1, 256, 64, 64), SIZE, input_size)
    features = embedding.features[0, :, : input_size[0] // 16, : input_size[1] // 16]
    excavator = build(compose_config(["prompts=all"]).prompts)
    few = blobs(3)
    naive = seconds(lambda: [plain(mask, features, input_size) for mask in few]) / len(few)
    table = Table(title="excavation, 480 x 854, all prompts, CEBox on, one thread")
    for heading in ("masks", "plain, ms a mask", "samref, ms a mask", "ratio"):
        table.add_column(heading, justify="right")
    for count in (1, 10, 100):
        masks = blobs(count)
        ours = seconds(lambda masks=masks: excavator(masks, embedding, Frame(IMG_SIZE, GRID))) / count
        table.add_row(str(count), f"{1e3 * naive:.1f}", f"{1e3 * ours:.2f}", f"{naive / ours:.0f}x")
    Console().print(table)


if __name__ == "__main__":
    main()
