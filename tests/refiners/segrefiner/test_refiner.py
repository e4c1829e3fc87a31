"""What goes in and comes out of SegRefiner: order, seeds, small, full and lost masks, files of weights."""

import numpy as np
import pytest
import torch
from torch import nn

from samref.backbones.weights.by_hand import HAND_FETCHED
from samref.errors import ConfigError, WeightsError
from samref.refiners.segrefiner import SegRefiner
from samref.refiners.segrefiner.unet import DenoisingUNet
from samref.structures import EMPTY, FALLBACK, KEPT, REFINED
from tests.factories import blob, photo, rough
from tests.refiners.segrefiner.test_modes import Blurring

SMALL = {"size": 32, "width": 32, "device": "cpu", "min_area": 64}
BLURRING = {"size": 32, "device": "cpu", "min_area": 64, "network": Blurring()}
SIZE = (70, 90)


class Constant(nn.Module):
    """The same logit everywhere."""

    def __init__(self, logit):
        super().__init__()
        self.logit = logit

    def forward(self, x, t):
        return torch.full_like(x[:, :1], self.logit)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return {f"denoise_model.{key}": value for key, value in DenoisingUNet(32).state_dict().items()}


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    # As published: with what only training needs.
    torch.save(state | {"loss_texture.sobel.conv_x.weight": torch.ones(1, 1, 3, 3)}, path)
    return path


def masks(count=5, size=SIZE):
    return np.stack([rough(blob(size, k), k) for k in range(count)])


@pytest.mark.parametrize("mode", ["instance", "semantic"])
def test_masks_depend_neither_on_order_nor_chunks_nor_on_those_beside_them(mode):
    image, coarse, order = photo(SIZE, 0), masks(), [3, 0, 4, 1, 2]
    together = SegRefiner(mode=mode, **BLURRING, chunk_size=5).refine(image, coarse)
    turned = SegRefiner(mode=mode, **BLURRING, chunk_size=2).refine(image, coarse[order])
    alone = SegRefiner(mode=mode, **BLURRING, chunk_size=1).refine(image, coarse[2])
    assert (together.masks != coarse).any()
    assert (turned.masks == together.masks[order]).all()
    assert (alone.masks[0] == together.masks[2]).all()


@pytest.mark.parametrize("mode", ["instance", "semantic"])
def test_the_seed_decides_the_draws(mode):
    runs = [SegRefiner(mode=mode, seed=seed, **BLURRING).refine(photo(SIZE, 0), masks()) for seed in (0, 0, 1)]
    assert (runs[0].masks == runs[1].masks).all()
    assert (runs[0].masks != runs[2].masks).any()


def test_the_network_itself_does_not_mix_what_is_beside_each_other(file):
    image, coarse = photo(SIZE, 0), masks(3)
    together, apart = (SegRefiner(file, chunk_size=size, **SMALL).refine(image, coarse) for size in (3, 1))
    assert (together.masks != coarse).any()
    assert (together.masks != apart.masks).mean() < 1e-4


def test_small_masks_stay_in_their_place_and_say_why():
    coarse = np.zeros((3, *SIZE), bool)
    coarse[0, 10:40, 10:40], coarse[1, 10:20, 10:20], coarse[2, 10:26, 10:42] = True, True, True
    found = SegRefiner(mode="instance", size=32, device="cpu", network=Blurring()).refine(photo(SIZE, 0), coarse)
    assert found.flags == (REFINED, KEPT, REFINED)
    assert (found.masks[1] == coarse[1]).all()
    assert found.reasons[1].startswith("kept: fewer than 512 px")
    assert found.reasons[0] == ""


def test_semantic_mode_keeps_what_the_authors_code_empties():
    coarse = np.zeros((3, *SIZE), bool)
    coarse[0, :8, :16], coarse[1, :8, :16], coarse[1, 8, 0] = True, True, True
    found = SegRefiner(mode="semantic", size=32, device="cpu", network=Blurring()).refine(photo(SIZE, 0), coarse)
    assert found.flags == (KEPT, REFINED, EMPTY)
    assert (found.masks[0] == coarse[0]).all()


@pytest.mark.parametrize("mode", ["instance", "semantic"])
def test_what_comes_out_empty_leaves_the_coarse_mask(mode):
    coarse = masks(1)
    refiner = SegRefiner(mode=mode, size=32, device="cpu", min_area=64, network=Constant(-3.0))
    found = refiner.refine(photo(SIZE, 0), coarse, keep_logits=True)
    assert found.flags == (FALLBACK,)
    assert (found.masks == coarse).all()
    assert (found.logits[0] == np.where(coarse[0], 0, -np.inf)).all()


@pytest.mark.parametrize("size", [(60, 60), (20, 90), (90, 20), (1, 300), (64, 64)])
@pytest.mark.parametrize("mode", ["instance", "semantic"])
def test_images_smaller_than_the_network_are_refined(mode, size, file):
    coarse = np.ones(size, bool)
    coarse[:, : size[1] // 3] = False
    options = {"device": "cpu", "size": 64, "min_area": 1}
    found = SegRefiner(mode=mode, network=Blurring(), **options).refine(photo(size, 0), coarse)
    assert found.flags == (REFINED,)
    assert SegRefiner(file, mode, width=32, **options).refine(photo(size, 0), coarse).masks.shape == (1, *size)


def test_the_local_step_of_a_flat_image_sees_it_mirrored():
    seen = []

    class Watching(Blurring):
        def forward(self, x, t):
            seen.append(x)
            return super().forward(x, t)

    image, coarse = photo((20, 90), 0), blob((20, 90), 0)
    SegRefiner(mode="semantic", size=32, device="cpu", network=Watching()).refine(image, coarse)
    patch = seen[-1][0]
    assert torch.equal(patch[:, 20:32], patch[:, 7:19].flip(1))


@pytest.mark.parametrize("mode", ["instance", "semantic"])
def test_a_full_mask_is_refined_as_any_other(mode):
    coarse = np.ones(SIZE, bool)
    found = SegRefiner(mode=mode, size=32, device="cpu", network=Constant(3.0)).refine(photo(SIZE, 0), coarse)
    assert found.flags == (REFINED,)
    # At the rim of the image instance mode sees zeros beyond it; sigmoid(3) / 2 is below one half there.
    assert found.masks[0][2:-2, 2:-2].all()


@pytest.mark.parametrize("mode", ["instance", "semantic"])
def test_logits_cut_at_0_are_the_mask(mode):
    found = SegRefiner(mode=mode, **BLURRING).refine(photo(SIZE, 0), masks(2), keep_logits=True)
    assert found.flags == (REFINED, REFINED)
    assert ((found.logits > 0) == found.masks).mean() > 0.999
    assert found.timing["decode"] > 0


def test_bf16_moves_logits_by_a_few_percent(file):
    torch.manual_seed(0)
    images, shapes = torch.randn(2, 3, 32, 32), torch.rand(2, 1, 32, 32).round()
    single, half = (
        SegRefiner(file, precision=name, **SMALL)._closer(images, shapes).logit() for name in ("fp32", "bf16")
    )
    assert 0 < (single - half).abs().max() < 0.05 * single.abs().max()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "meta": {"epoch": 1}},
        lambda state: {f"module.{k}": v for k, v in state.items()},
    ],
    ids=["wrapped", "prefixed"],
)
def test_wrapped_and_prefixed_files_are_read(wrap, state, tmp_path):
    torch.save(wrap(state), tmp_path / "other.pth")
    network = SegRefiner(tmp_path / "other.pth", **SMALL).network
    assert all(torch.equal(value, state[f"denoise_model.{key}"]) for key, value in network.state_dict().items())


def test_keys_and_shapes_are_checked_and_named(state, tmp_path):
    wrong = dict(state)
    del wrong["denoise_model.out.2.bias"]
    wrong["denoise_model.surplus"] = torch.zeros(1)
    wrong["denoise_model.out.0.bias"] = torch.zeros(7)
    torch.save(wrong, tmp_path / "wrong.pth")
    with pytest.raises(WeightsError) as caught:
        SegRefiner(tmp_path / "wrong.pth", **SMALL)
    for said in (
        "missing keys: denoise_model.out.2.bias",
        "unexpected keys: denoise_model.surplus",
        "(7,) instead of (32,)",
    ):
        assert said in str(caught.value)


def test_weights_of_the_other_mode_are_warned_of(state, tmp_path, recwarn):
    for name in ("segrefiner_lr", "segrefiner_hr"):
        torch.save(state, tmp_path / HAND_FETCHED[name].filename)
    SegRefiner(tmp_path / "segrefiner_lr_latest.pth", "instance", **SMALL)
    SegRefiner(tmp_path / "segrefiner_hr_latest.pth", "semantic", **SMALL)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="for instance mode, and refiner.mode=semantic.*use segrefiner_hr_latest.pth"):
        SegRefiner(tmp_path / "segrefiner_lr_latest.pth", "semantic", **SMALL)
    with pytest.warns(UserWarning, match="for semantic mode"):
        SegRefiner(tmp_path / "segrefiner_hr_latest.pth", "instance", **SMALL)


def test_without_weights_the_sentence_says_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMREF_CACHE", str(tmp_path))
    with pytest.raises(
        WeightsError, match=r"segrefiner_hr_latest\.pth from https://drive\.google\.com.*refiner\.weights=FILE"
    ):
        SegRefiner(mode="semantic", device="cpu")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "panoptic"}, "refiner.mode is 'panoptic'"),
        ({"precision": "fp8"}, "refiner.precision is 'fp8'"),
        ({"chunk_size": 0}, "refiner.chunk_size is 0"),
        ({"size": 100}, "size=100"),
        ({"width": 20}, "width=20"),
        ({"steps": 7}, "steps=7"),
        ({"mode": "semantic", "iou_threshold": 2.0}, "iou_threshold=2.0"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        SegRefiner(network=Blurring(), **options)
