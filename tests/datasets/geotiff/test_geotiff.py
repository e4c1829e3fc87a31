import json

import numpy as np
import pytest
import rasterio

from samref.datasets.geotiff.geotiff import GeoTiff
from samref.datasets.geotiff.raster import spans
from samref.errors import ConfigError, DatasetError, InputError
from samref.structures import REFINED
from tests.datasets.shapes.round_trip import write_all
from tests.factories import photo
from tests.factories_benchmarks import refined
from tests.factories_scenes import SCENE, make_scenes, scene_values


def opened(folder, **options):
    return GeoTiff(folder / "IMAGES", folder / "MASKS", **{"window": 64, "margin": 16, **options})


def about(path):
    """All that a file says beside its pixels."""
    with rasterio.open(path) as found:
        return found.profile, found.tags(), found.colormap(1), found.nodata, found.block_shapes


def written(path):
    with rasterio.open(path) as found:
        return found.read(1)


def test_windows_fill_a_scene_once_and_margins_stay_inside():
    seen = np.zeros(SCENE, int)
    for core, around in spans(SCENE, 64, 16):
        seen[core.slices] += 1
        rows, columns = around.slices
        assert 0 <= rows.start <= core.y and rows.stop <= SCENE[0] and columns.start >= 0 and columns.stop <= SCENE[1]
    assert (seen == 1).all()


def test_each_connected_part_is_an_object(tmp_path):
    data = opened(make_scenes(tmp_path))
    assert len(data) == 6 and data.image_id(1) == "a:0:64"
    whole = opened(tmp_path, window=256)[0]
    assert [str(name).partition(":")[0] for name in whole.object_ids] == ["1", "1", "7"]
    assert (whole.masks.any(axis=0) == (scene_values() > 0)).all()


def test_nothing_refined_gives_the_same_bytes(tmp_path):
    folder = make_scenes(tmp_path)
    write_all(opened(folder), tmp_path / "out")
    assert (tmp_path / "out" / "a.tif").read_bytes() == (folder / "MASKS" / "a.tif").read_bytes()


def test_refined_pixels_change_and_nothing_else(tmp_path):
    folder = make_scenes(tmp_path)
    data = opened(folder, window=256)
    held = write_all(data, tmp_path / "out", lambda mask: np.roll(mask, 3, axis=1))["a:0:0"]
    source, target = folder / "MASKS" / "a.tif", tmp_path / "out" / "a.tif"
    assert about(source) == about(target)
    expected = np.zeros(SCENE, int)
    for name, mask in held.items():
        expected[mask] = int(str(name).partition(":")[0])
    assert (written(target) == expected).all() and (expected != scene_values()).any()


def test_windows_write_their_cores_alone(tmp_path):
    data = opened(make_scenes(tmp_path))
    write_all(data, tmp_path / "out", lambda mask: np.ones_like(mask), indices=[0])
    found, before = written(tmp_path / "out" / "a.tif"), scene_values()
    assert (found[:64, :64] > 0).all()
    found[:64, :64] = before[:64, :64] = 0
    assert (found == before).all()


def test_what_a_window_leaves_can_be_kept_as_json(tmp_path):
    data = opened(make_scenes(tmp_path))
    writer, later = data.writer(tmp_path / "first"), data.writer(tmp_path / "later")
    for index in range(len(data)):
        sample = data[index]
        refinement = refined(np.roll(sample.masks, 2, axis=1), [REFINED] * len(sample.masks))
        data.settle(sample, refinement)
        later.restore(sample.image_id, json.loads(json.dumps(writer.write(sample, refinement))))
    writer.close()
    later.close()
    assert (written(tmp_path / "first" / "a.tif") == written(tmp_path / "later" / "a.tif")).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_values_of_any_depth_are_spread_over_eight_bits(tmp_path, dtype):
    sample = opened(make_scenes(tmp_path, dtype), window=256)[0]
    expected = photo(SCENE, 3)
    if dtype == "uint8":
        assert (sample.image == expected).all()
    else:
        low, high = np.percentile(expected.reshape(-1, 3), (2, 98), axis=0)
        spread = ((expected - low) / (high - low) * 255).clip(0, 255)
        assert np.abs(sample.image - spread).max() <= 1


def test_bands_and_range_are_as_they_are_said_to_be(tmp_path):
    data = opened(make_scenes(tmp_path), bands=[3, 2, 1], value_range=[0, 12 * 255], window=256)
    assert np.abs(data[0].image.astype(int) - photo(SCENE, 3)[..., ::-1]).max() <= 1
    with pytest.raises(InputError, match=r"has 4 bands, dataset\.bands is \[5, 1, 1\]"):
        opened(tmp_path, bands=[5, 1, 1])[0]
    for wrong in ({"bands": [1]}, {"value_range": [9, 1]}, {"window": 8}, {"margin": 60}):
        with pytest.raises(ConfigError):
            opened(tmp_path, **wrong)


def test_pixels_without_data_are_black(tmp_path):
    folder = make_scenes(tmp_path)
    with rasterio.open(folder / "IMAGES" / "a.tif", "r+") as image:
        image.nodata = 0
        values = image.read()
        values[:, :10] = 0
        image.write(values)
    assert not opened(folder, window=256)[0].image[:10].any()


def test_a_mask_on_another_grid_is_refused(tmp_path):
    folder = make_scenes(tmp_path)
    with rasterio.open(folder / "MASKS" / "a.tif", "r+") as mask:
        mask.transform = rasterio.transform.from_origin(0, 0, 1, 1)
    with pytest.raises(InputError, match="on another grid"):
        opened(folder)


def test_folders_that_are_missing_or_written_into_are_refused(tmp_path):
    folder = make_scenes(tmp_path)
    with pytest.raises(DatasetError, match="is not a folder"):
        GeoTiff(folder / "IMAGES", folder / "x")
    with pytest.raises(DatasetError, match="lies in the input"):
        opened(folder, output=folder / "MASKS" / "out")
