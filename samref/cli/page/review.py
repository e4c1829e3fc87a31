"""A first look at a folder: image by image the masks are refined, accepted or rejected, and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from samref.cli.page.desk import COARSE, chosen_masks
from samref.datasets.folder.folder import Folder
from samref.errors import InputError
from samref.io.atomic import copy_file
from samref.structures import KEPT, REFINED, BoolArray, Refinement, Sample


class Review:
    """A folder's images with the masks that were accepted so far."""

    def __init__(self, images: Path, masks: Path, output: Path) -> None:
        """Pairs the files.

        Args:
            images: folder of the images.
            masks: folder of the coarse masks.
            output: folder of the masks that are accepted; outside the others.

        Raises:
            DatasetError: for folders that cannot be read, or written to.
        """
        self.data = Folder(images, masks, output)
        assert self.data.output is not None
        self.output = self.data.output
        self.writer = self.data.writer(self.output)

    def __len__(self) -> int:
        return len(self.data)

    def sample(self, index: int) -> Sample:
        """The image and its coarse masks; see `Folder`."""
        return self.data[index]

    def written(self, index: int) -> bool:
        """Whether the masks of an image are in the output."""
        return all((self.output / path).is_file() for path in self.data.outputs(index))

    def keep(self, sample: Sample) -> Sequence[Path]:
        """Copies an image's mask files.

        Returns:
            The copies.
        """
        for name in sample.meta["all_files"]:
            copy_file(self.data.masks / name, self.output / name)
        return self._files(sample)

    def write(self, sample: Sample, masks: BoolArray, result: Refinement, chosen: Sequence[str]) -> Sequence[Path]:
        """Writes an image's masks as they were chosen, under the names and in the encoding of the coarse ones.

        Args:
            sample: as it was read.
            masks: N x H x W bool, what was refined: the sample's own, or as they were corrected.
            result: of them.
            chosen: of each mask, see `chosen_masks`.

        Returns:
            The files.

        Raises:
            InputError: for a choice that there is not, or for more or fewer masks than the files hold.
        """
        if len(masks) != len(sample.masks):
            raise InputError(
                f"{len(masks)} masks are drawn; expected {len(sample.masks)}, as in the files of {sample.image_id}: "
                "remove what is new, or download the masks"
            )
        picked = chosen_masks(masks, result, chosen)
        flags = tuple(KEPT if name == COARSE else REFINED for name in chosen)
        accepted = replace(result, masks=picked, flags=flags)
        self.data.settle(sample, accepted)
        self.writer.write(sample, accepted)
        return self._files(sample)

    def _files(self, sample: Sample) -> list[Path]:
        return [self.output / name for name in sample.meta["all_files"]]
