"""Which mask file belongs to which image file, by their names alone."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from samref.io.image_folder import natural
from samref.io.images import printable
from samref.structures import Failure

_NUMBERED = re.compile(r"(.+)_\d+", re.DOTALL)


@dataclass(frozen=True)
class Pairing:
    """An image and its mask files.

    Attributes:
        image_id: path of the image below its folder, without suffix, in text that any file can hold.
        image: path of the image below its folder.
        masks: paths of its masks below theirs.
        truth: paths of their ground truth below its folder, one a mask file; empty where there is no such folder.
    """

    image_id: str
    image: Path
    masks: tuple[Path, ...]
    truth: tuple[Path, ...] = ()


def pair_files(
    images: Iterable[Path], masks: Iterable[Path], truth: Iterable[Path] | None = None
) -> tuple[list[Pairing], list[Failure]]:
    """Pairs images with masks of the same stem, `STEM_3` for the third of several, or of the image's full name.

    An image's own name goes first: with images `a` and `a_1`, mask `a_1` belongs to the latter. Names are compared in
    Unicode's composed form, since file systems differ in how they store accents.

    Args:
        images: paths below the folder of images.
        masks: paths below the folder of masks.
        truth: paths below the folder of ground truth, named as the masks are, or None.

    Returns:
        Pairings in the order of names, and what was left out and why: images without mask, masks without image,
        files of which several have one stem, images whose masks have no ground truth.
    """
    problems: list[Failure] = []
    photos = _unambiguous(images, "images", problems)
    found = _unambiguous(masks, "masks", problems)
    truths = None if truth is None else _unambiguous(truth, "ground truths", problems)
    by_name = {_composed(path.as_posix()): key for key, path in photos.items()}
    owned: dict[str, list[Path]] = defaultdict(list)
    for key, path in found.items():
        owner = _owner(key, photos, by_name)
        if owner is None:
            problems.append(Failure(_text(path), f"mask {printable(path)} has no image of its name"))
        else:
            owned[owner].append(path)
    pairings = []
    for key, image in photos.items():
        if key not in owned:
            problems.append(Failure(_text(image), f"image {printable(image)} has no mask of its name"))
            continue
        mine = sorted(owned[key], key=natural)
        lacking = [] if truths is None else [path for path in mine if _key(path) not in truths]
        if lacking:
            problems.append(Failure(_text(image), f"mask {printable(lacking[0])} has no ground truth of its name"))
            continue
        true_masks = () if truths is None else tuple(truths[_key(path)] for path in mine)
        pairings.append(Pairing(_text(image), image, tuple(mine), true_masks))
    return pairings, problems


def _unambiguous(paths: Iterable[Path], what: str, problems: list[Failure]) -> dict[str, Path]:
    """Files by their key; where several have the same, none is taken."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[_key(path)].append(path)
    for twins in groups.values():
        if len(twins) > 1:
            names = ", ".join(printable(path) for path in sorted(twins))
            problems.append(Failure(_text(twins[0]), f"the {what} {names} have the same stem; keep one of them"))
    return {key: twins[0] for key, twins in groups.items() if len(twins) == 1}


def _owner(key: str, photos: Mapping[str, Path], by_name: Mapping[str, str]) -> str | None:
    numbered = _NUMBERED.fullmatch(key)
    for candidate in (key, *([numbered[1]] if numbered else [])):
        if candidate in photos:
            return candidate
        if candidate in by_name:
            return by_name[candidate]
    return None


def _key(path: Path) -> str:
    return _composed(os.path.splitext(path.as_posix())[0])


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _text(path: Path) -> str:
    return printable(os.path.splitext(path.as_posix())[0])
