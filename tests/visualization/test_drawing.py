"""Masks, points, boxes and captions land where they belong on a picture of another size."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samref.visualization.drawing import (
    BACKGROUND,
    BOX,
    CAPTION_HEIGHT,
    FOREGROUND,
    GAP,
    View,
    captioned,
    outlined,
    stack_rows,
    stack_table,
    with_box,
    with_heat,
    with_points,
)
from tests.factories import blob, photo

GRAY = np.full((50, 80, 3), 90, np.uint8)


def places(canvas, color):
    """(x0, y0, x1, y1) around the pixels of a color."""
    y, x = np.nonzero((canvas == color).all(axis=-1))
    return x.min(), y.min(), x.max(), y.max()


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), longest=st.integers(1, 300))
def test_a_view_has_its_longest_side_and_keeps_the_ratio(height, width, longest):
    view = View.of(np.zeros((height, width, 3), np.uint8), longest)
    shown = view.picture.shape[:2]
    assert max(shown) == longest
    assert min(shown) == max(1, round(min(height, width) * longest / max(height, width)))
    assert view.masks(np.ones((2, height, width), bool)).all()
    assert view.masks(np.zeros((0, height, width), bool)).shape == (0, *shown)


@pytest.mark.parametrize("longest", [80, 40, 240])
def test_masks_points_and_boxes_scale_alike(longest):
    view = View.of(GRAY, longest)
    factor = longest / 80
    mask = np.zeros((1, 50, 80), bool)
    mask[0, 10:30, 20:60] = True
    y, x = np.nonzero(view.masks(mask)[0])
    assert (x.min(), x.max() + 1, y.min(), y.max() + 1) == tuple(factor * v for v in (20, 60, 10, 30))
    boxed = places(with_box(view.picture, view, (20, 10, 59, 29)), BOX)
    assert np.abs(np.subtract(boxed, (20 * factor, 10 * factor, 60 * factor - 1, 30 * factor - 1))).max() <= 1
    points = with_points(view.picture, view, np.float32([[40, 25], [10, 10], [70, 40]]), np.array([1, 0, -1]))
    for color, (px, py) in ((FOREGROUND, (40, 25)), (BACKGROUND, (10, 10))):
        x0, y0, x1, y1 = places(points, color)
        assert abs((x0 + x1) / 2 - ((px + 0.5) * factor - 0.5)) <= 1
        assert abs((y0 + y1) / 2 - ((py + 0.5) * factor - 0.5)) <= 1
    untouched = view.point(70, 40)
    assert (points[untouched[1], untouched[0]] == 90).all()


def test_outlines_tint_the_inside_only_and_leave_the_image_alone():
    image = photo((60, 90), 0)
    before, mask = image.copy(), blob((60, 90), 1)
    drawn = outlined(image, mask[None], thickness=1, colors=((255, 0, 0),))
    assert (image == before).all()
    changed = (drawn != image).any(axis=-1)
    assert changed[mask].mean() > 0.95
    # The line is smoothed over the pixels beside it.
    assert not changed[cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) == 0].any()
    assert (outlined(image, mask[None], thickness=1, tint=0) != image).any(axis=-1).sum() < mask.sum()


def test_heat_covers_hot_places_and_spares_cold_ones():
    heat = np.zeros((50, 80), np.float32)
    heat[20:30, 20:30] = 1
    drawn = with_heat(GRAY, heat)
    assert (drawn[heat == 0] == GRAY[heat == 0]).all()
    assert (drawn[heat == 1] != 90).any(axis=-1).all()
    assert (with_heat(GRAY, heat, even=True)[0, 0] != 90).any()


@pytest.mark.parametrize("caption", ["a", "a very long caption " * 12])
def test_a_caption_adds_a_strip_and_never_widens_the_picture(caption):
    framed = captioned(GRAY, caption)
    assert framed.shape == (50 + CAPTION_HEIGHT + GAP, 80 + GAP, 3)
    assert (framed[:CAPTION_HEIGHT, :80] < 200).any()
    assert (framed[CAPTION_HEIGHT:-GAP, :-GAP] == GRAY).all()
    assert (captioned(GRAY, caption, strong=True)[CAPTION_HEIGHT:-GAP, :-GAP] != GRAY).any()


def test_pictures_of_a_table_stand_in_columns():
    wide, low = np.full((50, 100, 3), 7, np.uint8), np.full((30, 60, 3), 9, np.uint8)
    table = stack_table([[GRAY, wide], [low, GRAY[:, :40], GRAY]])
    assert table.shape == (100, 80 + 100 + 80, 3)
    assert (table[:50, 80:180] == 7).all() and (table[50:80, :60] == 9).all()
    assert (table[50:, 80:120] == GRAY[:, :40]).all() and (table[50:, 180:] == GRAY).all()
    for empty in (table[:50, 180:], table[80:, :80], table[50:, 60:80], table[50:, 120:180]):
        assert (empty == 255).all()


def test_an_enlarged_outline_has_no_steps_of_pixels():
    image, mask = np.zeros((16, 16, 3), np.uint8), np.tri(16, dtype=bool)
    view = View.of(image, 160)
    enlarged = view.masks(mask[None])[0]
    steps = np.abs(np.diff(enlarged.argmin(axis=1)[10:-10]))
    assert steps.max() < 10


def test_rows_of_unequal_width_stand_on_white():
    stacked = stack_rows([GRAY, GRAY[:, :40]])
    assert stacked.shape == (100, 80, 3)
    assert (stacked[50:, 40:] == 255).all()
