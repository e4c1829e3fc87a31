import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from samref.geometry.resize import bilinear_matrix, grid_to_image, image_to_grid

sizes = st.integers(1, 60)


def interpolate(array, size):
    tensor = torch.from_numpy(array)[None, None]
    return F.interpolate(tensor, size, mode="bilinear", align_corners=False)[0, 0].numpy()


@given(sizes, sizes, sizes, sizes, st.integers(0, 2**32 - 1))
def test_two_matrices_are_one_interpolation(height, width, new_height, new_width, seed):
    array = np.random.default_rng(seed).standard_normal((height, width))
    product = bilinear_matrix(height, new_height) @ array @ bilinear_matrix(width, new_width).T
    np.testing.assert_allclose(product, interpolate(array, (new_height, new_width)), atol=1e-9)


@given(sizes, sizes, st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_image_to_grid_is_resize_pad_resize(height, width, cells, seed):
    padded, grid = 64, 4 * cells
    resized = tuple(max(1, int(n * padded / max(height, width) + 0.5)) for n in (height, width))
    array = np.random.default_rng(seed).standard_normal((height, width))
    frame = np.zeros((padded, padded))
    frame[: resized[0], : resized[1]] = interpolate(array, resized)
    rows, columns = (image_to_grid(n, r, padded, grid) for n, r in zip((height, width), resized, strict=True))
    np.testing.assert_allclose(columns(rows(array).T).T, interpolate(frame, (grid, grid)), atol=1e-5)


@given(sizes, sizes, st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_grid_to_image_is_resize_crop_resize(height, width, cells, seed):
    padded, grid = 64, 4 * cells
    resized = tuple(max(1, int(n * padded / max(height, width) + 0.5)) for n in (height, width))
    logits = np.random.default_rng(seed).standard_normal((grid, grid))
    frame = interpolate(logits, (padded, padded))[: resized[0], : resized[1]]
    rows, columns = (grid_to_image(n, r, padded, grid) for n, r in zip((height, width), resized, strict=True))
    np.testing.assert_allclose(
        rows @ logits @ columns.T, interpolate(np.ascontiguousarray(frame), (height, width)), atol=1e-5
    )


@given(sizes, sizes, st.integers(1, 20), st.data())
def test_a_crop_is_an_image_that_is_zero_elsewhere(size, other, cells, data):
    resized = max(1, int(size * 64 / max(size, other) + 0.5))
    taps = image_to_grid(size, resized, 64, 4 * cells)
    start = data.draw(st.integers(0, size - 1))
    length = data.draw(st.integers(1, size - start))
    signal = np.zeros((size, 1), np.float32)
    signal[start : start + length] = np.random.default_rng(size).random((length, 1)) + 0.5
    factors = np.linspace(1, 2, length).astype(np.float32)
    first, cropped = taps.on_crop(start, length)
    for weights, whole in ((cropped, signal), (cropped.scaled(factors), signal.copy())):
        if weights is not cropped:
            whole[start : start + length] *= factors[:, None]
        expected = taps(whole)
        found = np.zeros_like(expected)
        part = weights(signal[start : start + length])
        found[first : first + len(part)] = part
        np.testing.assert_allclose(found, expected, atol=1e-6)
