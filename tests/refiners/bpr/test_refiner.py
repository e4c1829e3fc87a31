"""BPR's patches and what comes of them, against procedures written in plain loops."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from samref.errors import ConfigError, WeightsError
from samref.refiners.bpr import BPR
from samref.refiners.bpr.network import ARCHITECTURES, BprNetwork, architecture
from samref.refiners.bpr.patches import boundary_scores, network_input, patch_windows
from samref.refiners.bpr.refiner import architecture_of
from samref.structures import FALLBACK, KEPT, REFINED
from tests.factories import blob, photo, rough
from tests.refiners.by_names import randomize
from tests.refiners.segrefiner.test_modes import overlap

SIZE, P = (70, 90), 16


class Following(nn.Module):
    """Foreground where the mask is, or the image is red."""

    size = 32

    def probabilities(self, x, patch):
        return nn.functional.avg_pool2d(torch.sigmoid(x[:, 3] + 2 * x[:, 0])[:, None], x.shape[-1] // patch)[:, 0]


class Constant(Following):
    def __init__(self, probability):
        super().__init__()
        self.probability = probability

    def probabilities(self, x, patch):
        return torch.full((len(x), patch, patch), self.probability)


def scores_in_loops(mask):
    padded, found = np.pad(mask, 1), np.zeros(mask.shape)
    for y in range(len(mask)):
        for x in range(mask.shape[1]):
            n = padded[y : y + 3, x : x + 3].sum()
            found[y, x] = min(n, 9 - n) / 4.5
    return found


def windows_in_loops(mask, patch, threshold):
    scores = scores_in_loops(mask)
    height, width = mask.shape
    half = patch // 2
    points = [(y, x) for y in range(height) for x in range(width) if scores[y, x] > 0]
    kept = []
    for y, x in sorted(points, key=lambda point: -round(scores[point] * 4.5)):
        box = (x - half, y - half, x + half, y + half)
        if all(overlap(box, other) <= threshold for other in kept):
            kept.append(box)
    moved = []
    for x0, y0, x1, y1 in kept:
        x0 = 0 if x0 < 0 else width - 1 - patch if x1 >= width else x0
        y0 = 0 if y0 < 0 else height - 1 - patch if y1 >= height else y0
        moved.append((x0, y0, x0 + patch, y0 + patch))
    return moved


@pytest.mark.parametrize("seed", range(3))
def test_scores_and_patches_are_those_of_plain_loops(seed):
    mask = rough(blob(SIZE, seed), seed)
    mask[:4, :9] = True
    np.testing.assert_allclose(boundary_scores(mask), scores_in_loops(mask), atol=1e-6)
    for threshold in (0.25, 0.55):
        found = patch_windows(mask, P, threshold)
        assert [tuple(window) for window in found] == windows_in_loops(mask, P, threshold)
        assert len(found) > 5


def test_patches_are_enlarged_and_the_mask_is_minus_one_and_one():
    image, mask = photo(SIZE, 0), rough(blob(SIZE, 0), 0)
    (window, *_) = patch_windows(mask, P, 0.25)
    found = network_input(image, mask, [window], 48)
    part = image[window.y0 : window.y1, window.x0 : window.x1]
    expected = np.asarray(cv2.resize(part, (48, 48), interpolation=cv2.INTER_LINEAR), float)
    expected = (expected - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
    np.testing.assert_allclose(found[0, :3].permute(1, 2, 0), expected, atol=1e-5)
    shape = np.kron(mask[window.y0 : window.y1, window.x0 : window.x1], np.ones((3, 3)))
    assert (found[0, 3].numpy() == shape * 2 - 1).all()


def test_overlapping_patches_are_averaged_and_elsewhere_the_coarse_mask_stays():
    image, coarse = photo(SIZE, 0), rough(blob(SIZE, 0), 0)
    network = Following()
    found = BPR(device="cpu", patch=P, network=network, chunk_size=3).refine(image, coarse, keep_logits=True)
    total, count = np.zeros(SIZE), np.zeros(SIZE)
    for x0, y0, x1, y1 in windows_in_loops(coarse, P, 0.25):
        part = cv2.resize(np.ascontiguousarray(image[y0:y1, x0:x1]), (32, 32)).astype(float)
        red = (part[..., 0] - 123.675) / 58.395
        shape = np.kron(coarse[y0:y1, x0:x1], np.ones((2, 2))) * 2 - 1
        probability = 1 / (1 + np.exp(-(shape + 2 * red)))
        total[y0:y1, x0:x1] += probability.reshape(P, 2, P, 2).mean((1, 3))
        count[y0:y1, x0:x1] += 1
    expected = np.where(count > 0, total / np.maximum(count, 1) > 0.5, coarse)
    assert found.flags == (REFINED,)
    assert count.max() > 1
    assert (expected != coarse).sum() > 10
    assert (found.masks[0] != expected).sum() <= 1
    assert ((found.logits[0] > 0) | (found.logits[0] == 0) & coarse == found.masks[0]).mean() > 0.999


def test_a_full_mask_has_its_contour_at_the_rim_of_the_image():
    coarse = np.ones(SIZE, bool)
    found = BPR(device="cpu", patch=P, network=Constant(0.2)).refine(photo(SIZE, 0), coarse)
    assert found.flags == (REFINED,)
    assert found.masks[0][30:40, 30:60].all()
    assert found.masks[0][0].mean() < 0.5


@pytest.mark.parametrize("size", [(60, 60), (64, 100), (100, 64)])
def test_an_image_no_larger_than_a_patch_stays_as_it_is(size):
    coarse = blob(size, 0)
    found = BPR(device="cpu", size=128, network=Following()).refine(photo(size, 0), coarse)
    assert found.flags == (KEPT,)
    assert (found.masks[0] == coarse).all()
    assert "64 px" in found.reasons[0]
    assert BPR(device="cpu", size=128, network=Following()).refine(photo((65, 65), 0), blob((65, 65), 0)).flags == (
        REFINED,
    )


def test_what_comes_out_empty_leaves_the_coarse_mask():
    coarse = np.zeros(SIZE, bool)
    coarse[30, 40] = True
    found = BPR(device="cpu", patch=P, network=Constant(0.1)).refine(photo(SIZE, 0), coarse)
    assert found.flags == (FALLBACK,)
    assert (found.masks[0] == coarse).all()


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return randomize(BprNetwork(architecture(4, small=True, first=64))).state_dict()


def test_weights_are_read_as_published(state, tmp_path):
    torch.save({"meta": {"CLASSES": ("bg", "fg"), "epoch": 1}, "state_dict": state}, tmp_path / "x.pth")
    refiner = BPR(tmp_path / "x.pth", device="cpu", chunk_size=4)
    assert refiner.size == 128
    assert all(torch.equal(value, state[key]) for key, value in refiner.network.state_dict().items())
    coarse = np.stack([rough(blob((80, 90), seed), seed) for seed in range(2)])
    together = refiner.refine(photo((80, 90), 0), coarse)
    assert (together.masks != coarse).any()
    assert (together.masks[1] == refiner.refine(photo((80, 90), 0), coarse[1]).masks[0]).all()


def test_the_architecture_is_that_of_the_weights():
    for name, parts in ARCHITECTURES.items():
        with torch.device("meta"):
            assert architecture_of(BprNetwork(parts).state_dict()) == ARCHITECTURES[name]


def test_missing_names_and_another_architecture_are_one_sentence(state, tmp_path):
    torch.save({key: value for key, value in state.items() if "stage4.1." not in key}, tmp_path / "less.pth")
    with pytest.raises(WeightsError, match=r"missing keys: backbone\.stage4\.1\.branches"):
        BPR(tmp_path / "less.pth")
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="other shapes"):
        BPR(tmp_path / "x.pth", architecture="hrnet18s")
    torch.save({"dir_head.0.weight": torch.zeros(1)}, tmp_path / "segfix.pth")
    with pytest.raises(WeightsError, match=r"checkpoint of SegFix; .* refiner=segfix$"):
        BPR(tmp_path / "segfix.pth")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"architecture": "hrnet32"}, "architecture is 'hrnet32'"),
        ({"patch": 63}, "patch=63"),
        ({"size": 100}, "size is 100"),
        ({"iou_threshold": 2.0}, "iou_threshold=2.0"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        BPR(network=Following(), **options)
