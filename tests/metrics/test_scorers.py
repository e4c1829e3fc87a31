"""What a scorer counts of an image can be kept as JSON, and adds up to the same scores later, in any order."""

import json
import math
import warnings

import numpy as np
import pytest
from PIL import Image

from samref.datasets.big import BigDataset
from samref.datasets.coco.coco import CocoDataset
from samref.datasets.davis import Davis585
from samref.datasets.folder.folder import Folder
from samref.datasets.voc.voc import VocDataset
from samref.prompts.split_then_merge import SplitThenMerge
from tests.factories import make_davis585, make_folder
from tests.factories_benchmarks import make_big, make_coco, make_voc, refined, save_gray

STM = SplitThenMerge(enabled=True, rule="paper", mu=0.5)


def overlap(root):
    return Davis585(str(make_davis585(root, objects=2)))


def regions(root):
    make_folder(root, truth=True)
    for path in (root / "masks").iterdir():
        save_gray(path, np.array(Image.open(path)) > 127)
    return Folder(root / "images", root / "masks", truth=root / "truth", label_maps=True, stm=STM)


def boundary(root):
    make_big(root)
    return BigDataset(root)


def semantic(root):
    return VocDataset(root, "val", make_voc(root).coarse, "SegmentationClass", STM, False, None)


def precision(root):
    made = make_coco(root)
    return CocoDataset(made.images, made.annotations, made.predictions)


def refinement(sample, candidates):
    result = refined(np.roll(sample.masks, 2, axis=1))
    if candidates and sample.truth is not None:
        rng = np.random.default_rng(len(str(sample.image_id)))
        result.candidate_iou = rng.random((len(sample.masks), 3))
        result.chosen = rng.integers(-1, 3, len(sample.masks))
        result.candidate_iou[0] = math.nan  # an empty mask, which was not decoded
    return result


@pytest.mark.parametrize("candidates", [False, True])
@pytest.mark.parametrize("make", [overlap, regions, boundary, semantic, precision], ids=lambda make: make.__name__)
def test_kept_counts_give_the_scores_of_the_masks(make, candidates, tmp_path):
    data = make(tmp_path)
    at_once, later, nothing = (data.scorer() for _ in range(3))
    kept = []
    for index in range(len(data)):
        sample = data[index]
        columns = at_once.update(sample, refinement(sample, candidates))
        measured = nothing.measure(sample, refinement(sample, candidates))
        assert {name: list(map(str, values)) for name, values in measured.columns.items()} == {
            name: list(map(str, values)) for name, values in columns.items()
        }
        kept.append(json.dumps(measured.counts))
    for text in reversed(kept):
        later.add(json.loads(text))
    assert later.compute() == at_once.compute()
    if candidates and make is overlap:
        assert "top1_acc" in later.compute()["refined"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metrics that saw nothing
        assert nothing.compute() != at_once.compute(), "measuring adds nothing"
