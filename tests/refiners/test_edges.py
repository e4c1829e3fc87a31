import numpy as np
import pytest

from samref.refiners.edges import contour, edge_strength, edge_support

SIZE = (60, 80)


def square(x0, y0, x1, y1):
    mask = np.zeros(SIZE, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def picture(mask):
    image = np.full((*SIZE, 3), (40, 90, 60), np.uint8)
    image[mask] = (220, 60, 40)
    return image


def test_an_image_of_one_color_has_no_edges():
    assert edge_strength(np.full((*SIZE, 3), 77, np.uint8)).max() == 0


def test_edges_are_strongest_where_the_color_changes():
    strength = edge_strength(picture(square(20, 20, 50, 40)))
    assert strength.shape == SIZE
    assert strength.dtype == np.float32
    assert strength[30, 19:21].min() > 10 * strength[30, 35]


def test_a_contour_is_the_rim_inside_and_ends_at_the_images_border():
    assert np.count_nonzero(contour(square(20, 20, 30, 30))) == 4 * 9
    at_border = contour(square(0, 20, 10, 30))
    assert not at_border[22:28, 0].any()
    assert at_border[20:30, 9].all()


@pytest.mark.parametrize("other", [square(14, 14, 56, 46), square(26, 25, 45, 36), square(28, 28, 58, 48)])
def test_the_contour_on_the_objects_edge_is_supported(other):
    true = square(20, 20, 50, 40)
    strength = edge_strength(picture(true))
    assert edge_support(strength, true, other).for_refinement
    assert not edge_support(strength, other, true).for_refinement


def test_equal_masks_are_not_disputed_and_the_refinement_is_taken():
    mask = square(20, 20, 50, 40)
    support = edge_support(edge_strength(picture(mask)), mask, mask)
    assert not support.decided
    assert support.for_refinement
    assert support.distance == 0


def test_the_distance_is_that_between_the_contours():
    inner, outer = square(20, 20, 50, 40), square(15, 15, 55, 45)
    assert edge_support(edge_strength(picture(inner)), inner, outer).distance == pytest.approx(5, abs=0.01)


def test_an_empty_refinement_has_no_support():
    mask = square(20, 20, 50, 40)
    assert not edge_support(edge_strength(picture(mask)), np.zeros_like(mask), mask).decided
