"""Writes label files with refined shapes: one file an image, or one for all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from samref.datasets.dataset import MaskWriter
from samref.datasets.shapes.shapes import NewShape, ShapeDataset, changed_rows
from samref.errors import DatasetError
from samref.io.atomic import copy_file, write_bytes
from samref.io.images import printable
from samref.structures import Refinement, Sample


class LabelFile(Protocol):
    """A page that is a file of its own."""

    def text(self, shapes: Mapping[int, NewShape], size: tuple[int, int]) -> bytes:
        """The file's content with other shapes, by place."""
        ...


class FilesWriter(MaskWriter):
    """Writes each image's label file below the output, by the path that it had; one that did not change is copied.

    Label files of which no image was refined - empty ones, for instance - are copied at the end.
    """

    def __init__(self, dataset: ShapeDataset, output: Path, files: Mapping[str, Path], own: Mapping[Any, str]) -> None:
        """Chooses where to.

        Args:
            dataset: whose files they are.
            output: folder.
            files: everything that is to be there at the end, by path below the output.
            own: by image id, which of these is the image's.
        """
        self.dataset, self.output, self.files, self.own = dataset, output, files, own
        self._written: set[str] = set()

    def write(self, sample: Sample, refinement: Refinement) -> str:
        """Writes one image's label file.

        Returns:
            Its name.
        """
        name = self.own[sample.image_id]
        shapes = _new_shapes(self.dataset, sample, refinement)
        if shapes:
            page: LabelFile = sample.meta["page"]
            write_bytes(self._target(name), page.text(shapes, sample.original_size))
        else:
            copy_file(self.files[name], self._target(name))
        self.restore(sample.image_id, name)
        return name

    def restore(self, image_id: str | int, kept: Any) -> None:
        """See `MaskWriter`."""
        self._written.add(kept)

    def close(self) -> None:
        """Copies the files that no image has written."""
        for name, source in self.files.items():
            if name not in self._written:
                copy_file(source, self._target(name))

    def _target(self, name: str) -> Path:
        return _apart(self.output / name, self.files[name])


class DocumentWriter(MaskWriter):
    """Collects what changes and writes one file when it is closed; without any change it is a copy."""

    def __init__(
        self,
        dataset: ShapeDataset,
        output: Path,
        source: Path,
        text: Callable[[Mapping[Any, Any]], bytes],
        changes: Callable[[Sample, Mapping[int, NewShape]], Any],
    ) -> None:
        """Chooses where to.

        Args:
            dataset: whose file it is.
            output: folder.
            source: the file that came.
            text: the file's content with the changes of each image, by its id.
            changes: what changes for an image, as JSON values.
        """
        self.dataset, self.path, self.source = dataset, _apart(output / source.name, source), source
        self._text, self._changes = text, changes
        self._changed: dict[str | int, Any] = {}
        output.mkdir(parents=True, exist_ok=True)

    def write(self, sample: Sample, refinement: Refinement) -> Any:
        """Adds one image's shapes.

        Returns:
            What changes of them.
        """
        kept = self._changes(sample, _new_shapes(self.dataset, sample, refinement))
        self.restore(sample.image_id, kept)
        return kept

    def restore(self, image_id: str | int, kept: Any) -> None:
        """See `MaskWriter`."""
        self._changed[image_id] = kept

    def close(self) -> None:
        """Writes the file atomically."""
        changed = {image_id: kept for image_id, kept in self._changed.items() if kept}
        if changed:
            write_bytes(self.path, self._text(changed))
        else:
            copy_file(self.source, self.path)


def _new_shapes(dataset: ShapeDataset, sample: Sample, refinement: Refinement) -> dict[int, NewShape]:
    shapes: dict[int, NewShape] = {}
    for row in changed_rows(sample, refinement):
        shapes |= dataset.new_shapes(sample, row, refinement.masks[row])
    return shapes


def _apart(target: Path, source: Path) -> Path:
    if os.path.realpath(target) == os.path.realpath(source):
        raise DatasetError(f"{printable(target)} would take the place of the file that came; choose another output")
    return target
