"""Data sets that are edited between runs: samples come, change, get another name, and go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from tests.factories import PALETTE, blob, save_mask, save_photo
from tests.factories_benchmarks import annotation, save_labels

SIZE = (24, 32)


class Editable:
    """A data set on disk; its samples have a seed each, which is all that they are made of.

    Attributes:
        root: folder of the files.
        seeds: of each sample, by name.
    """

    overrides: tuple[str, ...] = ()

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seeds: dict[str, int] = {}

    def add(self, name: str, seed: int) -> None:
        """A sample that was not there."""
        self.seeds[name] = seed
        save_photo(self.files(name)[0], SIZE, seed)
        self.write_masks(name, seed)
        self.write_lists()

    def change(self, name: str, seed: int) -> None:
        """Other masks for the same image."""
        self.seeds[name] = seed
        self.write_masks(name, seed)
        self.write_lists()

    def remove(self, name: str) -> None:
        """A sample that was there."""
        del self.seeds[name]
        for path in self.files(name):
            path.unlink()
        self.write_lists()

    def rename(self, name: str, new: str) -> None:
        """Another name for the same content."""
        self.seeds[new] = self.seeds.pop(name)
        for before, after in zip(self.files(name), self.files(new), strict=True):
            shutil.move(before, after)
        self.write_lists()

    def write_masks(self, name: str, seed: int) -> None:
        """Writes coarse masks and ground truth that are files of their own."""

    def files(self, name: str) -> list[Path]:
        """Of a sample, the image first."""
        raise NotImplementedError

    def write_lists(self) -> None:
        """Writes what is about all samples."""


class EditableFolder(Editable):
    """Images, masks and ground truth in three folders."""

    @property
    def overrides(self) -> tuple[str, ...]:
        return ("dataset=folder", *(f"dataset.{part}={self.root / part}" for part in ("images", "masks", "truth")))

    def files(self, name):
        return [self.root / part / f"{name}.png" for part in ("images", "masks", "truth")]

    def write_masks(self, name, seed):
        truth = blob(SIZE, seed)
        save_mask(self.files(name)[1], np.roll(truth, 2, axis=1))
        save_mask(self.files(name)[2], truth)


class EditableCoco(Editable):
    """Annotations and results; those of a new image come before those of images with later names."""

    @property
    def overrides(self) -> tuple[str, ...]:
        paths = {"images": "images", "annotations": "gt.json", "predictions": "pred.json"}
        return ("dataset=coco", *(f"dataset.{key}={self.root / name}" for key, name in paths.items()))

    def files(self, name):
        return [self.root / "images" / f"{name}.png"]

    def write_lists(self):
        images, truth, coarse = [], [], []
        for name, seed in sorted(self.seeds.items()):
            number = 1 + "abcdefgh".index(name)
            images.append({"id": number, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]})
            x, y = seed % 5, seed % 3
            for k, box in enumerate([(2 + x, 2, 12 + x, 12 + y), (15, 8 + y, 27, 20)]):
                truth.append(annotation(10 * number + k, number, 1 + k, box))
                x0, y0, x1, y1 = box
                moved = annotation(0, number, 1 + k, (x0, y0, x1 - 1 - seed // 10, y1 - 1))["segmentation"]
                score = 0.9 - 0.1 * k
                coarse.append({"image_id": number, "category_id": 1 + k, "segmentation": moved, "score": score})
        categories = [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
        content = {"images": images, "annotations": truth, "categories": categories}
        (self.root / "gt.json").write_text(json.dumps(content))
        (self.root / "pred.json").write_text(json.dumps(coarse))


class EditableVoc(Editable):
    """Label maps of several regions, and the split's list."""

    @property
    def overrides(self) -> tuple[str, ...]:
        return ("dataset=voc", f"dataset.root={self.root}", f"dataset.coarse={self.root / 'coarse'}")

    def files(self, name):
        names = (("JPEGImages", "jpg"), ("coarse", "png"), ("SegmentationClass", "png"))
        return [self.root / part / f"{name}.{suffix}" for part, suffix in names]

    def write_masks(self, name, seed):
        truth = np.where(blob(SIZE, seed), 3, 0).astype(np.uint8)
        truth[blob(SIZE, seed + 1)] = 8
        save_labels(self.files(name)[1], np.roll(truth, 2, axis=1))
        save_labels(self.files(name)[2], truth)

    def write_lists(self):
        path = self.root / "ImageSets" / "Segmentation" / "val.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{name}\n" for name in sorted(self.seeds)))


class EditableDavis(Editable):
    """Frames with annotations, and coarse masks made from these."""

    @property
    def overrides(self) -> tuple[str, ...]:
        return ("dataset=davis", f"dataset.root={self.root}", "dataset.defects=dilated")

    def files(self, name):
        names = (("JPEGImages", "jpg"), ("Annotations", "png"))
        return [self.root / part / "480p" / "seq" / f"{name}.{suffix}" for part, suffix in names]

    def write_masks(self, name, seed):
        image = Image.fromarray(blob(SIZE, seed).astype(np.uint8) + blob(SIZE, seed + 1))
        image.putpalette(PALETTE)
        path = self.files(name)[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)

    def write_lists(self):
        path = self.root / "ImageSets" / "2017" / "val.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("seq\n")
