"""Masks of another size than their image's."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from samref.datasets.folder.folder import Folder
from samref.datasets.folder.scaling import enlarged, reduced
from samref.errors import ConfigError, InputError
from tests.datasets.shapes.round_trip import files_below, write_all
from tests.factories import blob, save_mask, save_photo

SIZE = (48, 80)


def made(folder, shape, labels=False):
    save_photo(folder / "images" / "a.png", SIZE, 1)
    mask = blob(shape, 3)
    if labels:
        values = mask.astype(np.uint8)
        values[: shape[0] // 3] *= 2
        image = Image.fromarray(values)
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [9] * 759)
        (folder / "masks").mkdir()
        image.save(folder / "masks" / "a.png")
    else:
        save_mask(folder / "masks" / "a.png", mask)
    return folder


@pytest.mark.parametrize("shape", [(24, 40), (23, 40), (31, 53), (96, 160)])
@pytest.mark.parametrize("labels", [False, True])
def test_they_are_refined_at_the_images_size_and_written_at_their_own(tmp_path, shape, labels):
    folder = made(tmp_path, shape, labels)
    data = Folder(folder / "images", folder / "masks", mask_size="any")
    assert data[0].masks.shape[1:] == SIZE
    held = write_all(data, tmp_path / "out", lambda mask: np.roll(mask, 5, axis=1))["a"]
    written = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    assert written.shape == shape
    for value, mask in zip((1, 2) if labels else (255,), held.values(), strict=True):
        assert ((written == value) == reduced(mask, shape)).all()


def test_nothing_refined_gives_the_same_bytes(tmp_path):
    folder = made(tmp_path, (24, 40))
    write_all(Folder(folder / "images", folder / "masks", mask_size="any"), tmp_path / "out")
    assert files_below(tmp_path / "out") == files_below(folder / "masks")


def test_another_shape_is_another_picture(tmp_path):
    folder = made(tmp_path, (24, 24))
    with pytest.raises(InputError, match="24 x 24"):
        Folder(folder / "images", folder / "masks", mask_size="any")[0]


def test_without_the_option_another_size_is_refused_and_the_option_is_named(tmp_path):
    folder = made(tmp_path, (24, 40))
    with pytest.raises(InputError, match=r"dataset\.mask_size=any"):
        Folder(folder / "images", folder / "masks")[0]
    with pytest.raises(ConfigError, match="expected image or any"):
        Folder(folder / "images", folder / "masks", mask_size="half")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_whole_factors_lose_nothing(seed, factor):
    mask = np.random.default_rng(seed).random((7, 9)) < 0.5
    large = enlarged(mask[None], (7 * factor, 9 * factor))[0]
    assert (reduced(large, (7, 9)) == mask).all()
    assert (large == cv2.resize(mask.astype(np.uint8), None, fx=factor, fy=factor, interpolation=0).astype(bool)).all()
