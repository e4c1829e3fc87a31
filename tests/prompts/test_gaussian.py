import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from torch.nn import functional as F

from samref.errors import ConfigError
from samref.geometry.masks import crop_mask
from samref.prompts.gaussian import GaussianPrompt, gaussian_mask
from tests.strategies import masks

IMG_SIZE, GRID = 64, (16, 16)


def input_size(mask):
    return tuple(max(1, int(n * IMG_SIZE / max(mask.shape) + 0.5)) for n in mask.shape)


def fast(mask, prompt, expanded=False):
    crop = crop_mask(mask)
    return gaussian_mask(crop, prompt, input_size(mask), IMG_SIZE, GRID, expanded)


def resize(array, size):
    return F.interpolate(torch.from_numpy(array)[None, None], size, mode="bilinear", align_corners=False)[0, 0].numpy()


def to_grid(array, size, fill):
    frame = np.full((IMG_SIZE, IMG_SIZE), fill)
    frame[: size[0], : size[1]] = resize(array, size)
    return resize(frame, GRID)


def plain(mask, prompt):
    """The steps as the method states them, on whole images; also marks where a sign is too close to call."""
    distance = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1] if mask.all() else distance_transform_edt(mask)
    if prompt.form == "center":
        y0, x0 = np.unravel_index(np.round(distance**2).argmax(), mask.shape)
        y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
        gaussian = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (mask.sum() * prompt.gamma))
    else:
        gaussian = np.exp(-((distance - distance.max()) ** 2) * prompt.gamma / mask.sum())
    gaussian = to_grid(gaussian * mask, input_size(mask), 0.0)
    signed = to_grid(np.where(mask, 1.0, -1.0), input_size(mask), -1.0)
    sign = np.where(signed > 0, 1.0, prompt.background)
    return prompt.omega * sign * np.where(gaussian > 0, gaussian, 1.0), np.abs(signed) < 1e-5


@settings(max_examples=60)
@given(
    masks(min_side=4),
    st.sampled_from(["center", "edt"]),
    st.floats(0.5, 40),
    st.floats(2.0, 20),
    st.sampled_from([-1.0, 0.0]),
)
def test_one_step_an_axis_equals_the_stated_steps(mask, form, omega, gamma, background):
    prompt = GaussianPrompt(omega, gamma, form, background)
    expected, undecided = plain(mask, prompt)
    np.testing.assert_allclose(fast(mask, prompt)[~undecided], expected[~undecided], rtol=1e-4, atol=1e-4 * omega)


def test_a_square_solved_by_hand():
    mask = np.zeros((64, 64), dtype=bool)
    mask[16:48, 16:48] = True
    logits = fast(mask, GaussianPrompt(15, 4, "center", -1))
    # Cell (7, 7) covers rows and columns 28..31 and samples the mean of 29 and 30; the positive point is (31, 31).
    offsets = np.exp(-((np.array([29.0, 30.0]) - 31) ** 2) / (32 * 32 * 4)).mean()
    assert logits[7, 7] == pytest.approx(15 * offsets**2, rel=1e-5)
    assert logits[0, 0] == -15


@settings(max_examples=40)
@given(masks(min_side=4))
def test_a_gaussian_without_end_is_the_coarse_mask_itself_where_the_background_is_zero(mask):
    original = fast(mask, GaussianPrompt(15, 4, "coarse", -1))
    np.testing.assert_allclose(fast(mask, GaussianPrompt(1, 1e30, "center", 0)), original, atol=1e-6)
    assert original.min() >= 0
    assert original.max() <= 1 + 1e-6


def test_with_a_negative_background_a_gaussian_never_becomes_the_coarse_mask_itself():
    mask = np.zeros((32, 32), dtype=bool)
    mask[8:24, 8:24] = True
    difference = fast(mask, GaussianPrompt(1, 1e30, "center", -1)) - fast(mask, GaussianPrompt(15, 4, "coarse", -1))
    assert difference.min() == -1


def test_background_zero_is_the_literal_reading_of_equation_3():
    mask = np.zeros((32, 32), dtype=bool)
    mask[8:24, 8:24] = True
    logits = fast(mask, GaussianPrompt(15, 4, "center", 0))
    assert logits.min() == 0
    assert logits.max() > 14


def test_foreground_far_from_the_center_stays_foreground():
    mask = np.zeros((8, 64), dtype=bool)
    mask[:4] = True
    logits = fast(mask, GaussianPrompt(15, 1e-3, "center", -1))
    assert 0 <= logits[0, -1] < 1e-6
    assert logits[0, 1] > 0


def test_released_amplitude_applies_to_expanded_masks_alone():
    mask = np.zeros((32, 32), dtype=bool)
    mask[8:24, 8:24] = True
    prompt = GaussianPrompt(30, 4, "edt", -1, omega_expanded=1)
    assert np.abs(fast(mask, prompt, expanded=True)).max() == pytest.approx(1, abs=1e-6)
    assert np.abs(fast(mask, prompt, expanded=False)).max() == pytest.approx(30, abs=1e-4)


@pytest.mark.parametrize("options", [{"form": "round"}, {"gamma": 0}])
def test_values_without_meaning_are_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        GaussianPrompt(**({"omega": 15, "gamma": 4, "form": "edt", "background": -1} | options))
