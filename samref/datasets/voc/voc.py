"""PASCAL VOC 2012: semantic masks, refined region by region and put together again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samref.config.paths import InputFolder
from samref.datasets.dataset import MaskDataset, MaskWriter, SampleMeta
from samref.datasets.voc.labels import IGNORE, Labels, read_labels, read_npy_labels, write_labels
from samref.datasets.voc.npy_dicts import plain_array
from samref.errors import DatasetError, InputError
from samref.io.images import read_image
from samref.io.lists import read_lines
from samref.io.orientation import read_image_of
from samref.prompts.split_then_merge import SplitThenMerge
from samref.structures import BoolArray, FloatArray, Refinement, Sample

if TYPE_CHECKING:
    from samref.metrics.scorers import SemanticScorer

SHOWN = 3


class VocMeta(SampleMeta):
    """`meta` of a VOC sample.

    Attributes:
        coarse_path: of the coarse label map, whose palette refined ones get.
    """

    coarse_path: str


class VocDataset(MaskDataset):
    """VOC images with coarse label maps.

    One sample is one image; its masks are the merged regions of each category (or each category as one), its object ids
    (category, number), its `label_map` the truth. Its `meta` is a `VocMeta`.

    Attributes:
        protocol: `semantic`, or `none` without a truth.
    """

    name = "voc"
    keep_logits = True

    def __init__(
        self,
        root: InputFolder | None,
        split: str,
        coarse: InputFolder | None,
        truth: str | None,
        stm: SplitThenMerge,
        allow_pickle: bool,
        cam_maps: str | None,
    ) -> None:
        """Verifies the folders.

        Args:
            root: `VOC2012`, with `JPEGImages` and `ImageSets`.
            split: file of `ImageSets/Segmentation`, without its ending.
            coarse: folder with one label PNG, or one `.npy` of scores or class activation maps, an image.
            truth: folder of label PNGs below the root; None where there is none.
            stm: how categories are split.
            allow_pickle: read `.npy` files of activation maps, which are pickles; only arrays and numbers are taken
                from them.
            cam_maps: name of the score maps in the `.npy` files; None finds them.

        Raises:
            DatasetError: if anything is missing, naming it.
        """
        if root is None or coarse is None:
            missing = "dataset.root=DIR (VOC2012)" if root is None else "dataset.coarse=DIR (label PNGs or CAM .npy)"
            raise DatasetError(f"data set voc needs {missing}; `samref datasets voc` shows where it comes from")
        self.root, self.stm, self.cam_maps = Path(root), stm, cam_maps
        self._truth = None if truth is None else self.root / truth
        self.protocol = "none" if truth is None else "semantic"
        self.unit = "regions" if stm.enabled else "categories"
        self._list = self.root / "ImageSets" / "Segmentation" / f"{split}.txt"
        self._names = self._read_split(self._list)
        self._require(self.root / "JPEGImages", ".jpg", "dataset.root")
        if self._truth is not None:
            self._require(self._truth, ".png", "dataset.truth (null: do not score)")
        self._coarse = self._find_coarse(Path(coarse), allow_pickle)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        """Reads one image and its labels.

        Raises:
            InputError: if a file cannot be read or differs in size from the image.
        """
        name = self._names[index]
        photo, path = self.root / "JPEGImages" / f"{name}.jpg", self._coarse[name]
        if path.suffix == ".npy":
            image = read_image(photo)
            coarse = read_npy_labels(path, (image.shape[0], image.shape[1]), self.cam_maps)
        else:
            coarse = read_labels(path)
            image, _ = read_image_of(photo, (coarse != 0)[None])
        size = (image.shape[0], image.shape[1])
        _check_size(path, coarse, size)
        truth = None
        if self._truth is not None:
            truth = read_labels(self._truth / f"{name}.png")
            _check_size(self._truth / f"{name}.png", truth, size)
        regions = {category: self.stm(coarse == category) for category in _categories(coarse)}
        object_ids = [(category, k) for category, masks in regions.items() for k in range(1, len(masks) + 1)]
        categories = tuple(category for category, _ in object_ids)
        meta: VocMeta = {"categories": categories, "coarse": coarse, "coarse_path": str(path)}
        masks = np.concatenate([np.zeros((0, *size), bool), *regions.values()])
        return Sample(image, masks, name, tuple(object_ids), label_map=truth, meta=meta)

    def image_id(self, index: int) -> str:
        """The file's name without its ending."""
        return self._names[index]

    def sample_files(self, index: int) -> Sequence[Path]:
        """Image, coarse labels and truth."""
        name = self._names[index]
        truth = [] if self._truth is None else [self._truth / f"{name}.png"]
        return (self.root / "JPEGImages" / f"{name}.jpg", self._coarse[name], *truth)

    def input_files(self) -> Sequence[Path]:
        """The split's list of names."""
        return (self._list,)

    def scorer(self, image_ids: Iterable[Any] | None = None) -> SemanticScorer | None:
        """MIoU of the coarse labels and of the merged refined masks."""
        from samref.metrics.scorers import SemanticScorer

        return SemanticScorer(self.merge) if self.scored else None

    def merge(self, sample: Sample, masks: BoolArray, logits: FloatArray | None) -> Labels:
        """Puts masks together to one label map.

        Where masks of several categories meet, the one of the highest logit has the pixel. A refiner that leaves no
        logits gives it to the category that the coarse labels name there, if it is among them, else to the lowest.
        Pixels that no mask has are background, also where the coarse label is 255, which is no prediction.

        Args:
            sample: of this data set.
            masks: N x H x W bool, coarse or refined, in the sample's order.
            logits: N x H x W float32 of the same masks, or None.

        Returns:
            H x W uint8 class indices, 0 to 20.
        """
        coarse = sample.meta["coarse"]
        labels = np.zeros(coarse.shape, np.uint8)
        best = np.full(coarse.shape, -np.inf, np.float32)
        for n, category in enumerate(sample.meta["categories"]):
            score = (coarse == category).astype(np.float32) if logits is None else logits[n]
            wins = masks[n] & (score > best)
            labels[wins] = category
            best[wins] = score[wins]
        return labels

    def writer(self, output: Path) -> VocWriter:
        """Writes one label PNG an image below `output`."""
        return VocWriter(self, output)

    def _read_split(self, path: Path) -> list[str]:
        if not path.is_file():
            raise DatasetError(
                f"{path} is missing; expected the layout of VOC2012 below dataset.root={self.root} "
                "(`samref datasets voc` shows where it comes from)"
            )
        # Lists of other makers have paths to image and label on each line. A name listed twice is one image.
        names = list(dict.fromkeys(Path(words[0]).stem for words in read_lines(path)))
        if not names:
            raise DatasetError(f"{path} lists no images; choose another dataset.split")
        return names

    def _require(self, folder: Path, suffix: str, option: str) -> None:
        present = _files(folder)
        self._complain(folder, [name for name in self._names if name + suffix not in present], option)

    def _find_coarse(self, folder: Path, allow_pickle: bool) -> dict[str, Path]:
        present = _files(folder)
        endings = [".png", ".npy"]
        found = {
            name: next((folder / (name + e) for e in endings if name + e in present), None) for name in self._names
        }
        self._complain(folder, [name for name, path in found.items() if path is None], "dataset.coarse")
        coarse = {name: path for name, path in found.items() if path is not None}
        maps = () if allow_pickle else (path for path in coarse.values() if path.suffix == ".npy")
        pickled = next((path for path in maps if plain_array(path) is None), None)
        if pickled is not None:
            raise DatasetError(
                f"{pickled} is a Python pickle; have it read with dataset.allow_pickle=true "
                "(only arrays and numbers are taken from it, nothing in it is run)"
            )
        return coarse

    def _complain(self, folder: Path, missing: list[str], option: str) -> None:
        if missing:
            shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            raise DatasetError(
                f"{folder} lacks {len(missing)} of the split's {len(self._names)} files ({shown}); complete it or give "
                f"another {option}"
            )


class VocWriter(MaskWriter):
    """Writes label PNGs under the coarse files' names, with their palette.

    Pixels that the coarse labels ignore (255) and no refined mask claims stay 255.
    """

    def __init__(self, dataset: VocDataset, output: Path) -> None:
        self.dataset, self.output = dataset, output

    def write(self, sample: Sample, refinement: Refinement) -> None:
        """Writes one image's labels."""
        labels = self.dataset.merge(sample, refinement.masks, refinement.logits)
        labels[(labels == 0) & (sample.meta["coarse"] == IGNORE)] = IGNORE
        write_labels(self.output / f"{sample.image_id}.png", labels, Path(sample.meta["coarse_path"]))


def _categories(labels: Labels) -> list[int]:
    return [int(value) for value in np.unique(labels) if value not in (0, IGNORE)]


def _files(folder: Path) -> Collection[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _check_size(path: Path, labels: Labels, size: tuple[int, int]) -> None:
    if labels.shape != size:
        raise InputError(f"{path} is {labels.shape} (H, W); expected the image's {size}")
