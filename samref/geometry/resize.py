"""Bilinear resizing as sparse matrices, so that chains of resizes become one product and crops stay cheap.

Resizing is linear and separable: an H x W array resized to h x w is `rows @ array @ columns.T`. Composing two
resizes is a matrix product of their (tiny) matrices, and applying the result to a crop only takes the crop's
columns of the matrices. All matrices follow `torch.nn.functional.interpolate(mode="bilinear",
align_corners=False, antialias=False)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from samref.structures import FloatArray, IntArray


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


@dataclass(frozen=True)
class Taps:
    """One axis of a resampling: output i is the sum over k of `weight[k, i] * input[index[k, i]]`.

    Attributes:
        index: K x n int64.
        weight: K x n float32; 0 fills up outputs with fewer than K inputs.
    """

    index: IntArray
    weight: FloatArray

    @classmethod
    def of(cls, matrix: csr_array) -> Taps:
        """The taps of a sparse matrix, outputs x inputs."""
        counts = np.diff(matrix.indptr)
        index = np.zeros((max(1, counts.max(initial=0)), matrix.shape[0]), dtype=np.int64)
        weight = np.zeros(index.shape, dtype=np.float32)
        output = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(matrix.nnz) - matrix.indptr[output]
        index[place, output], weight[place, output] = matrix.indices, matrix.data
        return cls(index, weight)

    def on_crop(self, start: int, length: int) -> tuple[int, Taps]:
        """The taps for an input that is 0 outside `start` to `start + length`, which is all that is given.

        Returns:
            The first output that sees the crop, and the taps of the outputs from there to the last one that does.
        """
        seen = (self.index >= start) & (self.index < start + length) & (self.weight != 0)
        outputs = np.flatnonzero(seen.any(axis=0))
        if not len(outputs):
            return 0, Taps(self.index[:, :0], self.weight[:, :0])
        span = slice(outputs[0], outputs[-1] + 1)
        index = np.clip(self.index[:, span] - start, 0, length - 1)
        return int(outputs[0]), Taps(index, self.weight[:, span] * seen[:, span])

    def scaled(self, factors: FloatArray) -> Taps:
        """The taps for an input whose entries are multiplied by `factors` first."""
        return Taps(self.index, self.weight * factors[self.index])

    def __call__(self, array: FloatArray) -> FloatArray:
        """Resamples the first axis of an m x w array: n x w float32."""
        total = array[self.index[0]] * self.weight[0][:, None]
        for index, weight in zip(self.index[1:], self.weight[1:], strict=True):
            total += array[index] * weight[:, None]
        resampled: FloatArray = total
        return resampled


@lru_cache(maxsize=256)
def image_to_grid(size: int, size_resized: int, size_padded: int, grid: int) -> Taps:
    """One axis of image px -> resized image -> zero-padded model frame -> logit grid.

    Args:
        size: length of the image along the axis.
        size_resized: length of the resized image inside the model frame.
        size_padded: side of the padded model frame.
        grid: length of the logit grid.

    Returns:
        From `size` to `grid` entries; pixels of the padding contribute 0.
    """
    to_grid = bilinear_matrix(size_padded, grid)[:, :size_resized]
    return Taps.of(csr_array(to_grid @ bilinear_matrix(size, size_resized)))


@lru_cache(maxsize=256)
def grid_to_image(size: int, size_resized: int, size_padded: int, grid: int) -> csr_array:
    """One axis of SAM's upsampling: logit grid -> padded model frame -> crop -> image px.

    Returns:
        `size` x `grid` float32 matrix, indices in order.
    """
    to_model = bilinear_matrix(grid, size_padded)[:size_resized]
    matrix = csr_array((bilinear_matrix(size_resized, size) @ to_model).astype(np.float32))
    matrix.sort_indices()
    return matrix


@lru_cache(maxsize=256)
def spans(size: int, size_resized: int, size_padded: int, grid: int) -> tuple[IntArray, IntArray]:
    """First and last grid entry that each image pixel of `grid_to_image` sees; both grow along the axis."""
    matrix = grid_to_image(size, size_resized, size_padded, grid)
    return matrix.indices[matrix.indptr[:-1]], matrix.indices[matrix.indptr[1:] - 1]
