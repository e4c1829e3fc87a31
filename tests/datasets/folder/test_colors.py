"""RGB masks whose colors are labels."""

import json

import numpy as np
import pytest
from PIL import Image

from samref.datasets.folder.folder import Folder
from samref.errors import ConfigError, InputError
from samref.io.colors import color_table, voc_colors
from tests.datasets.shapes.round_trip import write_all
from tests.factories import save_photo

COLORS = [[0, 0, 0], [255, 0, 0], [0, 0, 255], [10, 20, 30]]
LABELS = np.zeros((40, 60), np.uint8)
LABELS[5:20, 5:25], LABELS[22:36, 10:30], LABELS[10:30, 35:55] = 1, 2, 3


@pytest.fixture
def made(tmp_path):
    save_photo(tmp_path / "images" / "a.png", LABELS.shape, 1)
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.array(COLORS, np.uint8)[LABELS]).save(tmp_path / "masks" / "a.png")
    return tmp_path


def opened(folder, **options):
    return Folder(folder / "images", folder / "masks", **options)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_each_color_is_a_label_and_comes_back_as_a_color(made, tmp_path, mode):
    path = made / "masks" / "a.png"
    Image.open(path).convert(mode).save(path)
    data = opened(made, palette=COLORS)
    sample = data[0]
    assert sample.object_ids == ("a.png:1", "a.png:2", "a.png:3")
    assert (sample.masks == [label == LABELS for label in (1, 2, 3)]).all()
    held = write_all(data, tmp_path / "out", lambda mask: np.roll(mask, 2, axis=1))["a"]
    written = Image.open(tmp_path / "out" / "a.png")
    assert written.mode == mode
    found = np.asarray(written.convert("RGB"))
    for label, mask in zip((1, 2, 3), held.values(), strict=True):
        assert ((found == COLORS[label]).all(axis=2) == mask).all()


def test_nothing_refined_gives_the_same_bytes(made, tmp_path):
    write_all(opened(made, palette=COLORS), tmp_path / "out")
    assert (tmp_path / "out" / "a.png").read_bytes() == (made / "masks" / "a.png").read_bytes()


def test_a_color_that_the_table_lacks_is_named(made):
    with pytest.raises(InputError, match=r"1 colors that dataset\.palette lacks, as \(10, 20, 30\)"):
        opened(made, palette=COLORS[:3])[0]
    with pytest.raises(InputError, match=r"dataset\.palette=FILE"):
        opened(made)[0]


def test_tables_are_read_from_all_that_people_have(tmp_path):
    expected = np.array(COLORS, np.uint8)
    (tmp_path / "a.txt").write_text("# red green blue\n" + "".join(f"{r} {g} {b} name{r}\n" for r, g, b in COLORS))
    (tmp_path / "cvat.txt").write_text("".join(f"n:{r},{g},{b}::\n" for r, g, b in COLORS))
    (tmp_path / "list.json").write_text(json.dumps(COLORS))
    (tmp_path / "names.json").write_text(json.dumps({f"n{k}": color for k, color in enumerate(COLORS)}))
    (tmp_path / "records.json").write_text(json.dumps([{"name": "x", "color": color} for color in COLORS]))
    image = Image.fromarray(LABELS)
    image.putpalette(expected.reshape(-1).tolist())
    image.save(tmp_path / "palette.png")
    for name in ("a.txt", "cvat.txt", "list.json", "names.json", "records.json", "palette.png"):
        assert (color_table(str(tmp_path / name)).colors[:4] == expected).all(), name
    assert (color_table("voc").colors == voc_colors()).all() and voc_colors()[15].tolist() == [192, 128, 128]


@pytest.mark.parametrize("given", ["missing.txt", [[1, 2]], [[0, 0, 256]], [[0.5, 0, 0]], "voc2"])
def test_what_is_no_table_is_refused(given):
    with pytest.raises(ConfigError, match="is no table of colors"):
        color_table(given)
