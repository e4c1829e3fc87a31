"""Resizing on any device against PIL, to the bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samref.backbones.device import resolve_device
from samref.backbones.fast.resampling import resized

SIDES = st.integers(1, 90)


def by_pil(image, size):
    height, width = size
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.integers(0, 2**32 - 1))
def test_pixels_are_pils_along_rows_and_then_columns(size, new_size, seed):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    found = resized(torch.from_numpy(image).to(resolve_device("auto")), new_size)
    assert np.array_equal(found.cpu().numpy(), by_pil(by_pil(image, (size[0], new_size[1])), new_size))


@pytest.mark.parametrize(
    ("size", "new_size"), [((480, 854), (576, 1024)), ((1700, 2500), (696, 1024)), ((1024, 600), (1024, 600))]
)
def test_photos_of_usual_sizes_are_what_pil_makes_in_one_call(size, new_size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    found, expected = resized(torch.from_numpy(image), new_size).numpy(), by_pil(image, new_size)
    # From Pillow 13 on smaller images may be made along columns first.
    assert np.abs(found - expected.astype(int)).max() <= (new_size[0] < size[0])
