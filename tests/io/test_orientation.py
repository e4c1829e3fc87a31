"""Photos with an EXIF orientation, and masks drawn on the turned picture or on the pixels as they are stored."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from samref.errors import ConfigError, InputError
from samref.io.orientation import check_orientation, contour_contrast, frame_sizes, read_image_of

SIZE = (120, 160)


def scene(size):
    """A dark disk off the center of a gradient."""
    y, x = np.indices(size)
    mask = (y - size[0] * 0.35) ** 2 + (x - size[1] * 0.7) ** 2 < (min(size) * 0.2) ** 2
    picture = np.stack([60 + x * 40 // size[1], 110 + 0 * x, 70 + 0 * y], axis=2)
    picture[mask] = (210, 60, 50)
    return picture.astype(np.uint8), mask


def coarse(mask):
    return np.roll(mask, 3, axis=1) | mask


def save(path, picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(path, exif=exif)
    return path


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("size", [SIZE, (150, 150)])
@pytest.mark.parametrize("drawn", ["turned", "stored"])
def test_the_picture_is_turned_as_its_masks_were_drawn(tmp_path, orientation, size, drawn):
    picture, mask = scene(size)
    path = save(tmp_path / "a.png", picture, orientation)
    turned = np.array(ImageOps.exif_transpose(Image.open(path)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    flag = Image.fromarray(mask)
    flag.getexif()[0x0112] = orientation
    turned_mask = np.array(ImageOps.exif_transpose(flag))
    expected, drawn_on = (picture, mask) if drawn == "stored" else (turned, turned_mask)
    found, warnings = read_image_of(path, coarse(drawn_on)[None])
    assert (found == expected).all()
    by_size = len(set(size)) == 2 and orientation > 4
    assert bool(warnings) == (drawn == "stored" and not by_size)
    assert frame_sizes(path) == (turned.shape[:2], size)
    for choice, picked in (("turned", turned), ("stored", picture)):
        assert (read_image_of(path, drawn_on[None], choice)[0] == picked).all()


def test_masks_that_do_not_decide_are_an_error(tmp_path):
    picture = np.full((*SIZE, 3), 90, np.uint8)
    path = save(tmp_path / "a.png", picture, 3)
    with pytest.raises(InputError, match=r"EXIF orientation 3 \(turned by 180 degrees\).*dataset\.orientation=turned"):
        read_image_of(path, scene(SIZE)[1][None])
    assert read_image_of(path, np.zeros((1, *SIZE), bool))[1] == ()
    assert read_image_of(path, np.zeros((0, *SIZE), bool))[1] == ()


def test_without_an_orientation_nothing_is_compared(tmp_path):
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "a.png")
    assert read_image_of(tmp_path / "a.png", scene(SIZE)[1][None])[1] == ()


def test_colors_differ_at_the_contour_of_an_object():
    picture, mask = scene(SIZE)
    assert contour_contrast(picture, mask[None]) > 0.9
    assert contour_contrast(picture, np.roll(mask, 60, axis=1)[None]) < 0.5
    assert contour_contrast(picture, np.zeros((1, *SIZE), bool)) == 0


def test_the_option_takes_three_values():
    assert check_orientation("stored") == "stored"
    with pytest.raises(ConfigError, match=r"dataset\.orientation is 'up'"):
        check_orientation("up")
