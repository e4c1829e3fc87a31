"""The Gaussian-style mask prompt (paper, Eq. 3, and its released form)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from samref.errors import ConfigError
from samref.masks import MaskCrop
from samref.resampling import image_to_grid
from samref.structures import FloatArray

FORMS = ("center", "edt")


@dataclass(frozen=True)
class GaussianPrompt:
    """How the mask prompt is made.

    Attributes:
        omega: the paper's amplitude, in logits.
        gamma: the paper's width.
        form: `center` (Eq. 3: distance to the positive point) or `edt` (released code: distance-transform value).
        background: logit of the background in units of omega; -1 is what SAM wants, 0 the literal reading of Eq. 3.
        omega_expanded: amplitude for masks whose box CEBox has moved (released code: 1); None keeps omega.
    """

    omega: float
    gamma: float
    form: str
    background: float
    omega_expanded: float | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise ConfigError(f"prompts.mask.form is '{self.form}'; expected one of {', '.join(FORMS)}")
        if self.gamma <= 0:
            raise ConfigError(f"prompts.mask.gamma is {self.gamma}; expected a number above 0")


def gaussian_mask(
    crop: MaskCrop,
    inside: FloatArray,
    center: tuple[float, float],
    prompt: GaussianPrompt,
    input_size: tuple[int, int],
    img_size: int,
    mask_input_size: tuple[int, int],
    expanded: bool = False,
) -> FloatArray:
    """The mask prompt of one non-empty mask, on the logit grid.

    The mask as +1/-1 and the Gaussian (0 on the background) are each resized bilinearly to the resized image,
    padded (with -1 and 0) and resized bilinearly to the logit grid; the sign is taken after that. Both maps are
    linear in the mask, so they are computed from the mask's crop by one sparse product each.

    Args:
        crop: the mask.
        inside: `distance_inside(crop)`; used by the `edt` form only.
        center: (x, y) of the positive point, image px; used by the `center` form only.
        prompt: amplitude, width, form and background.
        input_size: (H', W') of the resized image in the model frame.
        img_size: side of the padded model frame.
        mask_input_size: (h, w) of the logit grid.
        expanded: whether CEBox moved a side of this mask's box.

    Returns:
        h x w float32 logits in [-omega, omega].
    """
    height, width = crop.mask.shape
    to_rows, to_columns = (
        image_to_grid(size, resized, img_size, grid)[:, start : start + length]
        for size, resized, grid, start, length in zip(
            crop.original_size, input_size, mask_input_size, (crop.y, crop.x), (height, width), strict=True
        )
    )
    mask = crop.mask.astype(np.float32)
    coverage = _resample(mask, to_rows, to_columns)
    if prompt.form == "center":
        # exp(-(dx^2 + dy^2) / s) is a product of a row and a column factor: they scale the matrices, not the mask.
        spread = crop.area * prompt.gamma
        factors_x = np.exp(-((np.arange(width) + crop.x - center[0]) ** 2) / spread)
        factors_y = np.exp(-((np.arange(height) + crop.y - center[1]) ** 2) / spread)
        gaussian = _resample(mask, _scale_columns(to_rows, factors_y), _scale_columns(to_columns, factors_x))
    else:
        depth = inside - inside.max()
        gaussian = _resample(np.exp(depth * depth * (-prompt.gamma / crop.area)) * mask, to_rows, to_columns)
    omega = prompt.omega_expanded if expanded and prompt.omega_expanded is not None else prompt.omega
    sign = np.where(coverage > 0.5, np.float32(omega), np.float32(prompt.background * omega))
    logits: FloatArray = sign * np.where(coverage > 0, gaussian, np.float32(1.0))
    return logits


def _resample(array: FloatArray, rows: csr_array, columns: csr_array) -> FloatArray:
    resampled: FloatArray = np.ascontiguousarray((columns @ (rows @ array).T).T)
    return resampled


def _scale_columns(matrix: csr_array, factors: FloatArray) -> csr_array:
    data = (matrix.data * factors[matrix.indices]).astype(np.float32)
    return csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
