"""The augmented train set of PASCAL VOC 2012: its own 1,464 images and those that SBD labels, 10,582 in all.

SBD (the Semantic Boundaries Dataset, Hariharan et al., 2011) labels VOC's images of 2011 with VOC's 20 classes under
VOC's own indices, so no index changes. Its labels are MATLAB files; they become label PNGs beside VOC's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from samref.datasets.voc.labels import CLASSES, Labels, write_labels
from samref.errors import DatasetError, InputError
from samref.io.atomic import atomic_path, write_text
from samref.io.lists import read_lines

FOLDER, SPLIT = "SegmentationClassAug", "trainaug"
COMPLETE = 10_582


def make_augmented(voc: Path, sbd: Path) -> str:
    """Writes `SegmentationClassAug/*.png` and `ImageSets/Segmentation/trainaug.txt` into a VOC2012 folder.

    The images are VOC's train split, with VOC's own labels, and all of SBD's that are not in VOC's val split, which
    stays unseen.

    Args:
        voc: `VOC2012`, with JPEGImages, SegmentationClass and ImageSets.
        sbd: `benchmark_RELEASE/dataset`, with cls, train.txt and val.txt.

    Returns:
        One sentence: how many images, and how many of whose labels.

    Raises:
        DatasetError: for a folder that lacks something, naming it.
        InputError: for a label file that cannot be read.
    """
    lists = voc / "ImageSets" / "Segmentation"
    own, held_out = _names(lists / "train.txt"), set(_names(lists / "val.txt"))
    more = dict.fromkeys([*_names(sbd / "train.txt"), *_names(sbd / "val.txt")])
    added = [name for name in more if name not in held_out and name not in set(own)]
    _require([voc / "JPEGImages" / f"{name}.jpg" for name in [*own, *added]])
    _require([voc / "SegmentationClass" / f"{name}.png" for name in own])
    _require([sbd / "cls" / f"{name}.mat" for name in added])
    for name in own:
        with atomic_path(voc / FOLDER / f"{name}.png") as temporary:
            shutil.copyfile(voc / "SegmentationClass" / f"{name}.png", temporary)
    for name in added:
        path = sbd / "cls" / f"{name}.mat"
        write_labels(voc / FOLDER / f"{name}.png", read_sbd_labels(path), path)
    names = sorted([*own, *added])
    write_text(lists / f"{SPLIT}.txt", "\n".join(names) + "\n")
    complete = "" if len(names) == COMPLETE else f" (complete: {COMPLETE})"
    return (
        f"{len(names)} images{complete} in {lists / f'{SPLIT}.txt'}: {len(own)} with VOC's labels, {len(added)} with "
        f"SBD's; use dataset.split={SPLIT} dataset.truth={FOLDER}"
    )


def read_sbd_labels(path: Path) -> Labels:
    """The H x W uint8 class indices of one of SBD's `cls/NAME.mat`: 0 background, 1 to 20 VOC's classes.

    Raises:
        InputError: if it is no such file.
    """
    try:
        values = np.asarray(loadmat(path)["GTcls"]["Segmentation"][0, 0])
    # What a damaged file leads scipy to is any kind of error.
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path} cannot be read as SBD's labels ({type(error).__name__}: {reason})") from None
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer) or values.max(initial=0) >= CLASSES:
        raise InputError(f"{path} holds values of shape {values.shape}, {values.dtype}; expected H x W classes 0 to 20")
    return values.astype(np.uint8)


def _names(path: Path) -> list[str]:
    if not path.is_file():
        raise DatasetError(f"{path} is missing; expected VOC2012 and SBD's benchmark_RELEASE/dataset")
    return [words[0] for words in read_lines(path)]


def _require(paths: list[Path]) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DatasetError(f"{missing[0]}{more} missing; unpack all of VOC2012 and SBD, and run the same command again")
