"""The diffusion against one that goes pixel by pixel, and its draws."""

import numpy as np
import pytest
import torch

from samref.refiners.segrefiner.diffusion import KEPT, change_rate, denoise, given_draw, mask_seed, seeded_draw
from tests.factories import blob

KEEP = [0.8, 0.64, 0.48, 0.32, 0.16, 0.0]
BEFORE = [1, 0.8, 0.64, 0.48, 0.32, 0.16]
SHAPE = (3, 1, 5, 4)


class Noisy:
    """Logits that depend on the mask, the place and the time."""

    def __init__(self, seed=0):
        self.base = torch.from_numpy(np.random.default_rng(seed).normal(0, 2, SHAPE)).float()
        self.times = []

    def __call__(self, x, t):
        self.times.append(t.tolist())
        return self.base * (0.5 + t.view(-1, 1, 1, 1)) / 3 + 2 * x[:, 3:] - 1


def draws(count, seed=1):
    return np.random.default_rng(seed).random((count, *SHAPE)).astype(np.float32)


def pixel_by_pixel(base, coarse, times, uniform):
    """Steps 1 to 3 of the sampling loop in scalar arithmetic."""
    probability, fine = np.zeros(SHAPE), np.zeros(SHAPE)
    for place in np.ndindex(SHAPE):
        x, f = float(coarse[place]), 0.0
        for k, t in enumerate(times):
            logit = float(base[place]) * (0.5 + t) / 3 + 2 * x - 1
            s = 1 / (1 + np.exp(-logit))
            c = abs(2 * s - 1)
            f += (1 - f) * c * (BEFORE[t] - KEEP[t]) / (1 - c * KEEP[t])
            if k < len(times) - 1:
                x = float(logit >= 0) if uniform[k][place] < f else float(coarse[place])
        probability[place], fine[place] = s, f
    return probability, fine


def test_keep_probabilities_are_the_published_ones():
    np.testing.assert_allclose(KEPT, KEEP, atol=1e-7)


def test_each_pixel_takes_the_steps_of_the_sampling_loop():
    coarse = torch.from_numpy(np.random.default_rng(2).random(SHAPE) > 0.5).float()
    for times in ((5, 4, 3, 2, 1, 0), (5, 4, 3, 2, 1), (0,)):
        network, uniform = Noisy(), draws(len(times))
        given = iter(uniform)
        found = denoise(network, torch.zeros(3, 3, 5, 4), coarse, times, given_draw(lambda _, given=given: next(given)))
        for one, expected in zip(found, pixel_by_pixel(network.base, coarse, times, uniform), strict=True):
            np.testing.assert_allclose(one, expected, atol=1e-5)
        assert network.times == [[t] * 3 for t in times]
        assert len(list(given)) == 1, "the last step draws nothing"


def test_a_sure_pixel_turns_fine_at_once_and_an_unsure_one_never():
    sure = change_rate(torch.tensor([0.0, 0.5, 1.0]), 3)
    np.testing.assert_allclose(sure, [(0.48 - 0.32) / (1 - 0.32), 0, (0.48 - 0.32) / (1 - 0.32)], atol=1e-6)
    assert change_rate(torch.tensor([0.9]), 5).item() == pytest.approx(0.8 * 0.16)


def test_draws_belong_to_a_mask_and_not_to_its_place():
    masks = [blob((40, 50), seed) for seed in range(3)]
    together, alone = seeded_draw(masks, 7), seeded_draw(masks[1:2], 7)
    for _ in range(2):
        many, one = together((3, 1, 8, 8)), alone((1, 1, 8, 8))
        assert torch.equal(many[1:2], one)
        assert not torch.equal(many[0], many[1])
        assert ((many >= 0) & (many < 1)).all()


def test_seeds_tell_masks_sizes_and_runs_apart():
    mask = blob((40, 50), 0)
    seeds = [mask_seed(mask, 0), mask_seed(mask, 1), mask_seed(~mask, 0), mask_seed(mask.reshape(50, 40), 0)]
    assert len(set(seeds)) == 4
    assert mask_seed(mask.copy(), 0) == seeds[0]
    assert all(0 <= seed < 2**63 for seed in seeds)
