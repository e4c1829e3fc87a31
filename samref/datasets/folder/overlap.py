"""Refined labels of one file, which can hold one label a pixel: who has the pixels that several masks claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from samref.structures import KEPT, REFINED, BoolArray, IntArray, Refinement

NOBODY = -1
COVERED = "kept: other labels of its file cover all of the refined mask"


@dataclass(frozen=True)
class Shares:
    """The masks of one label map as it can hold them.

    Attributes:
        masks: N x H x W bool; of two labels no pixel is the same.
        given_up: N, the pixels that each mask lost to another label.
        kept: N bool, masks that were to be refined and are the coarse ones again, since others cover all of them.
    """

    masks: BoolArray
    given_up: IntArray
    kept: BoolArray


def share_out(
    coarse: BoolArray,
    refinement: Refinement,
    rows: Sequence[int],
    labels: Sequence[int],
    ignored: BoolArray,
    has_background: bool,
) -> Shares:
    """Shares out the pixels of one file among its labels.

    Masks that are as they came are in the file pixel for pixel: they do not overlap each other. Of refined ones the one
    with the higher logit, or else predicted IoU, has a pixel. Where every pixel has a label, pixels that nobody claims
    keep theirs.

    Args:
        coarse: N x H x W bool, of the sample.
        refinement: of the sample.
        rows: which of its masks are in the file.
        labels: of these masks; regions of one label do not compete.
        ignored: H x W bool, pixels that stay what they are.
        has_background: whether a pixel may be of no label.

    Returns:
        The shares, one a row.
    """
    claimed = refinement.masks[list(rows)] & ~ignored
    as_it_came = np.array([refinement.flags[row] != REFINED for row in rows], dtype=bool)
    kept = np.zeros(len(rows), bool)
    while True:
        owner = _owners(claimed, refinement, rows, labels, as_it_came | kept)
        shared = np.stack([mask & (owner == label) for mask, label in zip(claimed, labels, strict=True)])
        covered = claimed.any(axis=(1, 2)) & ~shared.any(axis=(1, 2)) & ~as_it_came & ~kept
        if not covered.any():
            break
        kept |= covered
        for k in np.flatnonzero(covered).tolist():
            claimed[k] = coarse[rows[k]] & ~ignored
    given_up = (claimed & ~shared).sum(axis=(1, 2)).astype(np.int64)
    if not has_background:
        shared |= coarse[list(rows)] & ~shared.any(axis=0) & ~ignored
    return Shares(shared, given_up, kept)


def settle(refinement: Refinement, rows: Sequence[int], shares: Shares) -> None:
    """Puts the shares of a file's masks into a refinement, with what each lost."""
    flags, refined = list(refinement.flags), refinement.masks[list(rows)]
    if refinement.overlap is None:
        refinement.overlap = np.zeros(len(flags), np.int64)
    for k, row in enumerate(rows):
        refinement.masks[row] = shares.masks[k]
        refinement.overlap[row] = shares.given_up[k]
        if shares.kept[k]:
            flags[row], refinement.rejected[row] = KEPT, refined[k]
            if refinement.reasons is not None:
                refinement.reasons = (*refinement.reasons[:row], COVERED, *refinement.reasons[row + 1 :])
    refinement.flags = tuple(flags)


def _owners(
    claimed: BoolArray, refinement: Refinement, rows: Sequence[int], labels: Sequence[int], first: BoolArray
) -> IntArray:
    """H x W, the label that has each pixel."""
    owner = np.full(claimed.shape[1:], NOBODY, np.int64)
    if refinement.logits is not None:
        scores = np.where(claimed, refinement.logits[list(rows)], -np.inf)
        some = claimed.any(axis=0)
        owner[some] = np.array(labels)[scores.argmax(axis=0)][some]
    order = sorted(range(len(rows)), key=lambda k: (bool(first[k]), float(refinement.predicted_iou[rows[k]]), -k))
    for k in order:
        if first[k] or refinement.logits is None:
            owner[claimed[k]] = labels[k]
    return owner
