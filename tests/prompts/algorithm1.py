"""Algorithm 1 of the paper's appendix A.2 from its pseudo-code, on whole masks and with plain loops.

`python -m tests.prompts.algorithm1 --masks 10000` compares it with the package's on as many random masks; the suite
does so on fewer.
"""

import argparse
import sys

import numpy as np
from scipy import ndimage

from samref.prompts.split_then_merge import region_masks, split_then_merge

MU = (0.0, 0.25, 0.5, 0.9)


def algorithm1(mask, mu):
    """The merged regions, R x H x W bool, in row-major order of their first pixels."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    original = labels.copy()
    for i in range(1, count + 1):
        for j in range(i + 1, count + 1):
            # Boxes and areas are read from the map as it was split, whatever has been joined since.
            first, second = original == i, original == j
            box_i, box_j, around = area_of_box(first), area_of_box(second), area_of_box(first | second)
            if box_i + box_j > mu * around and first.sum() + second.sum() > mu * around:
                labels[labels == labels[second][0]] = labels[first][0]
    regions = [labels == k for k in np.unique(labels[labels > 0])]
    return sorted(regions, key=lambda region: np.flatnonzero(region)[0])


def area_of_box(region):
    rows, columns = np.nonzero(region)
    return int((rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1))


def random_mask(seed):
    """Specks, lumps and bars of any density, up to 32 px a side, many of them with regions that nearly meet."""
    rng = np.random.default_rng(seed)
    size = rng.integers(3, 33, 2)
    mask = rng.random(size) < rng.uniform(0.01, 0.35)
    kind = rng.integers(3)
    if kind:
        mask = ndimage.binary_dilation(mask, np.ones(rng.integers(1, 5, 2)))
    if kind == 2:
        mask &= rng.random(size) < rng.uniform(0.5, 1)
    return mask


def differences(seeds):
    """The seeds whose masks the package merges otherwise, and how many masks have other regions by `grown`."""
    wrong, grown = [], 0
    for seed in seeds:
        mask, mu = random_mask(seed), MU[seed % len(MU)]
        expected = algorithm1(mask, mu)
        found = region_masks(split_then_merge(mask, mu, "paper"))
        if len(found) != len(expected) or any((a != b).any() for a, b in zip(found, expected, strict=True)):
            wrong.append(seed)
        grown += len(region_masks(split_then_merge(mask, mu, "grown"))) != len(expected)
    return wrong, grown


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=int, default=10_000)
    count = parser.parse_args().masks
    wrong, grown = differences(range(count))
    print(f"{count} masks, {len(wrong)} merged otherwise than by Algorithm 1{wrong[:5] or ''}")
    print(f"{grown} of them have another number of regions by the rule `grown`")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
