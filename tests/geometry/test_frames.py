import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.modeling import Sam
from segment_anything.utils.transforms import ResizeLongestSide

from samref.errors import InputError
from samref.geometry.frames import resized_size, scale_coords, upsample_logits

sides = st.integers(1, 3000)
sizes = st.tuples(sides, sides)


@given(sizes, st.sampled_from([64, 128, 1000, 1024]))
def test_resized_size_is_sams(size, img_size):
    reference = ResizeLongestSide.get_preprocess_shape(*size, img_size)
    assert resized_size(size, img_size) == tuple(max(1, side) for side in reference)


@given(sizes, st.sampled_from([1008, 1024]))
def test_a_stretched_image_fills_the_frame(size, img_size):
    assert resized_size(size, img_size, stretched=True) == (img_size, img_size)
    corner = np.array([[size[1] - 1, size[0] - 1]])
    moved = (scale_coords(corner, size, (img_size, img_size)) + 0.5)[0]
    # The last pixel's, half a pixel of the model frame added: within half an image pixel of the frame's end.
    assert (moved <= img_size + 0.5).all()
    assert (moved >= img_size - np.array([img_size / size[1], img_size / size[0]])).all()


def test_a_thin_image_keeps_a_row():
    assert resized_size((1, 5000), 1024) == (1, 1024)
    assert ResizeLongestSide.get_preprocess_shape(1, 5000, 1024)[0] == 0


@given(sizes, st.integers(0, 2**32 - 1))
def test_scaled_points_and_boxes_are_sams(size, seed):
    transform = ResizeLongestSide(1024)
    corners = np.random.default_rng(seed).uniform(0, 3000, (5, 2, 2)).astype(np.float32)
    input_size = transform.get_preprocess_shape(*size, 1024)
    expected = transform.apply_coords(corners, size).astype(np.float32)
    assert np.array_equal(scale_coords(corners, size, input_size), expected)
    boxes = corners.reshape(5, 4)
    assert np.array_equal(scale_coords(boxes, size, input_size), expected.reshape(5, 4))


def test_each_axis_has_its_own_factor():
    points = np.array([[10, 10]])
    assert scale_coords(points, (20, 40), (10, 80)).tolist() == [[20.0, 5.0]]


def test_neither_points_nor_boxes():
    with pytest.raises(InputError, match=r"shape \(2, 3\).*\(\.\.\., 2\)"):
        scale_coords(np.zeros((2, 3)), (4, 4), (8, 8))


@settings(max_examples=20, deadline=None)
@given(st.tuples(st.integers(8, 90), st.integers(8, 90)), st.integers(0, 2**32 - 1))
def test_upsampled_logits_are_sams(size, seed):
    class Encoder(torch.nn.Module):
        img_size = 64

    sam = Sam(Encoder(), torch.nn.Identity(), torch.nn.Identity())
    logits = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    input_size = resized_size(size, 64)
    expected = sam.postprocess_masks(logits, input_size, size)
    assert torch.equal(upsample_logits(logits, input_size, size, 64), expected)


def test_a_ramp_is_upsampled_by_hand():
    ramp = torch.tensor([[0.0, 1.0]]).expand(1, 1, 2, 2)
    row = upsample_logits(ramp, (2, 4), (2, 4), 4)[0, 0, 0]
    assert row.tolist() == [0.0, 0.25, 0.75, 1.0]


def test_no_masks_upsample_to_no_masks():
    assert upsample_logits(torch.zeros(0, 3, 16, 16), (48, 64), (30, 40), 64).shape == (0, 3, 30, 40)
