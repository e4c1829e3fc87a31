"""Mask files, read by what they show; what is lossy or could mean two things is one sentence."""

import numpy as np
import pytest
from PIL import Image

from samref.errors import InputError
from samref.io.images import opened
from samref.io.masks import decode_binary, distinct_values, read_labels, read_mask

SIZE = (24, 40)
WHITE, BLACK, RED, GRAY = (255, 255, 255), (0, 0, 0), (220, 20, 30), (128, 128, 128)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def checker(size=SIZE):
    return (np.indices(size).sum(0) // 5 % 2).astype(bool)


def disk(size=(120, 160)):
    y, x = np.indices(size)
    return (y - 60) ** 2 + (x - 80) ** 2 < 40**2


def decode(path, threshold=None):
    with opened(path, "mask") as image:
        return decode_binary(image, path, threshold)


def save_palette(path, indices, colors, **options):
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette([value for color in colors for value in color])
    image.save(path, **options)
    return path


def save_colors(path, indices, colors):
    Image.fromarray(np.array(colors, np.uint8)[indices.astype(int)]).save(path)
    return path


def save_values(path, values, mode=None):
    image = Image.fromarray(values)
    (image if mode is None else image.convert(mode)).save(path)
    return path


@pytest.mark.parametrize("top", [1, 255])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "I;16", "F"])
def test_binary_masks_of_every_mode(tmp_path, top, mode):
    values = checker().astype(np.uint8) * top
    path = tmp_path / f"m.{'tif' if mode == 'F' else 'png'}"
    save_values(path, values.astype(np.uint16) if mode == "I;16" else values, None if mode == "I;16" else mode)
    assert (read_mask(path) == checker()).all()


def test_bilevel_palette_and_jpeg_masks(tmp_path):
    Image.fromarray(checker()).save(tmp_path / "one.png")
    assert (read_mask(tmp_path / "one.png") == checker()).all()
    indexed = Image.fromarray(checker().astype(np.uint8))
    indexed.putpalette([0, 0, 0, 200, 10, 10])
    indexed.save(tmp_path / "p.png")
    assert (read_mask(tmp_path / "p.png") == checker()).all()
    Image.fromarray(np.kron(checker((6, 10)), np.ones((8, 8), bool)).astype(np.uint8) * 255).save(tmp_path / "j.jpg")
    assert (read_mask(tmp_path / "j.jpg") == np.kron(checker((6, 10)), np.ones((8, 8), bool))).all()


@pytest.mark.parametrize("value", [0, 1, 255])
def test_masks_of_one_value(tmp_path, value):
    path = save_values(tmp_path / "m.png", np.full(SIZE, value, np.uint8))
    assert (read_mask(path) == bool(value)).all()


def test_other_values_are_named_beside_the_expected_ones(tmp_path):
    values = np.array([[0, 1], [2, 255]], np.uint8)
    path = save_values(tmp_path / "m.png", values)
    with pytest.raises(InputError, match=r"m\.png holds the values \{0, 1, 2, 255\}; expected \{0, 1\} or \{0, 255\}"):
        read_mask(path)
    assert (read_labels(path) == values).all()
    assert (read_mask(path, 128) == (values == 255)).all()
    with pytest.raises(InputError, match=r"\{0, 1, 2, 3, 4, 5, 6, \.\.\., 99\}"):
        read_mask(save_values(tmp_path / "n.png", np.arange(100, dtype=np.uint8).reshape(10, 10)))


def test_color_and_transparent_masks_are_refused(tmp_path, photo):
    with pytest.raises(InputError, match=r"color image of \d+ colors"):
        read_mask(save_values(tmp_path / "m.png", photo))
    with pytest.raises(InputError, match="partly transparent"):
        read_mask(save_values(tmp_path / "n.png", np.dstack([photo, photo[..., 0]])))
    with pytest.raises(InputError, match=r"\{0\.5\}; expected integers"):
        read_labels(save_values(tmp_path / "f.tif", np.full(SIZE, 0.5, np.float32)))


def test_labels_above_255_are_kept(tmp_path):
    values = np.array([[0, 256], [40000, 65535]], np.uint16)
    assert (read_labels(save_values(tmp_path / "m.png", values)) == values).all()


@pytest.mark.parametrize("top", [2, 38, 128, 254])
def test_two_levels_are_a_mask_whatever_the_upper_one_is(tmp_path, top):
    path = save_values(tmp_path / "m.png", checker().astype(np.uint8) * top)
    content = decode(path)
    assert (content.mask == checker()).all()
    assert (content.levels.stored(checker()) == np.array(Image.open(path))).all()


@pytest.mark.parametrize("values", [{1, 2}, {127, 255}, {7}, {254}])
def test_levels_without_a_background_are_refused(tmp_path, values):
    low, top = min(values), max(values)
    with pytest.raises(InputError, match=r"dataset\.threshold=128.*dataset\.label_maps=true"):
        decode(save_values(tmp_path / "m.png", np.where(checker(), top, low).astype(np.uint8)))


@pytest.mark.parametrize("colors", [(BLACK, WHITE), (WHITE, BLACK), (BLACK, RED), (RED, BLACK)])
@pytest.mark.parametrize("kind", ["palette", "channels"])
def test_the_object_is_what_is_not_black_in_any_order(tmp_path, colors, kind):
    shown = np.array(colors).any(axis=1)[checker().astype(int)]
    save = save_palette if kind == "palette" else save_colors
    content = decode(save(tmp_path / "m.png", checker(), colors))
    assert (content.mask == shown).all()
    assert (content.levels.stored(shown) == np.array(Image.open(tmp_path / "m.png"))).all()


def test_a_palette_may_use_any_two_of_its_colors(tmp_path):
    indices = np.where(checker(), 7, 3)
    colors = [RED] * 3 + [WHITE] + [RED] * 3 + [BLACK]
    assert (decode(save_palette(tmp_path / "m.png", indices, colors)).mask == ~checker()).all()


def test_transparent_colors_of_a_palette_are_ground(tmp_path):
    path = save_palette(tmp_path / "m.png", checker(), [WHITE, RED], transparency=0)
    assert (decode(path).mask == checker()).all()


def test_a_palette_of_nothing_leaves_the_indices(tmp_path):
    assert (decode(save_palette(tmp_path / "m.png", checker(), [BLACK, BLACK])).mask == checker()).all()


@pytest.mark.parametrize(
    ("colors", "words"),
    [
        ([WHITE, RED, BLACK], "3 colors of a palette, 1 of them black"),
        ([GRAY, RED], "2 colors of a palette, 0 of them black"),
        ([BLACK, GRAY, WHITE], r"holds the values \{0, 128, 255\}"),
    ],
)
def test_other_palettes_are_refused(tmp_path, colors, words):
    indices = np.indices(SIZE).sum(0) % len(colors)
    with pytest.raises(InputError, match=rf"m\.png holds.*{words[-20:]}" if "\\" in words else words):
        decode(save_palette(tmp_path / "m.png", indices, colors))


@pytest.mark.parametrize("colors", [[WHITE, RED], [BLACK, RED, WHITE]])
def test_other_colors_are_refused(tmp_path, colors):
    with pytest.raises(InputError, match=f"color image of {len(colors)} colors; expected .* one color on black, or a"):
        decode(save_colors(tmp_path / "m.png", np.indices(SIZE).sum(0) % len(colors), colors))


def test_one_color_on_transparent_ground_is_the_object(tmp_path):
    pixels = np.zeros((*SIZE, 4), np.uint8)
    pixels[checker()] = (10, 200, 30, 255)
    path = save_values(tmp_path / "m.png", pixels)
    content = decode(path)
    assert (content.mask == checker()).all()
    assert (content.levels.stored(checker()) == pixels).all()
    pixels[0, :10] = (9, 9, 9, 255)
    with pytest.raises(InputError, match="a picture of 2 colors that is partly transparent"):
        decode(save_values(path, pixels))


def save_jpeg(path, levels, quality=75):
    Image.fromarray(levels.astype(np.uint8)).save(path, quality=quality)
    return path


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_a_jpeg_in_black_and_white_is_cut_at_half(tmp_path, quality):
    assert (decode(save_jpeg(tmp_path / "m.jpg", disk() * 255, quality)).mask == disk()).mean() > 0.999
    for full in (0, 255):
        assert (decode(save_jpeg(tmp_path / "m.jpg", np.full(SIZE, full), quality)).mask == bool(full)).all()
    Image.fromarray(disk().astype(np.uint8) * 255).convert("RGB").save(tmp_path / "rgb.jpg", quality=quality)
    assert (decode(tmp_path / "rgb.jpg").mask == disk()).mean() > 0.999


@pytest.mark.parametrize("quality", [60, 95])
@pytest.mark.parametrize("levels", [(0, 1), (0, 2), (0, 38), (0, 128), (100, 255), (0, 60, 255), (0, 128, 255)])
def test_a_jpeg_with_other_levels_is_refused_never_empty(tmp_path, levels, quality):
    values = disk() * levels[-1] + ~disk() * levels[0]
    if len(levels) == 3:
        values[:30, :40] = levels[1]
    path = save_jpeg(tmp_path / "m.jpg", values, quality)
    with pytest.raises(InputError, match=r"in a lossy format, which keeps none exactly; expected black and white"):
        decode(path)
    assert (decode(path, threshold=levels[-1] / 2).mask == disk()).mean() > 0.9
    with pytest.raises(InputError, match="labels in a lossy format"):
        read_labels(path)


def test_a_color_jpeg_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"color image .* in a lossy format"):
        decode(save_colors(tmp_path / "m.jpg", disk(), [BLACK, RED]))


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_several_pages_or_frames_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(np.roll(checker(), k, axis=1).astype(np.uint8) * 255) for k in range(3)]
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(tmp_path / f"m.{suffix}", save_all=True, append_images=frames[1:], **options)
    for read in (read_mask, read_labels):
        with pytest.raises(InputError, match=r"has 3 pages or frames; expected one: save each"):
            read(tmp_path / f"m.{suffix}")


def test_overviews_of_a_tiff_are_no_pages(tmp_path):
    full = Image.fromarray(checker().astype(np.uint8) * 255)
    small = full.resize((20, 12))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    full.save(tmp_path / "m.tif", save_all=True, append_images=[small])
    assert Image.open(tmp_path / "m.tif").n_frames == 2
    assert (read_mask(tmp_path / "m.tif") == checker()).all()


def test_fractions_need_a_threshold_of_their_own_scale(tmp_path):
    scores = np.linspace(0, 1, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)
    path = save_values(tmp_path / "m.tif", scores)
    with pytest.raises(InputError, match=r"dataset\.threshold=0\.5"):
        decode(path)
    content = decode(path, 0.5)
    assert (content.mask == (scores >= 0.5)).all()
    assert set(np.unique(content.levels.stored(content.mask))) == {0, 1}
    with pytest.raises(InputError, match=r"dataset\.threshold is 128; expected a threshold between them"):
        decode(path, 128)
    levels = save_values(tmp_path / "n.png", np.arange(960, dtype=np.uint16).reshape(SIZE).astype(np.uint8))
    with pytest.raises(InputError, match=r"dataset\.threshold is 0\.5; expected"):
        decode(levels, 0.5)
    with pytest.raises(InputError, match="finite"):
        decode(save_values(tmp_path / "f.tif", np.full(SIZE, np.nan, np.float32)), 0.5)


def test_the_options_of_another_group_are_named(tmp_path):
    path = save_values(tmp_path / "m.png", np.arange(3, dtype=np.uint8)[None])
    with pytest.raises(InputError, match=r"refiner\.threshold=128"):
        read_mask(path, group="refiner")


@pytest.mark.parametrize("levels", [[], [0], [7, 7], [0, 255], [3, 200, 3], [0, 1, 2], [1.5, 0.0], [70000, 0]])
def test_distinct_values_are_those_of_numpy(levels):
    values = np.array(levels, np.uint8 if max(levels, default=0) < 256 and 1.5 not in levels else None)[None]
    found = distinct_values(values)
    assert found.dtype == values.dtype and found.tolist() == np.unique(values).tolist()
