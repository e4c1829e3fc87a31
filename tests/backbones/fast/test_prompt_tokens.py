"""Tokens of points and boxes against the packaged prompt encoder, to the bit."""

import pytest
import torch

from samref.backbones.fast.prompt_tokens import prompt_tokens
from samref.backbones.tiny import TinySam

COUNT = 5


@pytest.fixture(scope="module")
def encoder():
    return TinySam(device="cpu").prompt_encoder


@pytest.mark.parametrize("with_boxes", [False, True])
@pytest.mark.parametrize("points", [0, 1, 3])
def test_tokens_are_the_packaged_ones(encoder, points, with_boxes):
    random = torch.Generator().manual_seed(points)
    coords = 100 * torch.rand(COUNT, points, 2, generator=random)
    labels = torch.randint(-1, 2, (COUNT, points), generator=random)
    boxes = 100 * torch.rand(COUNT, 4, generator=random) if with_boxes else None
    given = (coords, labels) if points else None
    with torch.no_grad():
        expected = encoder(points=given, boxes=boxes, masks=None)[0]
        found = prompt_tokens(encoder, *(given or (None, None)), boxes, COUNT)
    # Without prompts the packaged encoder knows of one only.
    assert torch.equal(found, expected if given or with_boxes else expected.expand(COUNT, -1, -1))
    assert found.shape[1] == points + (points > 0 and not with_boxes) + 2 * with_boxes
