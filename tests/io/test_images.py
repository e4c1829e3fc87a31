"""Image files as users have them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from samref.errors import InputError
from samref.io import images
from samref.io.images import image_size, read_image

SIZE = (24, 40)


@pytest.fixture
def photo():
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 256, (6, 10, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp", "jpg"])
def test_every_format_gives_the_same_rgb(tmp_path, photo, suffix):
    Image.fromarray(photo).save(tmp_path / f"a.{suffix}", lossless=True, quality=100, subsampling=0)
    found = read_image(tmp_path / f"a.{suffix}")
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - photo).mean() < (4 if suffix == "jpg" else 1e-9)


@pytest.mark.parametrize(("mode", "suffix"), [("L", "png"), ("1", "png"), ("LA", "png"), ("P", "png"), ("P", "gif")])
def test_gray_bilevel_and_palette_images_come_as_rgb(tmp_path, photo, mode, suffix):
    image = Image.fromarray(photo).convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    assert (read_image(tmp_path / f"a.{suffix}") == np.array(image.convert("RGB"))).all()


def test_cmyk_keeps_its_colors(tmp_path, photo):
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "a.tif")
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - photo).max() <= 2


def test_transparent_pixels_are_white_and_opaque_ones_untouched(tmp_path, photo):
    alpha = np.full(SIZE, 255, np.uint8)
    alpha[:5] = 0
    Image.fromarray(np.dstack([photo, alpha])).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png")
    assert (found[:5] == 255).all()
    assert (found[5:] == photo[5:]).all()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sixteen_bit_files_use_the_range_of_their_sensor(tmp_path, bits):
    values = np.linspace(0, 2**bits - 1, SIZE[0] * SIZE[1]).round().astype(np.uint16).reshape(SIZE)
    Image.fromarray(values).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png")
    assert found.shape == (*SIZE, 3)
    assert found.min() == 0
    assert found.max() == 255
    assert (np.diff(found[..., 0].ravel().astype(int)) >= 0).all()


def test_float_images_are_read_and_impossible_ones_refused(tmp_path):
    Image.fromarray(np.linspace(0, 1, 960, dtype=np.float32).reshape(SIZE)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").max() == 255
    Image.fromarray(np.full(SIZE, -3, np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(InputError, match=r"b\.tif.*-3.*expected 0 to 65535"):
        read_image(tmp_path / "b.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, photo, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / "a.png", exif=exif)
    turns = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud}
    turns |= {5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1)}
    turns |= {7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90}
    found = read_image(tmp_path / "a.png")
    assert (found == turns[orientation](photo)).all()
    assert image_size(tmp_path / "a.png") == found.shape[:2]
    assert (read_image(tmp_path / "a.png", stored=True) == photo).all()


def test_thirty_megapixels_are_read_and_bombs_refused_before_decoding(tmp_path, monkeypatch):
    Image.new("L", (6000, 5000)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (5000, 6000, 3)
    Image.new("1", (14000, 14000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(images, "_load", None)
    with pytest.raises(InputError, match=r"bomb\.png has more than 150 million pixels"):
        read_image(tmp_path / "bomb.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "webp"])
@settings(max_examples=12)
@given(share=st.floats(0, 0.95))
def test_a_truncated_file_is_one_sentence_that_names_it(tmp_path_factory, suffix, share):
    path = tmp_path_factory.mktemp("cut") / f"a.{suffix}"
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=rf"image .*a\.{suffix}.*") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@settings(max_examples=40)
@given(place=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_one_flipped_bit_in_a_png_never_comes_out_as_other_pixels(tmp_path_factory, place, bit):
    path = tmp_path_factory.mktemp("flip") / "a.png"
    pixels = np.random.default_rng(2).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(bytes(data))
    try:
        found = read_image(path)
    except InputError:
        return
    assert (found == pixels).all()


@pytest.mark.parametrize(("content", "words"), [(b"", "is empty"), (b"hello", "is not an image"), (None, "is missing")])
def test_files_that_are_no_images_are_named(tmp_path, content, words):
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.png {words}"):
        read_image(path)
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


def test_a_name_that_is_not_utf8_is_named_without_crashing(tmp_path):
    path = tmp_path / b"caf\xe9.png".decode("utf-8", "surrogateescape")
    with pytest.raises(InputError, match="missing") as caught:
        read_image(path)
    str(caught.value).encode("utf-8")
