"""Resizing on any device against PIL, to the bit."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from samref.backbones.fast.resampling import resized
from samref.backbones.sam_backbone import resolve_device

SIDES = st.integers(1, 90)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.integers(0, 2**32 - 1))
def test_pixels_are_pils(size, new_size, seed):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = np.array(Image.fromarray(image).resize(new_size[::-1], Image.Resampling.BILINEAR))
    found = resized(torch.from_numpy(image).to(resolve_device("auto")), new_size)
    assert np.array_equal(found.cpu().numpy(), expected)


def test_photos_of_usual_sizes_are_pils():
    random = np.random.default_rng(0)
    for size, new_size in (((480, 854), (576, 1024)), ((1700, 2500), (696, 1024)), ((1024, 600), (1024, 600))):
        image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        expected = np.array(Image.fromarray(image).resize(new_size[::-1], Image.Resampling.BILINEAR))
        assert np.array_equal(resized(torch.from_numpy(image), new_size).numpy(), expected)
