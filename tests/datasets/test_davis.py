"""DAVIS-585 and DAVIS 2016/2017 in their official layouts."""

import numpy as np
import pytest
from PIL import Image

from samref.datasets.davis import Davis, Davis585
from samref.errors import ConfigError, DatasetError, InputError
from tests.factories import make_davis, make_davis585
from tests.factories_benchmarks import refined


@pytest.fixture
def davis585(tmp_path):
    return make_davis585(tmp_path / "davis585", sequences=2, frames=2, objects=11)


def binary(path):
    return np.array(Image.open(path)) > 127


def test_a_frame_is_a_sample_with_all_its_objects_in_numerical_order(davis585):
    dataset = Davis585(davis585)
    assert [dataset.image_id(k) for k in range(len(dataset))] == [
        "seq0/00000",
        "seq0/00005",
        "seq1/00000",
        "seq1/00005",
    ]
    sample = dataset[1]
    assert sample.image_id == "seq0/00005"
    assert sample.object_ids == tuple(f"object{k}" for k in range(1, 12))
    for k, name in enumerate(sample.object_ids):
        assert (sample.truth[k] == binary(davis585 / "seq0" / f"{name}_00005.png")).all()
        assert (sample.masks[k] == binary(davis585 / "seq0" / f"init_sp_{name}_00005.png")).all()


def test_init_chooses_the_coarse_masks(davis585):
    with pytest.raises(DatasetError, match=r"init_stm_object1_00000\.png is not there.*dataset\.init=sp or stm"):
        Davis585(davis585, init="stm")
    for path in davis585.glob("*/init_sp_*.png"):
        Image.fromarray(np.full_like(np.array(Image.open(path)), 255)).save(str(path).replace("init_sp", "init_stm"))
    assert Davis585(davis585, init="stm")[0].masks.all()
    with pytest.raises(ConfigError, match="expected sp or stm"):
        Davis585(davis585, init="gt")


def test_sequences_can_be_chosen(davis585):
    for chosen in ("seq1", ["seq1"]):
        assert {Davis585(davis585, sequences=chosen).image_id(k) for k in range(2)} == {"seq1/00000", "seq1/00005"}
    with pytest.raises(DatasetError, match=r"no sequence dog, horse; check dataset\.sequences"):
        Davis585(davis585, sequences=["dog", "seq1", "horse"])


def test_refined_masks_lie_under_the_coarse_ones_names(davis585, tmp_path):
    dataset = Davis585(davis585)
    for k in range(len(dataset)):
        sample = dataset[k]
        dataset.writer(tmp_path / "out").write(sample, refined(sample.truth))
    written = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written == {path.relative_to(davis585) for path in davis585.glob("*/init_sp_*.png")}
    for path in written:
        assert set(np.unique(np.array(Image.open(tmp_path / "out" / path)))) <= {0, 255}
        truth = davis585 / path.parent / path.name.removeprefix("init_sp_")
        assert (binary(tmp_path / "out" / path) == binary(truth)).all()


def test_a_mask_of_another_size_is_named_with_both_shapes(davis585):
    Image.new("L", (7, 5)).save(davis585 / "seq0" / "init_sp_object2_00000.png")
    with pytest.raises(InputError, match=r"init_sp_object2_00000\.png is 5 x 7, but its image is 48 x 80"):
        Davis585(davis585)[0]


@pytest.mark.parametrize("dataset", [Davis585, Davis])
def test_a_missing_root_says_which_option_and_where_data_come_from(dataset, tmp_path):
    with pytest.raises(DatasetError, match=r"needs dataset\.root=DIR.* comes? (with|from)"):
        dataset(None)
    with pytest.raises(DatasetError, match=r"dataset\.root=.*nowhere is not a folder"):
        dataset(str(tmp_path / "nowhere"))
    with pytest.raises(DatasetError, match=str(tmp_path)):
        dataset(str(tmp_path))


def test_2017_has_an_object_for_each_palette_index(tmp_path):
    root = make_davis(tmp_path, 2017, size=(96, 128))
    sample = Davis(root, year=2017)[0]
    labels = np.array(Image.open(root / "Annotations" / "480p" / "seq0" / "00000.png"))
    assert sample.object_ids == ("object1", "object2")
    assert (sample.truth == np.stack([labels == 1, labels == 2])).all()


@pytest.mark.parametrize("folder", ["2016", "480p"])
def test_2016_has_one_object_and_lists_of_file_pairs(tmp_path, folder):
    root = make_davis(tmp_path, 2016)
    (root / "ImageSets" / "2016").rename(root / "ImageSets" / folder)
    dataset = Davis(root, year=2016)
    assert len(dataset) == 2
    assert dataset[1].object_ids == ("object1",)
    assert (dataset[1].truth[0] == binary(root / "Annotations" / "480p" / "seq0" / "00001.png")).all()
    assert len(Davis(root, year=2016, every=2)) == 1


def test_defects_depend_on_image_object_and_seed_alone(tmp_path):
    root = make_davis(tmp_path, 2017, size=(96, 128))
    first, again, other = Davis(root)[1], Davis(root, every=1)[1], Davis(root, seed=1)[1]
    assert (first.masks == again.masks).all()
    assert (first.masks != other.masks).any()
    assert (first.masks != first.truth).any()


def test_kept_defects_are_the_same_and_made_once(tmp_path, monkeypatch):
    root = make_davis(tmp_path / "davis", 2017, size=(96, 128))
    fresh = Davis(root)[1].masks
    assert (Davis(root, cache=tmp_path / "kept")[1].masks == fresh).all()
    monkeypatch.setattr("samref.datasets.defects.slic", None)
    assert (Davis(root, cache=tmp_path / "kept")[1].masks == fresh).all()
    monkeypatch.undo()
    files = list((tmp_path / "kept").glob("*.png"))
    assert len(files) == 2
    files[0].write_bytes(b"damaged")
    assert (Davis(root, cache=tmp_path / "kept")[1].masks == fresh).all()
    assert (Davis(root, cache=tmp_path / "kept", seed=1)[1].masks != fresh).any()


def test_a_frame_without_objects_has_no_masks(tmp_path):
    root = make_davis(tmp_path, 2017)
    path = root / "Annotations" / "480p" / "seq0" / "00000.png"
    blank = Image.open(path).point(lambda _: 0)
    blank.save(path)
    sample = Davis(root)[0]
    assert sample.masks.shape == sample.truth.shape == (0, 48, 80)


def test_unknown_year_and_split_are_named(tmp_path):
    root = make_davis(tmp_path, 2017)
    with pytest.raises(ConfigError, match="year is 2018; expected 2016 or 2017"):
        Davis(root, year=2018)
    with pytest.raises(DatasetError, match=r"ImageSets/2017/train\.txt"):
        Davis(root, split="train")
