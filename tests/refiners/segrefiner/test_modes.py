"""Both modes around a network that is easy to compute, against procedures written in plain loops."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from samref.refiners.segrefiner import SegRefiner
from samref.refiners.segrefiner.semantic import nearest
from samref.refiners.windows import thinned
from tests.factories import blob, photo, rough

S = 32
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


class Blurring(nn.Module):
    """Follows the mask, blurred, and the image's red, the less the later; sees only what is near."""

    def forward(self, x, t):
        shape = F.avg_pool2d(x[:, 3:], 5, stride=1, padding=2)
        return 6 * (shape - 0.5) + x[:, :1] * (0.5 + t.view(-1, 1, 1, 1) / 5)


def network_in_loops(image, mask, t):
    """The same from H x W x 3 float and H x W, in numpy."""
    padded = np.pad(mask, 2)
    shape = sum(padded[y : y + len(mask), x : x + mask.shape[1]] for y in range(5) for x in range(5)) / 25
    return 6 * (shape - 0.5) + image[..., 0] * (0.5 + t / 5)


def diffusion_in_loops(image, mask, times, draw):
    keep, before = [0.8, 0.64, 0.48, 0.32, 0.16, 0.0], [1, 0.8, 0.64, 0.48, 0.32, 0.16]
    x, fine = mask.astype(float), np.zeros(mask.shape)
    for t in times:
        logits = network_in_loops(image, x, t)
        s = 1 / (1 + np.exp(-logits))
        c = np.abs(2 * s - 1)
        fine = fine + (1 - fine) * c * (before[t] - keep[t]) / (1 - c * keep[t])
        if t != times[-1]:
            x = np.where(draw() < fine, logits >= 0, mask)
    return s, fine


def normal(image):
    return (image.astype(float) - MEAN) / STD


def bilinear(values, size):
    """A side after the other, pixel centers on pixel centers, without smoothing."""
    for axis in (0, 1):
        length = values.shape[axis]
        where = ((np.arange(size[axis]) + 0.5) * length / size[axis] - 0.5).clip(0)
        low = np.minimum(where.astype(int), length - 1)
        high, share = np.minimum(low + 1, length - 1), where - low
        share = share.reshape([-1 if k == axis else 1 for k in range(values.ndim)])
        values = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return values


def instance_in_loops(image, mask, draw, pad=20):
    ys, xs = np.nonzero(mask)
    y0, y1 = max(ys.min() - pad, 0), min(ys.max() + 1 + pad, len(mask))
    x0, x1 = max(xs.min() - pad, 0), min(xs.max() + 1 + pad, mask.shape[1])
    crop = bilinear(normal(image)[y0:y1, x0:x1], (S, S))
    small = bilinear(mask[y0:y1, x0:x1].astype(float), (S, S)) >= 0.5
    probability, _ = diffusion_in_loops(crop, small, (5, 4, 3, 2, 1, 0), draw)
    result = np.zeros(mask.shape, bool)
    # A rim of zeros stands for what lies outside the crop.
    rimmed = np.pad(probability, 1)
    for y in range(y0, y1):
        for x in range(x0, x1):
            v, u = (y + 0.5 - y0) * S / (y1 - y0) + 0.5, (x + 0.5 - x0) * S / (x1 - x0) + 0.5
            r, c = int(v), int(u)
            dv, du = v - r, u - c
            top = rimmed[r, c] * (1 - du) + rimmed[r, c + 1] * du
            bottom = rimmed[r + 1, c] * (1 - du) + rimmed[r + 1, c + 1] * du
            result[y, x] = top * (1 - dv) + bottom * dv >= 0.5
    return result


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def semantic_in_loops(image, mask, draw):
    height, width = mask.shape
    rows, columns = [int(k * height / S) for k in range(S)], [int(k * width / S) for k in range(S)]
    small_image, small = normal(image)[np.ix_(rows, columns)], mask[np.ix_(rows, columns)]
    probability, fine = diffusion_in_loops(small_image, small, (5, 4, 3, 2, 1), draw)
    back = np.ix_([int(y * S / height) for y in range(height)], [int(x * S / width) for x in range(width)])
    globally = probability[back] >= 0.5
    boxes, scores = [], []
    for y in range(S):
        for x in range(S):
            if fine[y, x] < 0.9 * fine.max():
                x0 = min(max(int(x * width / S) - S // 2, 0), width - S)
                y0 = min(max(int(y * height / S) - S // 2, 0), height - S)
                boxes.append((x0, y0, x0 + S, y0 + S))
                scores.append(1 - fine[y, x])
    kept = []
    for k in sorted(range(len(boxes)), key=lambda k: -scores[k]):
        if all(overlap(boxes[k], other) <= 0.3 for other in kept):
            kept.append(boxes[k])
    total, count = np.zeros(mask.shape), np.zeros(mask.shape)
    for x0, y0, x1, y1 in kept:
        inside = globally[y0:y1, x0:x1]
        if inside.any() and not inside.all():
            total[y0:y1, x0:x1] += diffusion_in_loops(normal(image)[y0:y1, x0:x1], inside, (0,), None)[0]
            count[y0:y1, x0:x1] += 1
    return np.where(count > 0, total / np.maximum(count, 1) >= 0.5, globally), kept, count


def uniform(seed):
    """The same numbers for a chunk as for the loops."""
    numbers = np.random.default_rng(seed)
    return lambda shape=(S, S): numbers.random(shape).astype(np.float32)


def refiner(mode, **options):
    return SegRefiner(mode=mode, device="cpu", size=S, min_area=64, network=Blurring(), **options)


@pytest.mark.parametrize("seed", range(3))
def test_instance_mode_crops_denoises_and_pastes(seed):
    image, mask = photo((60, 90), seed), rough(blob((60, 90), seed), seed)
    result = refiner("instance", uniform=uniform(seed)).refine(image, mask)
    expected = instance_in_loops(image, mask, uniform(seed))
    assert (result.masks[0] != mask).any()
    assert np.count_nonzero(result.masks[0] != expected) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_semantic_mode_looks_closer_where_the_global_step_was_unsure(seed):
    image, mask = photo((75, 130), seed), rough(blob((75, 130), seed), seed)
    result = refiner("semantic", uniform=uniform(seed), chunk_size=2).refine(image, mask)
    expected, kept, count = semantic_in_loops(image, mask, uniform(seed))
    assert len(kept) > 2
    assert count.max() > 1, "patches overlap"
    assert (count == 0).any(), "the global result stands somewhere"
    assert np.count_nonzero(result.masks[0] != expected) <= 1


def test_nearest_neighbors_are_those_of_torch():
    for length, size in ((1, 7), (37, 256), (5000, 256), (256, 641), (256, 5000)):
        expected = F.interpolate(torch.arange(length)[None, None].double(), size=size, mode="nearest")[0, 0]
        assert nearest(size, length).tolist() == expected.long().tolist()
        assert nearest(size, length).max() == length - 1 or length > size


def test_of_equal_windows_the_first_stays():
    windows = torch.tensor([[0, 0, 4, 4], [1, 0, 5, 4], [9, 0, 13, 4], [0, 0, 4, 4]])
    assert thinned(windows, torch.tensor([0.5, 0.5, 0.9, 0.5]), 0.3).tolist() == [2, 0]
    # 12 of 20 px are shared by the first two.
    assert thinned(windows, torch.tensor([0.5, 0.6, 0.9, 0.5]), 0.59).tolist() == [2, 1]
    assert thinned(windows, torch.tensor([0.5, 0.6, 0.9, 0.5]), 0.61).tolist() == [2, 1, 0]
