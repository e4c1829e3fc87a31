import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from samref.errors import InputError
from samref.io.brush_rle import decode_brush, encode_brush

# What mask2rle of label-studio-sdk 2.1 makes of MASK.
MASK = np.array([[0, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]], bool)
SDK = [0, 0, 0, 60, 57, 27, 252, 96, 19, 255, 206, 1, 132, 255, 239, 128, 71, 254]


@settings(max_examples=40, deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.booleans()))
def test_every_mask_comes_back(mask):
    assert (decode_brush(encode_brush(mask), mask.shape) == mask).all()


def test_long_runs_come_back():
    mask = np.zeros((300, 400), bool)
    mask[100:250] = True
    assert (decode_brush(encode_brush(mask), mask.shape) == mask).all()


def test_it_is_label_studios_code():
    assert (decode_brush(SDK, MASK.shape) == MASK).all()
    assert encode_brush(MASK) == SDK


def test_words_that_are_not_repeated_are_read():
    head = f"{4:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    text = head + "0" + "00" + f"{3:03b}" + "".join(f"{value:08b}" for value in (1, 2, 3, 200))
    text += "0" * (-len(text) % 8)
    assert decode_brush([int(text[k : k + 8], 2) for k in range(0, len(text), 8)], (1, 1)).tolist() == [[True]]


@pytest.mark.parametrize("rle", [[], [300], SDK[:-3], ["a"], None])
def test_what_is_broken_is_refused(rle):
    with pytest.raises(InputError, match="run lengths"):
        decode_brush(rle, MASK.shape)


def test_another_size_is_refused():
    with pytest.raises(InputError, match="of 15 pixels; expected 4 x 5"):
        decode_brush(SDK, (4, 5))
