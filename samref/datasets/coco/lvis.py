"""LVIS v0.5 and v1, with their own categories or with COCO's: federated average precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from samref.config.paths import InputFile, InputFolder, OutputFolder
from samref.datasets.coco.coco import CocoDataset
from samref.errors import DatasetError
from samref.io.coco_files import CocoFile


class LvisDataset(CocoDataset):
    """COCO images with LVIS ground truth; see `CocoDataset` for everything else.

    The coarse masks may be any results or annotations file with the ground truth's category ids. For COCO's categories
    (Tables 6 and 10) the ground truth is made by `samref datasets cocofy`, or one that was made so elsewhere.
    """

    name = "lvis"
    eval_protocol = "lvis"

    def __init__(
        self,
        images: InputFolder | None = None,
        annotations: InputFile | None = None,
        predictions: InputFile | None = None,
        image_ids: InputFile | None = None,
        output: OutputFolder | None = None,
        orientation: str = "auto",
        defects: str | None = None,
        strengths: Mapping[str, Any] | None = None,
        seed: int = 0,
        cache: OutputFolder | None = None,
    ) -> None:
        """Reads the files; no image is opened yet.

        Args:
            images: folder of the images, or the folder above `train2017` and `val2017`, since LVIS v1 draws on both.
            annotations: LVIS ground truth, v0.5 or v1.
            predictions: results or annotations file with the coarse masks; by default the ground truth's own.
            image_ids: file that lists the images to use.
            output: folder for the refined masks, or None: they go into the run's folder, where they are saved.
            orientation: see `CocoDataset`.
            defects: kind of coarse masks made from the ground truth, see `CocoDataset`.
            strengths: how strong these defects are.
            seed: of the defects.
            cache: folder that keeps super-pixel defects, or None.

        Raises:
            DatasetError: for a missing or unreadable file, or if no mask is left to refine.
            ConfigError: for an unknown kind of defects, or one beside predictions.
        """
        super().__init__(
            images,
            annotations,
            predictions,
            image_ids,
            output=output,
            orientation=orientation,
            defects=defects,
            strengths=strengths,
            seed=seed,
            cache=cache,
        )

    def _check_truth(self, truth: CocoFile) -> None:
        super()._check_truth(truth)
        federated = ("neg_category_ids", "not_exhaustive_category_ids")
        for image in truth.images:
            record = image if isinstance(image, dict) else {}
            missing = [key for key in federated if not _is_list_of_ids(record.get(key))]
            if missing:
                raise DatasetError(
                    f"image {record.get('id')} of {truth.path} has no {missing[0]}, so it is not LVIS ground truth; "
                    "use dataset=coco for COCO's"
                )


def _is_list_of_ids(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)
