"""The fast path gives the pixels of the plain one."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from benchmarks.plain import PlainRefiner
from samref.backbones.tiny import TinySam
from samref.config.compose import build, compose_config
from samref.refiners.samrefiner import SAMRefiner


@pytest.mark.parametrize("size", [(90, 160), (160, 90), (64, 64)])
def test_refined_masks_are_those_of_the_plain_path(size):
    rng = np.random.default_rng(size[0])
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    masks = np.stack([gaussian_filter(rng.standard_normal(size), 6) > 0.02 * k for k in range(4)])
    backbone = TinySam(device="cpu")
    refiner = SAMRefiner(backbone, build(compose_config(["prompts=all"]).prompts))
    ours = refiner.refine(image, masks, keep_logits=True)
    with torch.inference_mode():
        plain, logits = PlainRefiner(backbone, refiner.prompts).refine(masks, backbone.encode(image))
    undecided = np.abs(np.stack(logits)) < 1e-4
    assert undecided.mean() < 0.01
    assert np.array_equal(ours.masks[~undecided], np.stack(plain)[~undecided])
    assert ours.masks.any()
    assert not ours.masks.all()
