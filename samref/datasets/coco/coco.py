"""COCO: coarse instance masks from any results or annotations file, scored by average precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from samref.datasets.coco.writer import CocoWriter
from samref.datasets.dataset import MaskDataset
from samref.errors import DatasetError, InputError
from samref.io.coco_files import CocoFile, ImageFolder, ImageId, Record, read_coco, read_image_ids
from samref.io.coco_masks import area_and_box, check_segmentation, decode, encode_like, encode_rle
from samref.io.images import read_image
from samref.metrics.scorers import AveragePrecisionScorer
from samref.structures import BoolArray, Failure, Sample

LARGEST_SCORE = 1e300


class CocoDataset(MaskDataset):
    """COCO images with the masks of a results or an annotations file.

    One sample is one image with all its masks. Images without a mask yield no sample; they still count for the
    average precision, which is over `ground_truth`. Crowd regions are handed on as they came. What cannot be refined -
    a segment that is broken or of another size, a record of an unknown image, a second record of the same id - is
    listed in `problems`, or in `meta["problems"]` of its sample where only decoding shows it; the rest goes on, and the
    writer hands such records on as they came.

    A sample's `meta`: `records` (one a mask, as they came), `positions` (theirs in the file), `problems`.

    Attributes:
        protocol: `average_precision`, or `none` without ground truth.
        eval_protocol: `coco` or `lvis`, the rules of the average precision.
        ground_truth: annotations file to score against, or None.
        image_ids: ids that the run is restricted to, or None for all; the average precision must be, too.
        problems: what was found wrong before any image was read.
    """

    name = "coco"
    eval_protocol = "coco"

    def __init__(
        self,
        images: str | Path | None = None,
        annotations: str | Path | None = None,
        predictions: str | Path | None = None,
        image_ids: str | Path | None = None,
        root: str | Path | None = None,
        split: str | None = None,
    ) -> None:
        """Reads the files; no image is opened yet.

        Args:
            images: folder of the images; by default `root/split`.
            annotations: ground truth; by default `root/annotations/instances_SPLIT.json`. Without it, no score.
            predictions: results or annotations file with the coarse masks; by default those of the ground truth.
            image_ids: file that lists the images to use (COCO train5K): one id a line, JSON, or annotations.
            root: folder in COCO's own layout.
            split: `val2017` or `train2017`.

        Raises:
            DatasetError: for a missing or unreadable file, or if no mask is left to refine.
        """
        if root is not None and split is None:
            raise DatasetError(f"data set {self.name} has a root but no split; give dataset.split=val2017")
        if root is not None:
            images = images or Path(root) / str(split)
            annotations = annotations or Path(root) / "annotations" / f"instances_{split}.json"
        if images is None or (annotations is None and predictions is None):
            raise DatasetError(
                f"data set {self.name} has no images or no masks; give dataset.root=DIR, or dataset.images=DIR with "
                "dataset.annotations=FILE, dataset.predictions=FILE or both"
            )
        if not Path(images).is_dir():
            raise DatasetError(
                f"{images} is not a folder; expected the images of {self.name} there (dataset.images=DIR; "
                f"`python -m samref.datasets {self.name}` says where they come from)"
            )
        truth = None if annotations is None else read_coco(annotations, "dataset.annotations")
        coarse = truth if predictions is None else read_coco(predictions, "dataset.predictions")
        assert coarse is not None
        if truth is not None:
            self._check_truth(truth)
        self._files = tuple(Path(path) for path in (annotations, predictions, image_ids) if path is not None)
        self._folder = ImageFolder(Path(images))
        self._coarse = coarse
        self._scored = truth is not None and "annotations" in truth.data
        self.image_ids: set[ImageId] | None = None if image_ids is None else read_image_ids(image_ids)
        self.problems: list[Failure] = []
        self._table = self._image_table((truth or coarse).images)
        self._positions = self._usable_positions()
        self._ids = self._ids_with_images()
        self.ground_truth: Path | None = truth.path if truth is not None and self._scored else None
        self.protocol = "average_precision" if self._scored else "none"
        if not self._ids:
            first = f"; first: {self.problems[0].reason}" if self.problems else ""
            raise DatasetError(f"no mask of {coarse.path} can be refined with the images of {images}{first}")

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> Sample:
        """Reads one image and decodes its masks.

        Raises:
            InputError: if the image cannot be read or has another size than in the annotations.
        """
        image_id = self._ids[index]
        path = self._path(image_id)
        assert path is not None
        promised = _size(self._table.get(image_id, {}))
        image = read_image(path, promised)
        size = (image.shape[0], image.shape[1])
        if promised not in (None, size):
            raise InputError(f"{path} is {size} (H, W); expected {promised}, as in the annotations")
        masks, positions, problems = self._decode(image_id, size)
        meta = {
            "records": tuple(self._coarse.records[position] for position in positions),
            "positions": tuple(positions),
            "problems": tuple(problems),
        }
        stacked = np.stack(masks) if masks else np.zeros((0, *size), bool)
        return Sample(image, stacked, image_id, tuple(self._object_id(p) for p in positions), meta=meta)

    def image_id(self, index: int) -> ImageId:
        """The image's id in the annotations."""
        return self._ids[index]

    def sample_files(self, index: int) -> Sequence[Path]:
        """The image; its masks are in `sample_content`."""
        path = self._path(self._ids[index])
        return () if path is None else (path,)

    def sample_content(self, index: int) -> Any:
        """The records of the coarse masks, and the size that the image is to have."""
        image_id = self._ids[index]
        records = [self._coarse.records[position] for position in self._positions[image_id]]
        return [records, _size(self._table.get(image_id, {}))]

    def object_ids(self, index: int) -> Sequence[str | int] | None:
        """Places of a sample's results; annotations have ids of their own."""
        return self._positions[self._ids[index]] if self._coarse.is_results else None

    def input_files(self) -> Sequence[Path]:
        """Ground truth, coarse masks and the list of images, as far as there are any."""
        return self._files

    def scorer(self, image_ids: Iterable[Any] | None = None) -> AveragePrecisionScorer | None:
        """AP of boxes, masks and boundaries over `image_ids`, or else over those that the data set is restricted to."""
        if self.ground_truth is None:
            return None
        ids = self.image_ids if image_ids is None else image_ids
        return AveragePrecisionScorer(self.ground_truth, self.eval_protocol, ids, self.results)

    def results(self, sample: Sample, masks: BoolArray) -> list[Record]:
        """Masks of a sample as COCO results, for scoring.

        Args:
            sample: of this data set.
            masks: N x H x W bool, coarse or refined, in the sample's order.

        Returns:
            One result a mask with the fields of its record. `segmentation` is the mask in compressed run lengths;
            `area` and `bbox` are the mask's where the record had them; `score` is 1 where it had none.
        """
        records = zip(sample.meta["records"], masks, strict=True)
        return [{"score": 1.0, **_replaced(record, mask, encode_rle(mask))} for record, mask in records]

    def records(self, sample: Sample, masks: BoolArray) -> list[Record]:
        """Masks of a sample as records for writing: as `results`, but in the form in which each one came."""
        return [
            _replaced(record, mask, encode_like(mask, record["segmentation"]))
            for record, mask in zip(sample.meta["records"], masks, strict=True)
        ]

    def writer(self, output: Path) -> CocoWriter:
        """Writes `output/NAME.json`, NAME being that of the file of coarse masks."""
        return CocoWriter(output, self._coarse, self.image_ids, self.records)

    def _check_truth(self, truth: CocoFile) -> None:
        if truth.is_results:
            raise DatasetError(
                f"{truth.path} is a results file; expected annotations there (results go to dataset.predictions=FILE)"
            )

    def _image_table(self, images: list[Record]) -> dict[ImageId, Record]:
        table: dict[ImageId, Record] = {}
        for image in images:
            if not isinstance(image, dict) or not isinstance(image.get("id"), (int, str)):
                self.problems.append(Failure("?", f"an image record without an id: {str(image)[:60]}"))
            elif image["id"] in table:
                self.problems.append(Failure(image["id"], f"image {image['id']} is listed twice; the first is used"))
            else:
                table[image["id"]] = image
        return table

    def _usable_positions(self) -> dict[ImageId, list[int]]:
        """Positions of the records that can be refined, by image."""
        positions: dict[ImageId, list[int]] = {image_id: [] for image_id in self._table}
        unknown: dict[Any, int] = {}
        seen: set[Any] = set()
        for position, record in enumerate(self._coarse.records):
            image_id = record.get("image_id") if isinstance(record, dict) else None
            if not isinstance(image_id, (int, str)):
                self._report("?", position, "has no image_id")
            elif self.image_ids is not None and image_id not in self.image_ids:
                continue
            elif record.get("iscrowd"):
                # No object to refine, and nothing wrong with it: the writer hands it on as it came.
                continue
            elif self._table and image_id not in self._table:
                unknown[image_id] = unknown.get(image_id, 0) + 1
            else:
                try:
                    self._check(record, position, seen)
                except InputError as error:
                    self._report(image_id, position, str(error))
                    continue
                positions.setdefault(image_id, []).append(position)
        for image_id, count in unknown.items():
            self.problems.append(
                Failure(image_id, f"{count} masks of image {image_id}, which no image record describes")
            )
        return {image_id: found for image_id, found in positions.items() if found}

    def _check(self, record: Record, position: int, seen: set[Any]) -> None:
        name = self._object_id(position)
        if name in seen:
            raise InputError("has the id of an earlier one")
        seen.add(name)
        if self._scored:
            # Without these the evaluation could not place the mask; found at its end, they would cost the run.
            category, score = record.get("category_id"), record.get("score", 1.0)
            if type(category) is not int or abs(category) >= 1 << 31:
                raise InputError(f"has the category_id {str(category)[:40]!r}; expected a number")
            if not isinstance(score, (int, float)) or not abs(score) <= LARGEST_SCORE:
                raise InputError(f"has the score {str(score)[:40]!r}; expected a finite number")
        check_segmentation(record.get("segmentation"), _size(self._table.get(record["image_id"], {})))

    def _ids_with_images(self) -> list[ImageId]:
        ids = []
        for image_id, found in self._positions.items():
            if self._path(image_id) is None:
                self.problems.append(
                    Failure(
                        image_id,
                        f"image {image_id} is not in {self._folder.folder}; {len(found)} masks stay as they are",
                    )
                )
            else:
                ids.append(image_id)
        return ids

    def _path(self, image_id: ImageId) -> Path | None:
        return self._folder.find(self._table.get(image_id, {"id": image_id, "file_name": f"{image_id:0>12}.jpg"}))

    def _decode(self, image_id: ImageId, size: tuple[int, int]) -> tuple[list[BoolArray], list[int], list[Failure]]:
        masks, positions, problems = [], [], []
        for position in self._positions[image_id]:
            try:
                masks.append(decode(self._coarse.records[position]["segmentation"], size))
                positions.append(position)
            except InputError as error:
                problems.append(self._failure(image_id, position, str(error)))
        return masks, positions, problems

    def _object_id(self, position: int) -> int | str:
        """An annotation's id; a result, whose ids mean nothing, goes by its position."""
        record = self._coarse.records[position]
        name = None if self._coarse.is_results or not isinstance(record, dict) else record.get("id")
        return name if isinstance(name, (int, str)) else position

    def _report(self, image_id: ImageId, position: int, reason: str) -> None:
        self.problems.append(self._failure(image_id, position, reason))

    def _failure(self, image_id: ImageId, position: int, reason: str) -> Failure:
        kind = "result" if self._coarse.is_results else "annotation"
        return Failure(image_id, f"{kind} {self._object_id(position)} of {self._coarse.path.name}: {reason}")


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = image.get("height"), image.get("width")
    return (height, width) if type(height) is int and type(width) is int else None


def _replaced(record: Record, mask: BoolArray, segmentation: Any) -> Record:
    """A record with another mask; a field that was not there is not added, since COCO's tools go by what they find."""
    area, box = area_and_box(mask)
    present = {key: value for key, value in (("area", area), ("bbox", box)) if key in record}
    return {**record, "segmentation": segmentation, **present}
