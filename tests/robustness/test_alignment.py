"""Masks come out where they went in, to a fraction of a pixel, at every size and aspect ratio.

Two stand-ins take the model's place. One answers with the signs of the mask prompt, so that the way in (image to logit
grid) and the way out must undo each other; the amplitude, which falls off from the center, is left aside. The other
knows the scene as a formula and answers with its distances on the logit grid, so that the way out alone is measured
against pixels painted from the same formula.
"""

import numpy as np
import pytest
import torch
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from samref.config.compose import build, compose_config
from samref.geometry.frames import resized_size
from samref.structures import Candidates, Embedding

IMG_SIZE = 512
GRID = IMG_SIZE // 4


class StandIn(nn.Module):
    """A backbone whose logits are given by `answer(embedding, prompts)`: N x h x w."""

    name, weights_sha256, encoder_id, device = "stand-in", "", "", torch.device("cpu")

    def __init__(self, answer, stretched=False):
        super().__init__()
        self.answer, self.img_size, self.stretched = answer, IMG_SIZE, stretched
        self.embedding_size, self.mask_input_size = (IMG_SIZE // 16,) * 2, (GRID,) * 2
        self.iou_head = nn.Identity()

    def encode(self, image):
        size = image.shape[:2]
        input_size = resized_size(size, self.img_size, self.stretched)
        return Embedding(torch.zeros(1, 4, *self.embedding_size), size, input_size)

    def decode(self, embedding, prompts, *, unpadded_only=False):
        logits = torch.as_tensor(self.answer(embedding, prompts), dtype=torch.float32)
        return Candidates(
            logits[:, None].expand(-1, 4, -1, -1), torch.ones(len(logits), 4), torch.zeros(len(logits), 2)
        )


def refine(backbone, mask):
    config = compose_config(["backbone=tiny", "prompts.box.lam=0"])
    refiner = build(config.refiner, backbone=backbone, prompts=build(config.prompts))
    return refiner.refine(np.zeros((*mask.shape, 3), np.uint8), mask).masks[0]


def distance(x, y, size, shape):
    """Signed distance (image px, to first order) of continuous coordinates to an ellipse; positive inside."""
    height, width = size
    cx, cy, rx, ry = shape[0] * width, shape[1] * height, shape[2] * width, shape[3] * height
    u, v = (x - cx) / rx, (y - cy) / ry
    reach = np.sqrt(u**2 + v**2)
    slope = np.sqrt((u / rx) ** 2 + (v / ry) ** 2) / np.maximum(reach, 1e-9)
    return (1 - reach) / np.maximum(slope, 1e-9)


def painted(size, shape):
    """The scene at the centers of the image's pixels: pixel i spans i to i + 1."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return distance(x, y, size, shape)


def resolved(size, shape):
    """Whether the logit grid can draw the outline: enough cells across, and no bend tighter than they follow."""
    cell = max(1, max(size) / GRID)
    radii = sorted((shape[2] * size[1], shape[3] * size[0]))
    # Between cells the outline is drawn straight, up to cell^2 / 8R beside a bend of radius R.
    return radii[0] > 6 * cell and cell**2 / (8 * radii[0] ** 2 / radii[1]) < 0.25


SIZES = st.tuples(st.integers(60, 700), st.integers(60, 700)) | st.sampled_from(
    [
        (512, 512),
        (511, 512),
        (512, 511),
        (480, 854),
        (854, 480),
        (120, 480),
        (480, 120),
        (1537, 1025),
        (333, 999),
        (240, 960),
    ]
)
SHAPES = st.tuples(st.floats(0.45, 0.55), st.floats(0.45, 0.55), st.floats(0.2, 0.33), st.floats(0.2, 0.33))


def farthest_wrong(size, shape, shift=0.0, stretched=False):
    """Distance to the outline of the worst pixel that comes out wrong, in image px, for logits shifted by as much."""

    def answer(embedding, prompts):
        model = (np.arange(GRID) + 0.5) * IMG_SIZE / GRID
        x = model[None, :] * size[1] / embedding.input_size[1]
        y = model[:, None] * size[0] / embedding.input_size[0]
        return distance(x - shift, y, size, shape)[None]

    truth = painted(size, shape)
    wrong = refine(StandIn(answer, stretched), truth > 0) != (truth > 0)
    return np.abs(truth[wrong]).max(initial=0)


@settings(max_examples=25, phases=(Phase.explicit, Phase.generate))  # large images: not to be shrunk for minutes
@given(size=SIZES, shape=SHAPES, stretched=st.booleans())
def test_exact_logits_come_out_as_the_pixels_of_the_scene(size, shape, stretched):
    assume(resolved(size, shape))
    # Half a pixel is what a wrong convention costs.
    assert farthest_wrong(size, shape, stretched=stretched) < 0.3


def test_half_a_pixel_to_the_side_would_show():
    for size in ((512, 512), (480, 854), (120, 480)):
        for stretched in (False, True):
            assert farthest_wrong(size, (0.5, 0.5, 0.3, 0.3), 0.5, stretched) > 0.4


@settings(max_examples=25, phases=(Phase.explicit, Phase.generate))  # large images: not to be shrunk for minutes
@given(size=SIZES, shape=SHAPES, stretched=st.booleans())
def test_a_mask_prompt_comes_out_where_it_went_in(size, shape, stretched):
    assume(resolved(size, shape))
    truth = painted(size, shape)
    mask = truth > 0
    refined = refine(StandIn(lambda embedding, prompts: np.sign(prompts.mask_input[:, 0]), stretched), mask)
    cell = max(1.0, max(size) / GRID)
    # The prompt's sign lives on the grid, so single pixels may move by a cell, but not all to one side.
    assert np.abs(truth[refined != mask]).max(initial=0) <= 1.2 * cell
    for axis in (0, 1):
        shift = np.nonzero(refined)[axis].mean() - np.nonzero(mask)[axis].mean()
        assert abs(shift) < 0.3 * cell, f"shifted by {shift:.2f} px of {cell:.1f} px cells"


@pytest.mark.parametrize("stretched", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3, 2500)])
def test_images_of_a_row_keep_their_masks_place(size, stretched):
    # Far from the center of a line, the Gaussian is 0 in single precision; the background never is.
    backbone = StandIn(lambda embedding, prompts: np.where(prompts.mask_input[:, 0] < 0, -1, 1), stretched)
    mask = np.zeros(size, bool)
    mask.reshape(-1)[: max(1, 2 * mask.size // 3)] = True if min(size) == 1 else mask.reshape(-1)[0]
    if min(size) > 1:
        mask[:, : 2 * size[1] // 3] = True
    refined = refine(backbone, mask)
    ends = [np.nonzero(part)[int(size[1] > size[0])].max() for part in (mask, refined)]
    assert abs(ends[0] - ends[1]) <= 1.2 * max(1, max(size) / GRID)
