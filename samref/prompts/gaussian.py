"""The Gaussian-style mask prompt (paper, Eq. 3, and its released form)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samref.errors import ConfigError
from samref.geometry.masks import MaskCrop, distance_inside
from samref.geometry.resize import Taps, image_to_grid
from samref.structures import FloatArray

FORMS = ("center", "edt", "coarse")
# A cell that is exactly half covered is background, whatever its last bit in single precision is.
HALF = np.float32(0.5 + 1e-6)


@dataclass(frozen=True)
class GaussianPrompt:
    """How the mask prompt is made.

    Attributes:
        omega: the paper's amplitude, in logits.
        gamma: the paper's width.
        form: `center` (Eq. 3: distance to the positive point), `edt` (released code: distance-transform value) or
            `coarse` (the coarse mask itself, 1 inside and 0 outside; the other parameters have no effect).
        background: logit of the background in units of omega; -1 is what SAM wants, 0 the literal reading of Eq. 3.
        omega_expanded: amplitude for masks whose box CEBox has moved (released code: 1); None keeps omega.

    Raises:
        ConfigError: for an unknown form, or a gamma that is not above 0.
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
    prompt: GaussianPrompt,
    input_size: tuple[int, int],
    img_size: int,
    mask_input_size: tuple[int, int],
    expanded: bool = False,
) -> FloatArray:
    """The mask prompt of one non-empty mask, on the logit grid.

    The mask as +1/-1 and the Gaussian (0 on the background) are each resized bilinearly to the resized image,
    padded (with -1 and 0) and resized bilinearly to the logit grid; the sign is taken after that. Both maps are
    linear in the mask, so they are computed from the mask's crop, where the grid sees it, in one step an axis.

    Args:
        crop: the mask. The Gaussian's center is its innermost point.
        prompt: amplitude, width, form and background.
        input_size: (H', W') of the resized image in the model frame.
        img_size: side of the padded model frame.
        mask_input_size: (h, w) of the logit grid.
        expanded: whether CEBox moved a side of this mask's box.

    Returns:
        h x w float32 logits in [-omega, omega]; in [0, 1] for the coarse mask itself.
    """
    (top, rows), (left, columns) = (
        image_to_grid(size, resized, img_size, grid).on_crop(start, length)
        for size, resized, grid, start, length in zip(
            crop.original_size, input_size, mask_input_size, (crop.y, crop.x), crop.mask.shape, strict=True
        )
    )
    mask = crop.mask.astype(np.float32)
    coverage = _resample(mask, rows, columns)
    if prompt.form == "coarse":
        gaussian = coverage
    elif prompt.form == "center":
        # exp(-(dx^2 + dy^2) / s) is a product of a row and a column factor: they scale the weights, not the mask.
        factors_x, factors_y = (
            np.exp(-((np.arange(length) + start - center) ** 2) / (crop.area * prompt.gamma)).astype(np.float32)
            for length, start, center in zip(mask.shape[::-1], (crop.x, crop.y), crop.innermost, strict=True)
        )
        gaussian = _resample(mask, rows.scaled(factors_y), columns.scaled(factors_x))
    else:
        inside = distance_inside(crop)
        depth = inside - inside.max()
        gaussian = _resample(np.exp(depth * depth * (-prompt.gamma / crop.area)) * mask, rows, columns)
    omega = prompt.omega_expanded if expanded and prompt.omega_expanded is not None else prompt.omega
    background = np.float32(prompt.background * omega)
    if prompt.form == "coarse":
        omega, background = 1.0, np.float32(0)
    sign = np.where(coverage > HALF, np.float32(omega), background)
    logits = np.full(mask_input_size, background, dtype=np.float32)
    seen = slice(top, top + coverage.shape[0]), slice(left, left + coverage.shape[1])
    logits[seen] = sign * np.where(coverage > 0, gaussian, np.float32(1.0))
    return logits


def _resample(array: FloatArray, rows: Taps, columns: Taps) -> FloatArray:
    # Entire rows are gathered on both axes, which memory is fastest at.
    return columns(np.ascontiguousarray(rows(array).T)).T
