"""Mask files of every encoding, read and written back."""

import pickle

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from samref.datasets.folder.mask_files import read_mask_file, write_binary_like, write_labels_like
from samref.errors import InputError
from samref.io.atomic import copy_file

SIZE = (24, 40)
COLORS = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [7] * 753 + [224, 224, 192]


def before():
    return np.indices(SIZE)[1] < 15


def after():
    return np.indices(SIZE)[0] < 11


def palette_image(values, palette=COLORS):
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette(palette)
    return image


def binary_files(folder, mask):
    """One file of each encoding people use."""
    gray = mask.astype(np.uint8)
    files = {
        "gray255.png": Image.fromarray(gray * 255),
        "gray1.png": Image.fromarray(gray),
        "bilevel.png": Image.fromarray(mask),
        "sixteen.png": Image.fromarray(gray.astype(np.uint16) * 65535),
        "sixteen255.png": Image.fromarray(gray.astype(np.uint16) * 255),
        "palette.png": palette_image(gray, [0, 0, 0, 250, 10, 10]),
        "rgb.png": Image.fromarray(gray * 255).convert("RGB"),
        "rgba.png": Image.fromarray(gray * 255).convert("RGBA"),
        "la.png": Image.fromarray(gray * 255).convert("LA"),
        "int.tif": Image.fromarray(gray.astype(np.int32)),
        "float.tif": Image.fromarray(gray.astype(np.float32)),
        "gray.tif": Image.fromarray(gray * 255),
        "bilevel.tif": Image.fromarray(mask),
        "gray.bmp": Image.fromarray(gray * 255),
        "rgb.webp": Image.fromarray(gray * 255).convert("RGB"),
        "gray.gif": Image.fromarray(gray * 255),
    }
    for name, image in files.items():
        image.save(folder / name, **({"lossless": True} if name.endswith("webp") else {}))
    return list(files)


def test_a_binary_mask_comes_back_in_its_own_mode_format_and_values(tmp_path):
    for name in binary_files(tmp_path, before()):
        content = read_mask_file(tmp_path / name)
        assert content.labels is None, name
        assert (content.masks == before()).all(), name
        target = tmp_path / "out" / name
        write_binary_like(tmp_path / name, target, after())
        source, written = Image.open(tmp_path / name), Image.open(target)
        assert (source.mode, source.format, source.size) == (written.mode, written.format, written.size), name
        assert set(np.unique(np.array(source))) == set(np.unique(np.array(written))), name
        assert source.getpalette() == written.getpalette(), name
        assert (read_mask_file(target).masks == after()).all(), name


def test_writing_the_same_mask_gives_the_same_pixels(tmp_path):
    for name in binary_files(tmp_path, before()):
        write_binary_like(tmp_path / name, tmp_path / "out" / name, before())
        assert (np.array(Image.open(tmp_path / name)) == np.array(Image.open(tmp_path / "out" / name))).all(), name


def test_a_jpeg_mask_stays_a_jpeg(tmp_path):
    Image.fromarray(before().astype(np.uint8) * 255).save(tmp_path / "m.jpg")
    write_binary_like(tmp_path / "m.jpg", tmp_path / "out.jpg", after())
    assert Image.open(tmp_path / "out.jpg").format == "JPEG"
    assert (read_mask_file(tmp_path / "out.jpg").masks == after()).all()


def test_text_and_resolution_of_a_png_are_kept(tmp_path):
    chunks = PngInfo()
    chunks.add_text("Author", "somebody")
    chunks.add_itxt("Titre", "été")
    image = Image.fromarray(before().astype(np.uint8) * 255)
    image.save(tmp_path / "m.png", pnginfo=chunks, dpi=(300, 300))
    write_binary_like(tmp_path / "m.png", tmp_path / "out.png", after())
    written = Image.open(tmp_path / "out.png")
    assert written.text == {"Author": "somebody", "Titre": "été"}
    assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_place_on_earth_and_compression_of_a_tiff_are_kept(tmp_path):
    image = Image.fromarray(before().astype(np.uint8) * 255)
    place = {33550: (0.5, 0.5, 0.0), 33922: (0.0, 0.0, 0.0, 10.0, 20.0, 0.0), 270: "a field"}
    info = ImageFileDirectory_v2()
    for tag, value in place.items():
        info[tag] = value
        info.tagtype[tag] = 2 if tag == 270 else 12
    image.save(tmp_path / "m.tif", tiffinfo=info, compression="tiff_deflate")
    write_binary_like(tmp_path / "m.tif", tmp_path / "out.tif", after())
    written = Image.open(tmp_path / "out.tif")
    assert {tag: written.tag_v2[tag] for tag in place} == place
    assert written.info["compression"] == "tiff_adobe_deflate"
    assert (read_mask_file(tmp_path / "out.tif").masks == after()).all()


def test_gray_masks_with_more_values_need_to_be_told(tmp_path):
    values = np.where(before(), 200, np.indices(SIZE)[1]).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=r"m\.png holds the values .* expected \{0, 1\} or \{0, 255\}"):
        read_mask_file(tmp_path / "m.png")
    assert (read_mask_file(tmp_path / "m.png", threshold=128).masks == (values >= 128)).all()
    assert read_mask_file(tmp_path / "m.png", label_maps=True).labels == (*range(15, 40), 200)
    write_binary_like(tmp_path / "m.png", tmp_path / "out.png", after(), threshold=128)
    assert (np.array(Image.open(tmp_path / "out.png")) == after() * 255).all()


def test_the_threshold_leaves_masks_of_two_values_alone(tmp_path):
    Image.fromarray(before().astype(np.uint8)).save(tmp_path / "m.png")
    assert (read_mask_file(tmp_path / "m.png", threshold=128).masks == before()).all()


def labels():
    values = np.zeros(SIZE, np.uint8)
    values[:8, :20], values[8:16, :20], values[:, 36:] = 2, 15, 255
    return values


def test_palette_images_with_labels_are_label_maps_with_255_ignored(tmp_path):
    palette_image(labels()).save(tmp_path / "m.png")
    content = read_mask_file(tmp_path / "m.png")
    assert content.labels == content.objects == (2, 15)
    assert (content.masks == np.stack([labels() == 2, labels() == 15])).all()
    with pytest.raises(InputError, match=r"4 colors of a palette, 1 of them black .*dataset\.label_maps=true"):
        read_mask_file(tmp_path / "m.png", label_maps=False)


def test_only_white_makes_255_of_a_palette_a_mask(tmp_path):
    values = np.where(before(), 255, 0)
    palette_image(values, [*COLORS[:-3], 255, 255, 255]).save(tmp_path / "white.png")
    palette_image(values).save(tmp_path / "voc.png")
    assert read_mask_file(tmp_path / "white.png").labels is None
    assert read_mask_file(tmp_path / "voc.png").labels == ()
    assert read_mask_file(tmp_path / "voc.png").masks.shape == (0, *SIZE)


def test_a_palette_of_grays_is_a_gray_mask(tmp_path):
    grays = [0, 0, 0, 255, 255, 255, 128, 128, 128]
    palette_image(before(), grays).save(tmp_path / "two.png")
    assert (read_mask_file(tmp_path / "two.png").masks == before()).all()
    palette_image(np.where(after(), 2, before()), grays).save(tmp_path / "three.png")
    with pytest.raises(InputError, match=r"\{0, 128, 255\}.*dataset\.threshold"):
        read_mask_file(tmp_path / "three.png")
    content = read_mask_file(tmp_path / "three.png", threshold=200)
    assert (content.masks[0] == (before() & ~after())).all()
    write_binary_like(tmp_path / "three.png", tmp_path / "out.png", after(), threshold=200)
    assert (np.array(Image.open(tmp_path / "out.png")) == after()).all()


def test_a_label_map_comes_back_with_palette_and_ignored_pixels(tmp_path):
    palette_image(labels()).save(tmp_path / "m.png")

    def paint(values):
        values[after()] = 2
        values[:, 10:39] = 15

    write_labels_like(tmp_path / "m.png", tmp_path / "out.png", paint)
    written = Image.open(tmp_path / "out.png")
    expected = np.zeros(SIZE, np.uint8)
    paint(expected)
    expected[:, 36:] = 255
    assert written.mode == "P"
    assert written.getpalette() == Image.open(tmp_path / "m.png").getpalette()
    assert (np.array(written) == expected).all()


def test_sixteen_bit_label_maps_hold_255_and_more_as_labels(tmp_path):
    values = np.zeros(SIZE, np.uint16)
    values[:5], values[5:9] = 255, 40000
    Image.fromarray(values).save(tmp_path / "m.png")
    assert read_mask_file(tmp_path / "m.png", label_maps=True).labels == (255, 40000)

    def paint(out):
        out[:3] = 40000

    write_labels_like(tmp_path / "m.png", tmp_path / "out.png", paint)
    assert np.array(Image.open(tmp_path / "out.png")).max() == 40000


def test_a_photo_taken_for_a_label_map_is_refused(tmp_path):
    Image.fromarray(np.arange(70 * 70, dtype=np.uint16).reshape(70, 70)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="holds 4899 different values"):
        read_mask_file(tmp_path / "m.png", label_maps=True)


def test_a_copy_is_the_same_bytes(tmp_path):
    (tmp_path / "m.png").write_bytes(b"whatever")
    copy_file(tmp_path / "m.png", tmp_path / "sub" / "m.png")
    assert (tmp_path / "sub" / "m.png").read_bytes() == b"whatever"


def test_what_was_read_is_enough_to_write_a_png_alike(tmp_path):
    for name in binary_files(tmp_path, before()):
        content = read_mask_file(tmp_path / name)
        assert (content.written is not None) == name.endswith(".png"), name
        if content.written is not None:
            style, levels = pickle.loads(pickle.dumps(content.written))
            style.save(tmp_path / "kept" / name, levels.stored(after()))
            write_binary_like(tmp_path / name, tmp_path / "again" / name, after())
            assert (tmp_path / "kept" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
