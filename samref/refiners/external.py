"""Masks that another tool has written - CRM, SegRefiner, SegFix, ... - scored by the same protocol (Table 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from samref.config.paths import InputPath
from samref.errors import ConfigError
from samref.refiners.external_files import FolderMasks
from samref.refiners.external_records import RecordMasks
from samref.refiners.settling import refine_each
from samref.structures import BoolArray, Refinement, Sample


class MaskSource(Protocol):
    """Where the masks of another tool lie."""

    def open(self, sample: Sample) -> Callable[[int], BoolArray]:
        """What gives an image's H x W bool mask by the place of its coarse mask.

        Raises:
            InputError: (also when it is called) for a missing or unfit file or record, naming it.
        """
        ...


class External:
    """Takes another tool's masks in place of refining. What they took is not known, so nothing is timed."""

    def __init__(
        self,
        masks: InputPath | None,
        dataset: str,
        pattern: str | None,
        patterns: Mapping[str, str],
        threshold: int | None,
    ) -> None:
        """Finds the masks.

        Args:
            masks: folder of mask files (see `FolderMasks`), or a COCO results or annotations file (`RecordMasks`).
            dataset: option name of the data set, which decides how files are named.
            pattern: how files are named below the folder; None: see `patterns`.
            patterns: by data set.
            threshold: gray value from which a pixel is foreground; None: files hold 0/1 or 0/255.

        Raises:
            ConfigError: if there is nothing there, or the names of the files are not known.
            DatasetError: for a file that is not COCO's.
        """
        if masks is None:
            raise ConfigError(
                "refiner=external needs refiner.masks=PATH: a folder of mask files, or a COCO results file (.json)"
            )
        path = Path(masks).expanduser()
        self.source: MaskSource
        if path.is_file():
            self.source = RecordMasks(path)
            return
        if not path.is_dir():
            raise ConfigError(
                f"refiner.masks={masks} is not there; expected a folder of mask files, or a COCO results file (.json)"
            )
        named = pattern or patterns.get(dataset)
        if named is None:
            raise ConfigError(
                f"the names of mask files for dataset={dataset} are not known; give them by "
                "'refiner.pattern=\"{image_id}/{object}.png\"', or a COCO results file as refiner.masks"
            )
        self.source = FolderMasks(path, named, threshold)

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Reads the masks of one image; see `samref.refiners.samrefiner.Refiner` and `MaskSource`."""

        def nothing(row: int) -> BoolArray:
            raise AssertionError(f"mask {row} is empty and not refined")

        read = self.source.open(sample) if sample.masks.any() else nothing
        return refine_each(sample, read, {})
