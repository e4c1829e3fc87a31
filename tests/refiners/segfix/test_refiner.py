"""SegFix's offsets and what they do to masks, against procedures in plain loops."""

import numpy as np
import pytest
import scipy.io
import torch
from torch import nn

from samref.errors import ConfigError, InputError, WeightsError
from samref.refiners.segfix import SegFix
from samref.refiners.segfix.network import HrNet, HrNet2x, SegFixNetwork
from samref.refiners.segfix.offsets import moved, normalize, offsets_of, predict, windows_of
from samref.refiners.segfix.refiner import backbone_of
from samref.structures import EMPTY, FALLBACK, REFINED, Sample
from tests.factories import blob, photo, rough
from tests.refiners.by_names import randomize

SIZE = (40, 60)


class Colored(nn.Module):
    """A boundary where it is green, and a direction by blue; as far as a pixel, so that windows do not matter."""

    def __init__(self):
        super().__init__()
        self.anything = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        blue, green = x[:, :1], x[:, 1:2]
        return torch.cat([-green, green], 1), torch.cat([-((blue * 3 + 4 - k) ** 2) for k in range(8)], 1)


def moved_in_loops(mask, offsets, scale):
    height, width = mask.shape
    found = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            dy, dx = offsets[y, x]
            found[y, x] = mask[min(max(y + scale * dy, 0), height - 1), min(max(x + scale * dx, 0), width - 1)]
    return found


@pytest.mark.parametrize("scale", [1, 2, 40])
def test_a_pixel_takes_the_value_that_its_offset_names(scale):
    offsets = np.random.default_rng(0).integers(-1, 2, (*SIZE, 2)).astype(np.int8)
    mask = rough(blob(SIZE, 0), 0)
    assert (moved(mask, offsets, scale) == moved_in_loops(mask, offsets, scale)).all()


def test_directions_point_inward_by_their_numbers():
    steps = [(0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1)]
    boundary = torch.tensor([[0.6] * 8, [0.5] * 8])
    offsets = offsets_of(boundary, torch.eye(8)[:, None].expand(8, 2, 8))
    assert [tuple(step) for step in offsets[0]] == steps
    assert not offsets[1].any(), "a probability of one half is no boundary"


def test_windows_cover_an_image_and_end_with_it():
    assert windows_of((100, 130), 64, 30) == [(x, y, x + 64, y + 64) for y in (0, 30, 36) for x in (0, 30, 60, 66)]
    assert windows_of((30, 100), 64, 50) == [(0, 0, 64, 30), (36, 0, 100, 30)]
    assert windows_of((30, 100), None, 50) == [(0, 0, 100, 30)]
    for length in range(60, 200):
        covered = np.zeros(length, int)
        for window in windows_of((1, length), 64, 30):
            covered[window.x0 : window.x1] += 1
        assert covered.all()


def test_overlapping_windows_are_averaged():
    network, image = Colored(), normalize(photo(SIZE, 0))
    once = predict(network, image, None, 1, 1)
    for found, expected in zip(predict(network, image, 16, 7, 3), once, strict=True):
        torch.testing.assert_close(found, expected)
    network = randomize(SegFixNetwork(HrNet(4, first=32)))
    boundary, directions = predict(network, image, 32, 20, 2)
    total, ways, count = torch.zeros(SIZE), torch.zeros(8, *SIZE), torch.zeros(SIZE)
    for y in (0, 8):
        for x in (0, 20, 28):
            part = image[:, :, y : y + 32, x : x + 32]
            large = [
                nn.functional.interpolate(out, (32, 32), mode="bilinear", align_corners=True)[0]
                for out in (network(part)[0].softmax(1), network(part)[1])
            ]
            total[y : y + 32, x : x + 32] += large[0][1]
            ways[:, y : y + 32, x : x + 32] += large[1]
            count[y : y + 32, x : x + 32] += 1
    torch.testing.assert_close(boundary, total / count, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(directions, ways / count, atol=1e-4, rtol=1e-3)


def test_the_image_is_seen_as_bgr_by_statistics_of_rgb():
    found = normalize(np.array([[[255, 0, 51]]], np.uint8))[0, :, 0, 0]
    expected = [(0.2 - 0.485) / 0.229, (0 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("mode", "scale"), [("instance", 1), ("semantic", 2)])
def test_offsets_come_once_from_the_image_and_move_all_masks(mode, scale):
    image = photo(SIZE, 0)
    coarse = np.stack([blob(SIZE, 1), np.zeros(SIZE, bool), np.ones(SIZE, bool), ~blob(SIZE, 1)])
    refiner = SegFix(mode=mode, device="cpu", network=Colored())
    found = refiner.refine(image, coarse)
    offsets = refiner.offsets(Sample(image, coarse, "image", (0, 1, 2, 3)))
    assert {tuple(step) for step in offsets.reshape(-1, 2)} > {(0, 0)}
    assert found.flags == (REFINED, EMPTY, REFINED, REFINED)
    for k in (0, 2, 3):
        assert (found.masks[k] == moved_in_loops(coarse[k], offsets, scale)).all()
    assert (found.masks[0] != coarse[0]).any()
    assert found.masks[2].all(), "a full mask has nothing else to look up"
    assert not (found.masks[0] & found.masks[3]).any(), "what did not overlap still does not"
    assert found.logits is None
    assert found.timing["encode"] > 0


def test_a_lost_mask_leaves_the_coarse_one():
    coarse = np.zeros(SIZE, bool)
    coarse[10, 10] = True
    refiner = SegFix(device="cpu", network=Colored())
    refiner.offsets = lambda sample: np.ones((*SIZE, 2), np.int8)
    found = refiner.refine(photo(SIZE, 0), coarse[:, :])
    assert found.flags == (REFINED,)
    assert np.argwhere(found.masks[0]).tolist() == [[9, 9]]
    refiner.offsets = lambda sample: np.where(np.arange(SIZE[1]) < 20, 1, 0)[None, :, None].repeat(40, 0).repeat(2, 2)
    coarse = np.zeros(SIZE, bool)
    coarse[0, 5] = True
    assert refiner.refine(photo(SIZE, 0), coarse).flags == (FALLBACK,)


@pytest.mark.parametrize("size", [(60, 60), (1, 9), (7, 600)])
def test_images_smaller_than_a_window_are_refined(size):
    network = randomize(SegFixNetwork(HrNet2x(4, first=16)))
    coarse = np.ones(size, bool)
    assert SegFix(device="cpu", network=network).refine(photo(size, 0), coarse).masks.all()


class TestOffsetFiles:
    def sample(self, image_id="city/street"):
        return Sample(photo(SIZE, 0), rough(blob(SIZE, 0), 0)[None], image_id, (0,))

    def test_they_take_the_networks_place(self, tmp_path):
        offsets = np.random.default_rng(0).integers(-3, 4, (*SIZE, 2)).astype(np.int8)
        scipy.io.savemat(tmp_path / "street.mat", {"mat": offsets})
        found = SegFix(device="cpu", offsets=tmp_path, scale=2).refine_sample(self.sample())
        assert (found.masks[0] == moved_in_loops(self.sample().masks[0], offsets.astype(int), 2)).all()
        (tmp_path / "city").mkdir()
        scipy.io.savemat(tmp_path / "city" / "street_x.mat", {"mat": 0 * offsets})
        other = SegFix(device="cpu", offsets=tmp_path, pattern="{folder}/{stem}_x.mat").refine_sample(self.sample())
        assert (other.masks == self.sample().masks).all()

    def test_missing_broken_and_unfit_ones_are_one_sentence(self, tmp_path):
        refiner = SegFix(device="cpu", offsets=tmp_path)

        def refusal(pattern):
            with pytest.raises(InputError, match=pattern) as caught:
                refiner.refine_sample(self.sample())
            assert "\n" not in str(caught.value)

        refusal(r"street\.mat is missing")
        (tmp_path / "street.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
        refusal("cannot be read as a MATLAB file")
        scipy.io.savemat(tmp_path / "street.mat", {"other": np.zeros(3)})
        refusal("holds nothing as `mat`")
        scipy.io.savemat(tmp_path / "street.mat", {"mat": np.zeros((4, 5, 2))})
        refusal(r"shape \(4, 5, 2\) as `mat`; expected \(40, 60, 2\)")
        scipy.io.savemat(tmp_path / "street.mat", {"mat": np.full((*SIZE, 2), 0.5)})
        refusal("no integers")


def test_weights_are_read_as_published(tmp_path):
    torch.manual_seed(0)
    for backbone in (HrNet(4, first=32), HrNet2x(4, first=16)):
        network = randomize(SegFixNetwork(backbone))
        state = {f"module.{key}": value for key, value in network.state_dict().items() if "num_batches" not in key}
        torch.save({"config_dict": {"gpu": [0]}, "state_dict": state}, tmp_path / "x.pth")
        loaded = SegFix(tmp_path / "x.pth", device="cpu").network
        assert type(loaded.backbone) is type(backbone)
        conv = loaded.state_dict()["backbone.conv1.weight"]
        assert torch.equal(conv, state["module.backbone.conv1.weight"])
    del state["module.dir_head.2.weight"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(WeightsError, match=r"missing keys: dir_head\.2\.weight"):
        SegFix(tmp_path / "less.pth")
    torch.save({"backbone.conv_mask.weight": torch.zeros(1)}, tmp_path / "bpr.pth")
    with pytest.raises(WeightsError, match=r"checkpoint of BPR; .* refiner=bpr$"):
        SegFix(tmp_path / "bpr.pth")


def test_the_architecture_is_that_of_the_weights():
    with torch.device("meta"):
        for make in (HrNet, HrNet2x):
            state = SegFixNetwork(make()).state_dict()
            assert SegFixNetwork(backbone_of(state)).state_dict().keys() == state.keys()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "panoptic"}, "mode is 'panoptic'"),
        ({"architecture": "hrnet18"}, "architecture is 'hrnet18'"),
        ({"stride": 0}, "stride=0"),
        ({"scale": 0}, "scale=0"),
        ({"pattern": "{name}.mat"}, "expected a file name with no fields but {image_id}"),
        ({"offsets": "nowhere"}, "refiner.offsets=nowhere is not there"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        SegFix(network=Colored(), **options)
