"""Bilinear resizing as sparse matrices, so that chains of resizes become one product and crops stay cheap.

Resizing is linear and separable: an H x W array resized to h x w is `rows @ array @ columns.T`. Composing two
resizes is a matrix product of their (tiny) matrices, and applying the result to a crop only takes the crop's
columns of the matrices. All matrices follow `torch.nn.functional.interpolate(mode="bilinear",
align_corners=False, antialias=False)`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array


@lru_cache(maxsize=256)
def bilinear_matrix(size_in: int, size_out: int) -> csr_array:
    """The `size_out` x `size_in` matrix that resizes a signal bilinearly (float64, at most two taps a row).

    >>> bilinear_matrix(2, 4).toarray()
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    """
    source = np.maximum((np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5, 0.0)
    lower = np.minimum(source.astype(np.int64), size_in - 1)
    upper = np.minimum(lower + 1, size_in - 1)
    weight = source - lower
    rows = np.repeat(np.arange(size_out), 2)
    columns = np.stack([lower, upper], axis=1).ravel()
    values = np.stack([1.0 - weight, weight], axis=1).ravel()
    matrix = csr_array((values, (rows, columns)), shape=(size_out, size_in))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


@lru_cache(maxsize=256)
def image_to_grid(size: int, size_resized: int, size_padded: int, grid: int) -> csr_array:
    """One axis of image px -> resized image -> zero-padded model frame -> logit grid.

    Args:
        size: length of the image along the axis.
        size_resized: length of the resized image inside the model frame.
        size_padded: side of the padded model frame.
        grid: length of the logit grid.

    Returns:
        `grid` x `size` float32 matrix; pixels of the padding contribute 0.
    """
    to_grid = bilinear_matrix(size_padded, grid)[:, :size_resized]
    return csr_array((to_grid @ bilinear_matrix(size, size_resized)).astype(np.float32))


@lru_cache(maxsize=256)
def grid_to_image(size: int, size_resized: int, size_padded: int, grid: int) -> csr_array:
    """One axis of SAM's upsampling: logit grid -> padded model frame -> crop -> image px.

    Returns:
        `size` x `grid` float32 matrix.
    """
    to_model = bilinear_matrix(grid, size_padded)[:size_resized]
    return csr_array((bilinear_matrix(size_resized, size) @ to_model).astype(np.float32))
