"""COCO: coarse instance masks from any results or annotations file, scored by average precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samref.config.paths import InputFile, InputFolder, OutputFolder
from samref.datasets.coco.records import CoarseRecords, category_warnings
from samref.datasets.coco.writer import CocoWriter
from samref.datasets.dataset import MaskDataset, SampleMeta
from samref.datasets.simulated import Defects
from samref.errors import ConfigError, DatasetError, InputError
from samref.io.coco_files import CocoFile, Record, image_names, read_coco, read_image_ids
from samref.io.coco_ids import ImageId, whole_number
from samref.io.coco_masks import area_and_box, decode, encode_like, encode_rle
from samref.io.image_folder import ImageFolder
from samref.io.orientation import check_orientation, frame_sizes, read_image_of
from samref.structures import BoolArray, Failure, Sample

if TYPE_CHECKING:
    from samref.metrics.scorers import AveragePrecisionScorer


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
        eval_protocol: `coco`, `lvis` or `class_agnostic`, the rules of the average precision.
        ground_truth: annotations file to score against, or None.
        image_ids: ids that the run is restricted to, or None for all; the average precision must be, too.
        problems: what was found wrong before any image was read.
        warnings: how ids and categories were taken where they do not fit.
    """

    name = "coco"
    eval_protocol = "coco"

    def __init__(
        self,
        images: InputFolder | None = None,
        annotations: InputFile | None = None,
        predictions: InputFile | None = None,
        image_ids: InputFile | None = None,
        root: InputFolder | None = None,
        split: str | None = None,
        output: OutputFolder | None = None,
        orientation: str = "auto",
        class_agnostic: bool = False,
        defects: str | None = None,
        strengths: Mapping[str, Any] | None = None,
        seed: int = 0,
        cache: OutputFolder | None = None,
    ) -> None:
        """Reads the files; no image is opened yet.

        Args:
            images: folder of the images; by default `root/split`.
            annotations: ground truth; by default `root/annotations/instances_SPLIT.json`. Without it, no score.
            predictions: results or annotations file with the coarse masks; by default those of the ground truth.
            image_ids: file that lists the images to use (COCO train5K): one id a line, JSON, or annotations.
            root: folder in COCO's own layout.
            split: `val2017` or `train2017`.
            output: folder for the refined masks, or None: they go into the run's folder, where they are saved.
            orientation: where masks were drawn on photos with an EXIF orientation, see `read_image_of`.
            class_agnostic: whether all categories count as one, for masks without categories (CutLER, MaskCut).
            defects: kind of coarse masks made from the ground truth, see `samref.datasets.coarse_kinds`; each counts
                with a score of 1. None: those of `predictions`, or the ground truth's own.
            strengths: how strong these defects are.
            seed: of the defects.
            cache: folder that keeps super-pixel defects, or None.

        Raises:
            DatasetError: for a missing or unreadable file, or if no mask is left to refine.
            ConfigError: for an unknown kind of defects, or one beside predictions.
        """
        self.orientation = check_orientation(orientation)
        if class_agnostic:
            self.eval_protocol = "class_agnostic"
        self.defects = Defects.of(defects, seed, strengths, cache)
        if defects is not None and predictions is not None:
            raise ConfigError(
                f"dataset.defects={defects} makes coarse masks from the truth, but dataset.predictions={predictions} "
                "brings others; leave one of the two out"
            )
        images, annotations, predictions, image_ids, root = (
            None if path is None else Path(path).expanduser()
            for path in (images, annotations, predictions, image_ids, root)
        )
        if root is not None and split is None:
            raise DatasetError(f"data set {self.name} has a root but no split; give dataset.split=val2017")
        if root is not None:
            images = images or root / str(split)
            annotations = annotations or root / "annotations" / f"instances_{split}.json"
        if images is None or (annotations is None and predictions is None):
            raise DatasetError(
                f"data set {self.name} has no images or no masks; give dataset.root=DIR, or dataset.images=DIR with "
                "dataset.annotations=FILE, dataset.predictions=FILE or both"
            )
        if not images.is_dir():
            raise DatasetError(
                f"{images} is not a folder; expected the images of {self.name} there (dataset.images=DIR; "
                f"`samref datasets {self.name}` shows where they come from)"
            )
        truth = None if annotations is None else read_coco(annotations, "dataset.annotations")
        coarse = truth if predictions is None else read_coco(predictions, "dataset.predictions")
        assert coarse is not None
        if truth is not None:
            self._check_truth(truth)
        self.output = None if output is None else Path(output).expanduser()
        self._keep_out(coarse.path)
        self._files = tuple(path for path in (annotations, predictions, image_ids) if path is not None)
        scored = truth is not None and "annotations" in truth.data
        self._coarse = coarse
        self._records = CoarseRecords(coarse, truth, None if image_ids is None else read_image_ids(image_ids), scored)
        self.image_ids = self._records.wanted
        self.problems: list[Failure] = self._records.problems
        self.warnings = self._records.warnings
        if scored and truth is not None and not class_agnostic:
            self.warnings += category_warnings(coarse, truth)
        self._folder = ImageFolder(images)
        self._paths = self._located()
        self._ids = list(self._paths)
        self.ground_truth: Path | None = truth.path if truth is not None and scored else None
        self.protocol = "average_precision" if scored else "none"
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
        path = self._paths[image_id]
        promised = self._records.size(image_id)
        turned, stored = frame_sizes(path)
        if promised not in (None, turned, stored):
            raise InputError(f"{path} is {turned} (H, W); expected {promised}, as in the annotations")
        size = promised or turned
        positions, records, masks, problems = self._decode(image_id, size)
        stacked = np.stack(masks) if masks else np.zeros((0, *size), bool)
        image, warnings = read_image_of(path, stacked, self.orientation)
        meta: SampleMeta = {
            "records": tuple(records),
            "positions": tuple(positions),
            "problems": tuple(problems),
            "warnings": warnings,
        }
        object_ids = tuple(map(self._records.object_id, positions, records))
        if self.defects is not None:
            stacked = self.defects.named(image, stacked, image_id, object_ids)
        return Sample(image, stacked, image_id, object_ids, meta=meta)

    def image_id(self, index: int) -> ImageId:
        """The image's id in the annotations."""
        return self._ids[index]

    def sample_files(self, index: int) -> Sequence[Path]:
        """The image; its masks are in `sample_content`."""
        return (self._paths[self._ids[index]],)

    def sample_content(self, index: int) -> Any:
        """The records of the coarse masks, and the size that the image is to have."""
        image_id = self._ids[index]
        return [self._coarse.records_at(self._records.positions[image_id]), self._records.size(image_id)]

    def object_ids(self, index: int) -> Sequence[str | int] | None:
        """Places of a sample's results; annotations have ids of their own."""
        return list(self._records.positions[self._ids[index]]) if self._coarse.is_results else None

    def input_files(self) -> Sequence[Path]:
        """Ground truth, coarse masks and the list of images, as far as there are any."""
        return self._files

    def scorer(self, image_ids: Iterable[Any] | None = None) -> AveragePrecisionScorer | None:
        """AP of boxes, masks and boundaries over `image_ids`, or else over those that the data set is restricted to."""
        from samref.metrics.scorers import AveragePrecisionScorer

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
            `area` and `bbox` are the mask's where the record had them; `score` is 1 where it had none; ids are those
            of the ground truth, in its types.
        """
        return [
            {
                "score": 1.0,
                **_replaced(record, mask, encode_rle(mask)),
                "image_id": sample.image_id,
                "category_id": whole_number(record["category_id"]),
            }
            for record, mask in zip(sample.meta["records"], masks, strict=True)
        ]

    def records(self, sample: Sample, masks: BoolArray) -> list[Record]:
        """Masks of a sample as records for writing: as `results`, but in the form in which each one came."""
        return [
            _replaced(record, mask, encode_like(mask, record["segmentation"]))
            for record, mask in zip(sample.meta["records"], masks, strict=True)
        ]

    def writer(self, output: Path) -> CocoWriter:
        """Writes `output/NAME.json`, NAME being that of the file of coarse masks."""
        records = self._records
        return CocoWriter(output, self._coarse, records.positions, records.spellings(), self.records)

    def _keep_out(self, coarse: Path) -> None:
        if self.output is not None and (self.output / f"{coarse.stem}.json").resolve() == coarse.resolve():
            raise DatasetError(
                f"the refined masks would take the place of {coarse}; choose another dataset.output, so that the input "
                "stays as it is"
            )

    def _check_truth(self, truth: CocoFile) -> None:
        if truth.is_results:
            raise DatasetError(
                f"{truth.path} is a results file; expected annotations there (results go to dataset.predictions=FILE)"
            )

    def _located(self) -> dict[ImageId, Path]:
        """The image files, by the ids of the images that have masks."""
        images, positions = self._records.images, self._records.positions
        names = {image_id: image_names(images.get(image_id, {"id": image_id})) for image_id in positions}
        located = self._folder.locate(names)
        for image_id, reason in located.missing.items():
            self.problems.append(
                Failure(
                    image_id, f"image {image_id}: {reason}; masks that stay as they are: {len(positions[image_id])}"
                )
            )
        return {image_id: located.paths[image_id] for image_id in positions if image_id in located.paths}

    def _decode(
        self, image_id: ImageId, size: tuple[int, int]
    ) -> tuple[list[int], list[Record], list[BoolArray], list[Failure]]:
        """Places, records and masks of an image, and what is wrong with those that are left out."""
        positions, records, masks, problems = [], [], [], []
        of_image = self._records.positions[image_id]
        for position, record in zip(of_image, self._coarse.records_at(of_image), strict=True):
            try:
                masks.append(decode(record["segmentation"], size))
                positions.append(position)
                records.append(record)
            except InputError as error:
                problems.append(self._records.failure(image_id, position, record, str(error)))
        return positions, records, masks, problems


def _replaced(record: Record, mask: BoolArray, segmentation: Any) -> Record:
    """A record with another mask; a field that was not there is not added, since COCO's tools go by what they find."""
    area, box = area_and_box(mask)
    present = {key: value for key, value in (("area", area), ("bbox", box)) if key in record}
    return {**record, "segmentation": segmentation, **present}
