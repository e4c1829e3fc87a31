import numpy as np
import pytest
from PIL import Image

from samref.datasets.big import BigDataset, RelabeledVocDataset
from samref.errors import DatasetError, InputError
from tests.factories_benchmarks import make_big, rectangle, refined, save_gray


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_sample_is_one_object_with_truth(tmp_path, suffix):
    data = BigDataset(make_big(tmp_path, suffix=suffix).root)
    assert (len(data), data.image_id(1), data.protocol) == (2, "object1", "boundary_accuracy")
    sample = data[1]
    assert (sample.truth == rectangle(9, 8, 50, 40)[None]).all()
    assert (sample.masks == np.roll(sample.truth, 2, axis=1)).all()
    assert sample.image_id == "object1" and len(sample.object_ids) == 1


def test_relabeled_voc_has_the_same_layout(tmp_path):
    data = RelabeledVocDataset(make_big(tmp_path).root)
    assert (data.name, len(data)) == ("relabeled_voc", 2)


def test_masks_are_read_with_threshold_128(tmp_path):
    make_big(tmp_path, count=1)
    levels = np.zeros((48, 64))
    levels[0, :4] = [0, 127, 128, 255]
    save_gray(tmp_path / "object0_seg.png", levels)
    assert BigDataset(tmp_path)[0].masks[0, 0, :4].tolist() == [False, False, True, True]


def test_masks_are_written_as_they_came(tmp_path):
    data = BigDataset(make_big(tmp_path / "in").root)
    writer = data.writer(tmp_path / "out")
    writer.write(data[0], refined(data[0].truth))
    writer.close()
    written = np.asarray(Image.open(tmp_path / "out" / "object0_seg.png"))
    assert (written == rectangle(8, 8, 50, 40) * 255).all()


@pytest.mark.parametrize("missing", ["object0_im.jpg", "object1_seg.png"])
def test_a_missing_file_is_named(tmp_path, missing):
    make_big(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(DatasetError, match=missing):
        BigDataset(tmp_path)


def test_a_folder_without_truth_or_none_at_all_says_what_belongs_there(tmp_path):
    with pytest.raises(DatasetError, match=r"NAME_gt\.png"):
        BigDataset(tmp_path)
    for root in (None, tmp_path / "nowhere"):
        with pytest.raises(DatasetError, match=r"dataset\.root=DIR.*samref datasets big"):
            BigDataset(root)


def test_a_mask_of_another_size_is_an_input_error(tmp_path):
    make_big(tmp_path, count=1)
    save_gray(tmp_path / "object0_seg.png", np.zeros((3, 4)))
    with pytest.raises(InputError, match=r"object0_seg\.png is \(3, 4\)"):
        BigDataset(tmp_path)[0]
