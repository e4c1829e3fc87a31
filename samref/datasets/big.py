"""BIG and relabeled VOC, in CascadePSP's layout: image, truth and coarse mask side by side in one folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samref.config.paths import InputFolder
from samref.datasets.dataset import MaskDataset, MaskWriter
from samref.datasets.simulated import Defects
from samref.errors import DatasetError, InputError
from samref.io.atomic import write_png
from samref.io.images import read_image
from samref.io.masks import BENCHMARK_THRESHOLD, read_mask
from samref.structures import BoolArray, Refinement, Sample

if TYPE_CHECKING:
    from samref.metrics.scorers import BoundaryScorer

SHOWN = 3


class BigDataset(MaskDataset):
    """One object a sample: `NAME_im.jpg` (or `.png`), `NAME_gt.png`, `NAME_seg.png`.

    A sample's id is NAME, its one object's id `seg`.
    """

    name = "big"
    protocol = "boundary_accuracy"

    def __init__(
        self,
        root: InputFolder | None,
        defects: str | None = None,
        strengths: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        """Verifies the folder.

        Args:
            root: folder with the files.
            defects: kind of coarse masks made from the truth in place of those on disk, see
                `samref.datasets.coarse_kinds`; None: those on disk.
            strengths: how strong these defects are.
            seed: of the defects.

        Raises:
            DatasetError: if it is missing, or a name lacks one of its three files.
        """
        source = f"`samref datasets {self.name}` shows where it comes from"
        if root is None or not Path(root).is_dir():
            raise DatasetError(
                f"{root or f'the root of {self.name}'} is not a folder; give dataset.root=DIR ({source})"
            )
        self.root = Path(root)
        self.defects = Defects.of(defects, seed, strengths)
        present = {path.name for path in self.root.iterdir()}
        ends = ("_gt.png", "_seg.png")
        self._names = sorted({name.removesuffix(end) for name in present for end in ends if name.endswith(end)})
        if not self._names:
            raise DatasetError(
                f"{root} holds no NAME_gt.png; expected NAME_im.jpg, NAME_gt.png, NAME_seg.png ({source})"
            )
        self._images = {
            name: next((name + end for end in ("_im.jpg", "_im.png") if name + end in present), None)
            for name in self._names
        }
        missing = [f"{name}_im.jpg" for name, image in self._images.items() if image is None]
        missing += [name + end for end in ends for name in self._names if name + end not in present]
        if missing:
            shown = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            raise DatasetError(
                f"{root} lacks {len(missing)} files ({shown}); copy the images and one method's coarse masks "
                f"(NAME_seg.png) there ({source})"
            )

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Sample:
        """Reads one object.

        Raises:
            InputError: if a file cannot be read or differs in size from the image.
        """
        name = self._names[index]
        image = read_image(self.root / str(self._images[name]))
        size = (image.shape[0], image.shape[1])
        coarse, truth = (self._read(f"{name}_{kind}.png", size)[None] for kind in ("seg", "gt"))
        sample = Sample(image, coarse, name, ("seg",), truth=truth, meta={"file": f"{name}_seg.png"})
        return sample if self.defects is None else self.defects.applied(sample)

    def image_id(self, index: int) -> str:
        """The files' common name."""
        return self._names[index]

    def sample_files(self, index: int) -> Sequence[Path]:
        """Image, coarse mask and truth."""
        name = self._names[index]
        return tuple(self.root / part for part in (str(self._images[name]), f"{name}_seg.png", f"{name}_gt.png"))

    def scorer(self, image_ids: Iterable[Any] | None = None) -> BoundaryScorer:
        """IoU and mean boundary accuracy."""
        from samref.metrics.scorers import BoundaryScorer

        return BoundaryScorer()

    def writer(self, output: Path) -> BigWriter:
        """Writes `output/NAME_seg.png`."""
        return BigWriter(output)

    def _read(self, name: str, size: tuple[int, int]) -> BoolArray:
        mask = read_mask(self.root / name, BENCHMARK_THRESHOLD)
        if mask.shape != size:
            raise InputError(f"{self.root / name} is {mask.shape} (H, W); expected the image's {size}")
        return mask


class RelabeledVocDataset(BigDataset):
    """500 images of PASCAL VOC 2012 with more exact outlines, one class a file; see `BigDataset`."""

    name = "relabeled_voc"


class BigWriter(MaskWriter):
    """Writes each mask as 0/255 PNG under the coarse mask's name."""

    def __init__(self, output: Path) -> None:
        self.output = output

    def write(self, sample: Sample, refinement: Refinement) -> None:
        """Writes one image's mask."""
        write_png(self.output / sample.meta["file"], refinement.masks[0].astype(np.uint8) * 255)
