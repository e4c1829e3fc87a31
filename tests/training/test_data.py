import numpy as np
import pytest
import torch

from samref.datasets.loader import Samples
from samref.errors import DatasetError, InputError
from samref.structures import Sample
from samref.training.augmentation import Augmentation
from samref.training.data import Draws, TrainingImages, collated
from samref.training.targets import Classes

CLASSES = Classes("semantic", (0, 1, 2))
PLAIN = Augmentation(scale=None, crop=None, flip=0.0)


class Maps:
    """A data set of label maps; images whose index is in `bad` cannot be read."""

    def __init__(self, bad=()):
        self.bad, self.read = bad, []

    def __len__(self):
        return 5

    def image_id(self, index):
        return index

    def __getitem__(self, index):
        self.read.append(index)
        if index in self.bad:
            raise InputError(f"file {index} is broken")
        image = np.full((12, 16, 3), index, np.uint8)
        return Sample(image, np.zeros((0, 12, 16), bool), index, (), meta={"coarse": np.full((12, 16), index % 3)})


def images(augmentation=PLAIN, seed=0, **options):
    samples = Samples(Maps(**options), None, "skip")
    return TrainingImages([(samples, k) for k in range(5)], CLASSES, augmentation, seed)


def test_a_resumed_stream_is_the_rest_of_the_whole_one():
    whole = list(Draws(7, seed=3, batch=4, steps=range(0, 12)))
    assert list(Draws(7, seed=3, batch=4, steps=range(5, 12))) == whole[5:]
    assert list(Draws(7, seed=4, batch=4, steps=range(0, 12))) != whole


def test_every_pass_sees_every_image_once():
    drawn = [place for batch in Draws(6, 0, 2, range(9)) for place, _ in batch]
    for turn in range(3):
        assert sorted(drawn[6 * turn : 6 * turn + 6]) == list(range(6))


def test_two_processes_share_the_stream_of_one():
    alone = list(Draws(7, 0, 4, range(6)))
    shares = [list(Draws(7, 0, 2, range(6), rank, 2)) for rank in range(2)]
    assert [first + second for first, second in zip(*shares, strict=True)] == alone


def test_the_same_draw_is_the_same_picture():
    drawn = images(Augmentation(scale=(0.5, 1.5), crop=10, flip=0.5))
    one, other = drawn[2, 17], drawn[2, 17]
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])
    shapes = {tuple(images(Augmentation((0.5, 1.5), None, 0))[2, k][0].shape) for k in range(6)}
    assert len(shapes) > 2


def test_files_are_read_once_where_memory_has_room():
    drawn = images()
    first, second = drawn[2, 0], drawn[2, 5]
    assert torch.equal(first[0], second[0])
    assert drawn.places[0][0].dataset.read == [2]


def test_an_image_that_cannot_be_read_is_left_out_and_none_at_all_is_an_error():
    image, _ = images(bad=(1,))[1, 0]
    assert int(image[0, 0, 0]) == 2
    assert "none of the images" in str(images(bad=range(5))[1, 0])


def test_an_empty_training_set_is_refused():
    with pytest.raises(DatasetError, match="no image to train on"):
        TrainingImages([], CLASSES, PLAIN, 0)


def test_what_is_wrong_with_a_file_comes_in_place_of_the_batch():
    assert isinstance(collated([images()[0, 0], InputError("x")]), InputError)
    batch = collated([images()[0, 0], images()[1, 1]])
    assert [len(part) for part in batch] == [2, 2]
