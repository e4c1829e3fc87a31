"""Hypothesis strategies shared by the suite: blobby, noisy and degenerate masks."""

import numpy as np
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter


@st.composite
def masks(draw, max_side=48, min_side=1):
    """A non-empty H x W mask: smooth blobs, pixel noise, a single pixel, a row, a column, or everything."""
    height = draw(st.integers(min_side, max_side))
    width = draw(st.integers(min_side, max_side))
    kind = draw(st.sampled_from(["blobs", "blobs", "noise", "pixel", "row", "column", "full"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = np.zeros((height, width), dtype=bool)
    row, column = rng.integers(height), rng.integers(width)
    if kind == "blobs":
        mask = gaussian_filter(rng.standard_normal((height, width)), rng.uniform(0.5, 6)) > 0
    elif kind == "noise":
        mask = rng.random((height, width)) < rng.uniform(0.05, 0.95)
    elif kind == "row":
        mask[row, : rng.integers(width) + 1] = True
    elif kind == "column":
        mask[: rng.integers(height) + 1, column] = True
    elif kind == "full":
        mask[:] = True
    mask[row, column] = True
    return mask
