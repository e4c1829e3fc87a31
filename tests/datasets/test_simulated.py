"""Coarse masks made from the truth of a data set: which, how seeded, and what is refused."""

import numpy as np
import pytest

from samref.config.compose import build, compose_config
from samref.datasets.big import BigDataset
from samref.datasets.coarse_kinds import KINDS
from samref.datasets.coco.coco import CocoDataset
from samref.datasets.coco.lvis import LvisDataset
from samref.datasets.davis import Davis, Davis585
from samref.datasets.scenes.scenes import Scenes
from samref.datasets.simulated import Defects
from samref.errors import ConfigError, DatasetError, InputError
from samref.metrics.average_precision import average_precision
from samref.structures import Sample
from tests.factories import make_davis, make_davis585
from tests.factories_benchmarks import make_coco, make_lvis
from tests.miniatures import make_miniature


@pytest.fixture
def davis585(tmp_path):
    return make_davis585(tmp_path / "davis585")


def test_every_data_set_that_names_the_option_follows_it(tmp_path, davis585):
    make_miniature("big", tmp_path / "big")
    samples = {
        "davis585": Davis585(str(davis585), defects="box")[0],
        "davis": Davis(str(make_davis(tmp_path / "davis", 2017)), defects="box")[0],
        "scenes": Scenes(1, (64, 80), (1, 2), defects="box")[0],
        "big": BigDataset(tmp_path / "big" / "DIR", defects="box")[0],
    }
    for name, sample in samples.items():
        expected = [KINDS["box"](sample.image, truth, 0) for truth in sample.truth]
        assert (sample.masks == expected).all(), name


def test_annotations_are_spoiled_and_scored_as_they_were(tmp_path):
    coco, lvis = make_coco(tmp_path / "coco"), make_lvis(tmp_path / "lvis")
    for files, of in ((coco, CocoDataset), (lvis, LvisDataset)):
        true, made = (of(images=files.images, annotations=files.annotations, defects=kind)[0] for kind in (None, "box"))
        assert (made.masks == [KINDS["box"](true.image, mask, 0) for mask in true.masks]).all()
        assert made.object_ids == true.object_ids
    data = CocoDataset(images=coco.images, annotations=coco.annotations, defects="dilated", strengths={"pixels": 3})
    results = [result for sample in data for result in data.results(sample, sample.masks)]
    assert {result["score"] for result in results} == {1.0}
    assert 0 < average_precision(coco.annotations, results)["ap_mask"] < 1


def test_defects_take_the_place_of_no_predictions(tmp_path):
    coco = make_coco(tmp_path)
    with pytest.raises(ConfigError, match=r"dataset.defects=box makes .* dataset.predictions=.* brings others; leave"):
        CocoDataset(coco.images, coco.annotations, coco.predictions, defects="box")
    with pytest.raises(DatasetError, match=r"no images or no masks"):
        CocoDataset(coco.images, defects="box")


def test_without_the_option_the_masks_are_those_on_disk(davis585):
    own, made = Davis585(str(davis585))[0], Davis585(str(davis585), defects="exact")[0]
    assert (own.masks != own.truth).any()
    assert (made.masks == made.truth).all()


def test_strengths_reach_the_kind(davis585):
    weak, strong = (
        Davis585(str(davis585), defects="dilated", strengths={"pixels": pixels})[0].masks.sum() for pixels in (1, 5)
    )
    assert weak < strong


def test_strengths_can_be_given_on_the_command_line():
    options = ["dataset.defects=dilated", "dataset.strengths={pixels: 3}", "dataset.size=[64,80]"]
    dataset = build(compose_config(options).dataset)
    sample = dataset[0]
    assert (sample.masks == [KINDS["dilated"](sample.image, t, 0, pixels=3) for t in sample.truth]).all()


def test_seeds_come_from_image_and_object():
    truth = np.zeros((2, 64, 80), bool)
    truth[:, 20:40, 20:50] = True
    image = np.zeros((64, 80, 3), np.uint8)
    defects = Defects("box", seed=1, strengths={"jitter": 0.2})
    first = defects.applied(Sample(image, truth, "a", (1, 2), truth=truth)).masks
    assert (first == defects.applied(Sample(image, truth, "a", (1, 2), truth=truth)).masks).all()
    assert (first[0] != first[1]).any()
    assert (first != defects.applied(Sample(image, truth, "b", (1, 2), truth=truth)).masks).any()
    assert (
        first != Defects("box", 2, {"jitter": 0.2}).applied(Sample(image, truth, "a", (1, 2), truth=truth)).masks
    ).any()


def test_an_empty_truth_stays_empty():
    truth = np.zeros((1, 10, 12), bool)
    for kind in KINDS:
        assert not Defects(kind).masks(np.zeros((10, 12, 3), np.uint8), truth, [0]).any()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match=r"dataset.defects is 'boxes'; expected null or one of superpixel, mask_head"):
        Defects("boxes")
    with pytest.raises(
        ConfigError, match=r"strengths names radius, which dataset.defects=dilated lacks; its .* pixels"
    ):
        Defects("dilated", strengths={"radius": 3})
    with pytest.raises(ConfigError, match=r"strengths names pixels, .* it has no strengths"):
        Defects("exact", strengths={"pixels": 3})
    with pytest.raises(ConfigError, match=r"strengths.pixels is many; expected a number"):
        Defects("dilated", strengths={"pixels": "many"})
    sample = Sample(np.zeros((4, 4, 3), np.uint8), np.ones((1, 4, 4), bool), "a", (1,))
    with pytest.raises(InputError, match=r"image a has no ground truth, which dataset.defects=box needs"):
        Defects("box").applied(sample)
