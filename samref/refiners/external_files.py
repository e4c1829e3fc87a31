"""Another tool's masks in a folder: one file a mask, or one label map an image."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from samref.errors import ConfigError, InputError
from samref.io.images import printable
from samref.io.masks import read_labels, read_mask
from samref.structures import BoolArray, Sample

FIELDS = ("image_id", "folder", "stem", "object", "file")


class FolderMasks:
    """Mask files named by a pattern.

    `{image_id}` is the image's id, `{folder}` and `{stem}` its parts before and after the last slash (`camel/00009`),
    `{object}` the mask's id (a pair's parts joined by `_`), `{file}` the coarse mask's file on data sets that have one
    a mask. Without `{object}`, the file of a mask that has a category (VOC) or came from a label map is a label map.
    """

    def __init__(self, folder: Path, pattern: str, threshold: int | None) -> None:
        """Checks the pattern.

        Args:
            folder: of the files.
            pattern: of their names.
            threshold: gray value from which a pixel is foreground; None: files hold 0/1 or 0/255.

        Raises:
            ConfigError: for a pattern with another field.
        """
        self.folder, self.pattern, self.threshold = folder, pattern, threshold
        try:
            pattern.format(**dict.fromkeys(FIELDS, ""))
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"refiner.pattern is '{pattern}'; expected a file name with no fields but "
                + ", ".join(f"{{{name}}}" for name in FIELDS)
            ) from error
        self.binary = "{object" in pattern

    def open(self, sample: Sample) -> Callable[[int], BoolArray]:
        """See `samref.refiners.external.MaskSource`."""
        rows = range(len(sample.masks))
        paths, labels = [self._path(sample, row) for row in rows], [self._label(sample, row) for row in rows]
        if len(set(zip(paths, labels, strict=True))) < len(paths) and None in labels:
            raise InputError(
                f"refiner.pattern '{self.pattern}' gives the {len(paths)} masks of image {sample.image_id} the same "
                "name; put {object} into it"
            )
        read_map = lru_cache(maxsize=1)(read_labels)

        def read(row: int) -> BoolArray:
            path, label = paths[row], labels[row]
            if not path.is_file():
                raise InputError(f"{printable(path)} is missing; expected there the mask that another tool has written")
            mask: BoolArray = read_mask(path, self.threshold, "refiner") if label is None else read_map(path) == label
            if mask.shape != sample.original_size:
                raise InputError(
                    f"{printable(path)} is {mask.shape} (H, W); expected the image's {sample.original_size}"
                )
            return mask

        return read

    def _path(self, sample: Sample, row: int) -> Path:
        image_id, name = str(sample.image_id), sample.object_ids[row]
        folder, _, stem = image_id.rpartition("/")
        parts = name if isinstance(name, tuple) else (name,)
        files = sample.meta.get("files")
        fields = (image_id, folder, stem, "_".join(str(part) for part in parts), str(files[row]) if files else "")
        return self.folder / self.pattern.format(**dict(zip(FIELDS, fields, strict=True)))

    def _label(self, sample: Sample, row: int) -> Any:
        labels = sample.meta.get("labels") or sample.meta.get("categories")
        return None if self.binary or labels is None else labels[row]
