"""Where YOLO's images and labels lie: `data.yaml` and its splits, and the labels of an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from samref.errors import DatasetError
from samref.io.image_folder import list_images
from samref.io.images import IMAGE_SUFFIXES, printable

IMAGES, LABELS = "images", "labels"
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes:
        name: `train`, `val` or `test`.
        places: folders of images, text files that list images, or images.
    """

    name: str
    places: tuple[Path, ...]


@dataclass(frozen=True)
class YoloData:
    """What a `data.yaml` says.

    Attributes:
        root: folder that its paths are relative to.
        splits: those that it names, in the order train, val, test.
        points: whether rows hold key points, which look like outlines.
    """

    root: Path
    splits: tuple[Split, ...]
    points: bool


def read_data(path: Path) -> YoloData:
    """Reads a `data.yaml`.

    Args:
        path: of the file.

    Raises:
        DatasetError: if it is no such file, or a split is not there.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"{printable(path)} cannot be read ({reason}); expected YOLO's data.yaml") from None
    if not isinstance(content, Mapping) or not any(content.get(name) for name in SPLITS):
        raise DatasetError(f"{printable(path)} names no train, val or test; expected YOLO's data.yaml")
    root = _root(path, content.get("path"))
    splits = []
    for name in SPLITS:
        given = content.get(name)
        entries = given if isinstance(given, list) else [given] if given else []
        splits.append(Split(name, tuple(_place(root, str(entry), name, path) for entry in entries)))
    return YoloData(root, tuple(split for split in splits if split.places), bool(content.get("kpt_shape")))


def split_images(split: Split) -> Iterator[Path]:
    """The images of a split, in the order of names or of the list that names them.

    Raises:
        DatasetError: for a list that cannot be read.
    """
    for place in split.places:
        if place.is_dir():
            yield from (place / path for path in list_images(place))
        elif place.suffix.lower() in IMAGE_SUFFIXES:
            yield place
        else:
            yield from _listed(place)


def label_of(image: Path) -> Path:
    """The label file of an image: in `labels` in place of the last `images` of its path, or else beside it.

    >>> label_of(Path("a/images/train/b.jpg")).as_posix()
    'a/labels/train/b.txt'
    """
    parts = list(image.with_name(f"{image.stem}.txt").parts)
    last = max((k for k, part in enumerate(parts[:-1]) if part == IMAGES), default=None)
    if last is not None:
        parts[last] = LABELS
    return Path(*parts)


def _root(path: Path, given: Any) -> Path:
    """The folder that paths are relative to; for `path` Ultralytics looks below its own folder of data sets."""
    if not given:
        return path.parent
    wanted = Path(str(given)).expanduser()
    if wanted.is_absolute():
        return wanted if wanted.is_dir() else path.parent
    choices = (path.parent / wanted, wanted, path.parent)
    return next(choice for choice in choices if choice.is_dir())


def _place(root: Path, entry: str, name: str, data: Path) -> Path:
    choices = [root / Path(entry).expanduser()]
    if entry.startswith("../"):
        # Roboflow's exports name a folder too far up.
        choices.append(root / entry[3:])
    found = next((choice for choice in choices if choice.exists()), None)
    if found is None:
        raise DatasetError(
            f"{name}: {entry} of {printable(data)} is not there; expected a folder of images or a list of them at "
            f"{printable(choices[0])}"
        )
    return found


def _listed(path: Path) -> Iterator[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{printable(path)} cannot be read ({error}); expected a list of images") from None
    for line in filter(None, map(str.strip, lines)):
        yield path.parent / line
