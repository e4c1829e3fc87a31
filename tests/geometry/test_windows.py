import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from samref.geometry.frames import resized_size
from samref.geometry.masks import crop_mask
from samref.geometry.windows import Window, regrid, window_around
from samref.prompts.gaussian import GaussianPrompt, gaussian_mask

IMG_SIZE, GRID = 512, (128, 128)


@st.composite
def boxes_in_images(draw):
    size = draw(st.tuples(st.integers(1, 4000), st.integers(1, 4000)))
    (y0, y1), (x0, x1) = (sorted(draw(st.tuples(*2 * [st.integers(0, length - 1)]))) for length in size)
    return (x0, y0, x1, y1), size


@given(case=boxes_in_images(), factor=st.floats(2, 6))
def test_a_window_lies_in_the_image_and_holds_its_box_with_room_around_it(case, factor):
    (x0, y0, x1, y1), (height, width) = case
    side = int(np.ceil(factor * (max(x1 - x0, y1 - y0) + 1)))
    window = window_around(*case, side)
    assert window.size == (min(side, height), min(side, width))
    assert min(window.x, window.y) >= 0
    assert window.x + window.width <= width
    assert window.y + window.height <= height
    room = side // 8 - 1
    for first, last, start, extent, length in (
        (x0, x1, window.x, window.width, width),
        (y0, y1, window.y, window.height, height),
    ):
        assert first - start >= room or start == 0
        assert start + extent - 1 - last >= room or start + extent == length


@given(case=boxes_in_images(), side=st.integers(1, 2000), shift=st.integers(0, 7))
def test_boxes_near_each_other_share_a_window_or_have_neighbouring_ones(case, side, shift):
    (x0, y0, x1, y1), size = case
    moved = min(x0 + shift, size[1] - 1), y0, min(x1 + shift, size[1] - 1), y1
    one, other = window_around((x0, y0, x1, y1), size, side), window_around(moved, size, side)
    assert one.y == other.y
    assert 0 <= other.x - one.x <= max(1, side // 4) * (shift // max(1, side // 4) + 1)


def test_a_mask_prompt_of_a_window_lies_where_the_images_own_would():
    size, window = (300, 420), Window(140, 60, 128, 128)
    mask = np.zeros(size, bool)
    mask[90:150, 180:230] = True
    prompt = GaussianPrompt(form="center", omega=15, gamma=4, background=-1, omega_expanded=None)
    sizes = resized_size(window.size, IMG_SIZE), resized_size(size, IMG_SIZE)
    own = gaussian_mask(crop_mask(np.ascontiguousarray(mask[window.slices])), prompt, sizes[0], IMG_SIZE, GRID)
    whole = gaussian_mask(crop_mask(mask), prompt, sizes[1], IMG_SIZE, GRID)
    moved = regrid(own, window, size, sizes, IMG_SIZE)
    assert moved.shape == whole.shape
    assert moved.min() == whole.min() == -15
    inside, expected = np.argwhere(moved > 0), np.argwhere(whole > 0)
    assert np.abs(inside.mean(axis=0) - expected.mean(axis=0)).max() < 0.2
    assert np.abs(inside.min(axis=0) - expected.min(axis=0)).max() <= 1
    assert np.abs(inside.max(axis=0) - expected.max(axis=0)).max() <= 1
