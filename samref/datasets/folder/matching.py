"""Which mask file belongs to which image file, by their names alone; a name that could mean two images is reported."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from samref.io.image_folder import natural
from samref.io.images import printable
from samref.structures import Failure

_NUMBERED = re.compile(r"(.+)_(\d{1,18})", re.DOTALL)
# What masks are called behind the image's name where nothing else is said.
_SUFFIX = re.compile(r"(.+?)[_\-. ](?:masks?|seg|segmentation|labels?)", re.DOTALL | re.IGNORECASE)
# Numbers of several masks start at 0 or 1, and a filter may leave some out; a year or a frame is no such number.
FIRST, GAP = (0, 1), 10
# Masks without an image for which an option is sought that would pair them.
HINTS = 5


@dataclass(frozen=True)
class Names:
    """How files are named beside the names of their images.

    Attributes:
        mask_suffix: what masks have behind the image's name (`_cp_masks`); None: nothing, or one of the usual words.
        image_suffix: what images have behind the name that they share with their masks (`_0000`); empty: nothing.
    """

    mask_suffix: str | None = None
    image_suffix: str = ""


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


@dataclass
class _Claims:
    """The masks that may belong to an image: named as it is, and numbered."""

    plain: list[Path] = field(default_factory=list)
    numbered: list[tuple[int, Path]] = field(default_factory=list)


def pair_files(
    images: Iterable[Path],
    masks: Iterable[Path],
    truth: Iterable[Path] | None = None,
    names: Names | None = None,
) -> tuple[list[Pairing], list[Failure]]:
    """Pairs images with masks of the same stem, or numbered ones: `STEM_1`, `STEM_2` and so on.

    An image's own name goes first: with images `a` and `a_1`, mask `a_1` belongs to the latter. With a mask of the
    image's own name there are no numbered ones: `a_2` is then the mask of an image that is missing. Instead of the stem
    a mask may have the image's entire name (`a.jpg.png`). Names are compared in Unicode's composed form, since file
    systems differ in how they store accents, and in lower case where nothing fits otherwise.

    Args:
        images: paths below the folder of images.
        masks: paths below the folder of masks.
        truth: paths below the folder of ground truth, named as the masks or as the images are, or None.
        names: what stands behind names.

    Returns:
        Pairings in the order of names, and what was left out and why: images without mask, masks without image,
        files of which several have one stem, images whose masks have no ground truth.
    """
    problems: list[Failure] = []
    names = names or Names()
    images, masks = list(images), list(masks)
    photos = _Photos(images, names.image_suffix)
    claims: dict[Path, _Claims] = defaultdict(_Claims)
    orphans = []
    for path in masks:
        owner, number = photos.owner(path, names.mask_suffix)
        if owner is None:
            orphans.append(path)
        elif number is None:
            claims[owner].plain.append(path)
        else:
            claims[owner].numbered.append((number, path))
    lonely = {image for image in images if image not in claims}
    twins = {path for paths in photos.twins if lonely.intersection(paths) for path in paths}
    problems += [_twins(paths, "images") for paths in photos.twins if lonely.intersection(paths)]
    for k, path in enumerate(orphans):
        hint = _hint(path, [image for image in lonely if image.parent == path.parent]) if k < HINTS else ""
        problems.append(Failure(_text(path), f"mask {printable(path)} has no image of its name{hint}"))
    truths = None if truth is None else _Truths(truth)
    pairings = []
    for image in images:
        if image in lonely:
            if image not in twins:
                problems.append(Failure(_text(image), f"image {printable(image)} has no mask of its name"))
            continue
        mine = _chosen(image, claims[image], problems)
        if not mine:
            problems.append(Failure(_text(image), f"image {printable(image)} has no mask that is surely its own"))
        found = () if truths is None else truths.of(image, mine)
        if mine and None in found:
            lacking = mine[found.index(None)]
            problems.append(Failure(_text(image), f"mask {printable(lacking)} has no ground truth of its name"))
        elif mine:
            pairings.append(Pairing(_text(image), image, mine, tuple(path for path in found if path is not None)))
    return pairings, problems


def named(paths: Iterable[Path], suffix: str, numbered: bool = False) -> list[Path]:
    """The files whose stems end with a suffix, or with one and a number."""
    pattern = re.compile(re.escape(_composed(suffix)) + (r"(_\d{1,18})?" if numbered else "") + r"\Z")
    return [path for path in paths if pattern.search(_key(path))]


class _Photos:
    """Images by what their masks are called."""

    def __init__(self, images: Sequence[Path], suffix: str) -> None:
        stems = [(_without(_key(path), suffix), path) for path in images if _key(path).endswith(suffix)]
        wholes = [(_composed(path.as_posix()), path) for path in images]
        self.twins = [paths for paths in _grouped(stems).values() if len(paths) > 1]
        self._tables = []
        for fold in (str, str.casefold):
            for entries in (stems, wholes):
                named = _grouped((fold(key), path) for key, path in entries)
                self._tables.append((fold, {key: paths[0] for key, paths in named.items() if len(paths) == 1}))

    def owner(self, mask: Path, suffix: str | None) -> tuple[Path | None, int | None]:
        """The image of a mask, and the mask's number where it has one."""
        # Letters as they are before lower case, an image's own name before a number.
        for tables in (self._tables[:2], self._tables[2:]):
            for name, number in _readings(_key(mask), suffix):
                for fold, table in tables:
                    if fold(name) in table:
                        return table[fold(name)], number
        return None, None


class _Truths:
    """Ground truth by its masks' names, or else by their image's."""

    def __init__(self, paths: Iterable[Path]) -> None:
        groups = _grouped((_key(path), path) for path in paths)
        self._by_key = {key: found[0] for key, found in groups.items() if len(found) == 1}

    def of(self, image: Path, masks: Sequence[Path]) -> tuple[Path | None, ...]:
        found = tuple(self._by_key.get(_key(mask)) for mask in masks)
        return (self._by_key.get(_key(image)),) if found == (None,) else found


def _readings(key: str, suffix: str | None) -> Iterator[tuple[str, int | None]]:
    """The image names that a mask's name may mean, the likelier first, each with the mask's number."""
    numbered = _NUMBERED.fullmatch(key)
    cuts: list[Callable[[str], str | None]] = [lambda name: name, _usual] if suffix is None else [_cut(suffix)]
    for cut in cuts:
        if (name := cut(key)) is not None:
            yield name, None
            if (inner := _NUMBERED.fullmatch(name)) is not None:
                yield inner[1], int(inner[2])
        if numbered is not None and (name := cut(numbered[1])) is not None:
            yield name, int(numbered[2])


def _cut(suffix: str) -> Callable[[str], str | None]:
    return lambda name: name[: len(name) - len(suffix)] if name.endswith(suffix) and name != suffix else None


def _usual(name: str) -> str | None:
    found = _SUFFIX.fullmatch(name)
    return None if found is None else found[1]


def _chosen(image: Path, claims: _Claims, problems: list[Failure]) -> tuple[Path, ...]:
    """The masks of an image among those that claim it; the others are reported."""
    if len(claims.plain) > 1:
        problems.append(_twins([*claims.plain, *(path for _, path in claims.numbered)], "masks"))
        return ()
    if claims.plain:
        for _, path in claims.numbered:
            problems.append(
                Failure(
                    _text(path),
                    f"mask {printable(path)} has no image of its name; it is not taken as one more object of "
                    f"{printable(image)}, which has the mask {printable(claims.plain[0])}: number all its masks from 1",
                )
            )
        return tuple(claims.plain)
    groups = _grouped((str(number), path) for number, path in claims.numbered)
    problems += [_twins(paths, "masks") for paths in groups.values() if len(paths) > 1]
    single = sorted(((int(key), paths[0]) for key, paths in groups.items() if len(paths) == 1))
    taken: list[Path] = []
    last = None
    for number, path in single:
        if (number not in FIRST) if last is None else number - last > GAP:
            problems.append(
                Failure(
                    _text(path),
                    f"mask {printable(path)} has no image of its name; as one of several masks of {printable(image)} "
                    "its number is expected from 1 on",
                )
            )
        else:
            taken.append(path)
            last = number
    return tuple(sorted(taken, key=natural))


def _hint(mask: Path, images: Sequence[Path]) -> str:
    """Which option would pair a mask with an image whose name begins or ends as its own does."""
    stem = mask.stem
    images = [image for image in images if image.stem != stem]
    starts = [image for image in images if stem.startswith(image.stem) and image.stem]
    if starts:
        image = max(starts, key=lambda image: len(image.stem))
        rest = stem[len(image.stem) :]
        return f"; dataset.mask_suffix={rest} pairs it with {printable(image.name)}, or rename it"
    ends = [image for image in images if stem.endswith(image.stem) and image.stem]
    if ends:
        return f"; rename it to {printable(max(ends, key=lambda image: len(image.stem)).stem)}{mask.suffix}"
    longer = [image for image in images if image.stem.startswith(stem)]
    if longer:
        rest = longer[0].stem[len(stem) :]
        return f"; dataset.image_suffix={rest} pairs it with {printable(longer[0].name)}, or rename it"
    for image in images:
        same = next((k for k, (a, b) in enumerate(zip(stem, image.stem, strict=False)) if a != b), 0)
        shared = max(stem[:same].rfind("_"), stem[:same].rfind("-"))
        if shared > 0:
            return (
                f"; dataset.mask_suffix={stem[shared:]} dataset.image_suffix={image.stem[shared:]} pairs it with "
                f"{printable(image.name)}, or rename it"
            )
    return ""


def _grouped(entries: Iterable[tuple[str, Path]]) -> Mapping[str, list[Path]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for key, path in entries:
        groups[key].append(path)
    return groups


def _twins(paths: Iterable[Path], what: str) -> Failure:
    found = sorted(paths)
    names = ", ".join(printable(path) for path in found)
    return Failure(_text(found[0]), f"the {what} {names} have the same name but for the ending; keep one of them")


def _without(key: str, suffix: str) -> str:
    return key[: len(key) - len(suffix)]


def _key(path: Path) -> str:
    return _composed(os.path.splitext(path.as_posix())[0])


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _text(path: Path) -> str:
    return printable(os.path.splitext(path.as_posix())[0])
