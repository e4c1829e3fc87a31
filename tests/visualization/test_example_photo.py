"""The photo that everything can be tried on."""

import numpy as np

from samref.visualization.example_photo import OUTLINES, example


def test_the_photo_is_on_this_disk_and_its_masks_are_inside_it():
    image, masks = example()
    assert image.shape == (512, 512, 3) and image.dtype == np.uint8
    assert masks.shape == (len(OUTLINES), 512, 512) and masks.dtype == bool
    assert all(0.1 < mask.mean() < 0.6 for mask in masks)
