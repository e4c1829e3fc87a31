"""AP of boxes, masks and boundaries by the protocols of COCO and LVIS, on the evaluator of faster-coco-eval."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from faster_coco_eval import COCO
from faster_coco_eval.core import mask as evaluator_masks
from faster_coco_eval.core.faster_eval_api import COCOeval_faster
from torchmetrics import Metric

from samref.errors import ConfigError, InputError
from samref.metrics.coco_records import Record, federated, ground_truth_records, of_one_category, result_records
from samref.metrics.overlap import BOUNDARY_RATIO, boundary_width

NAMES = {"bbox": "ap_box", "segm": "ap_mask", "boundary": "ap_boundary"}
PROTOCOLS = ("coco", "lvis", "class_agnostic")
MAX_DETECTIONS = 100  # an image: of each category in COCO's protocol, of all together in LVIS's

Results = Iterable[Mapping[str, Any]]


def average_precision(
    ground_truth: Mapping[str, Any] | str | Path,
    results: Results,
    iou_types: Sequence[str] = ("bbox", "segm", "boundary"),
    protocol: str = "coco",
    image_ids: Iterable[Any] | None = None,
    details: bool = False,
) -> dict[str, float]:
    """Average precision over IoU thresholds 0.5 to 0.95, 100 detections an image.

    Boundary AP takes the smaller of mask IoU and boundary IoU of each pair; a crowd region, which has no boundary of
    its own, keeps the mask IoU. The box of a result is that of its mask; its own `bbox` counts only where it has no
    mask. Under `lvis`, a category counts in an image only if it was verified there, as present or as absent, and a
    result that matches nothing is no error where by LVIS the category is not annotated exhaustively. Under
    `class_agnostic`, all categories are one, as for methods that find objects without naming them.

    Args:
        ground_truth: content or path of an annotations file (COCO, or LVIS for `lvis`).
        results: COCO results: `image_id, category_id, score` and `segmentation` in run lengths or polygons.
        iou_types: of `bbox`, `segm`, `boundary`.
        protocol: `coco`, `lvis` or `class_agnostic`.
        image_ids: the images that count, for both sides; all where None.
        details: also AP at IoU 0.5 and 0.75, as `ap_mask_50`, `ap_mask_75` and so on.

    Returns:
        Fractions under `ap_box`, `ap_mask`, `ap_boundary`; NaN where the ground truth holds nothing to find.

    Raises:
        ConfigError: for an unknown IoU type or protocol.
        InputError: if the ground truth is not COCO's, a segment cannot be read, or a result is of an unknown image.
    """
    _check(iou_types, protocol)
    content = _content(ground_truth)
    results = list(results)
    truth, numbers = ground_truth_records(content, image_ids)
    _check_images(results, {image["id"] for image in content["images"]})
    if protocol == "class_agnostic":
        truth, results = of_one_category(truth, results)
    found = result_records(results, truth, numbers)
    if protocol == "lvis":
        truth, found = federated(truth, found, MAX_DETECTIONS)
    scores: dict[str, float] = {}
    for iou_type in iou_types:
        scores |= _evaluate(truth, found, iou_type, protocol, details)
    return scores


class AveragePrecision(Metric):
    """`average_precision` of results that come image by image, in one process or several.

    Results stay in run lengths; the evaluation happens in `compute`, on the results of all processes.
    """

    full_state_update = False
    higher_is_better = True

    def __init__(
        self,
        ground_truth: Mapping[str, Any] | str | Path,
        iou_types: Sequence[str] = ("bbox", "segm", "boundary"),
        protocol: str = "coco",
        image_ids: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Takes what `average_precision` takes, but for the results.

        Args:
            ground_truth: content or path of an annotations file.
            iou_types: of `bbox`, `segm`, `boundary`.
            protocol: `coco`, `lvis` or `class_agnostic`.
            image_ids: the images that count; all where None.
            **kwargs: of `torchmetrics.Metric`.

        Raises:
            ConfigError: for an unknown IoU type or protocol.
        """
        super().__init__(**kwargs)
        _check(iou_types, protocol)
        self.ground_truth, self.iou_types, self.protocol = ground_truth, tuple(iou_types), protocol
        self.image_ids = None if image_ids is None else set(image_ids)
        self.results: list[Mapping[str, Any]] = []

    def update(self, results: Results) -> None:
        """Adds results, usually those of one image.

        Args:
            results: COCO results, see `average_precision`.
        """
        self.results.extend(results)

    def compute(self) -> dict[str, float]:
        """AP of all results so far, over all processes.

        Returns:
            Fractions under `ap_box`, `ap_mask`, `ap_boundary`; NaN where the ground truth holds nothing to find.
        """
        return self.score(self.gathered())

    def gathered(self) -> list[Mapping[str, Any]]:
        """The results of all processes."""
        return _from_all_processes(self.results)

    def score(self, results: Results) -> dict[str, float]:
        """AP of other results, by the same ground truth.

        Args:
            results: COCO results, see `average_precision`.

        Returns:
            As `compute`.
        """
        return average_precision(self.ground_truth, results, self.iou_types, self.protocol, self.image_ids)

    def reset(self) -> None:
        """Forgets all results."""
        super().reset()
        self.results = []


class _Evaluator(COCOeval_faster):  # type: ignore[misc]
    def _prepare(self) -> None:
        super()._prepare()
        if self.params.iouType == "boundary":
            for dataset in (self.cocoGt, self.cocoDt):
                for record in dataset.anns.values():
                    _fix_boundary(record)


def _fix_boundary(record: Record) -> None:
    # The package rounds 7.5 px down where boundary IoU's definition, round(), goes to the even 8; it happens for
    # sizes whose diagonal is 75, 175, 275, 375, ... such as 300 x 225.
    size = record["segmentation"]["size"]
    diagonal = math.hypot(*size)
    if "boundary" in record and abs(BOUNDARY_RATIO * diagonal % 1 - 0.5) < 1e-4:
        ratio = (boundary_width((size[0], size[1])) + 0.25) / diagonal
        record["boundary"] = evaluator_masks.rleToBoundary(record["rle"], ratio)


def _evaluate(truth: Record, found: list[Record], iou_type: str, protocol: str, details: bool) -> dict[str, float]:
    # The evaluator writes its notes into the records it is given.
    reference = COCO({**truth, "annotations": [dict(record) for record in truth["annotations"]]}, print_function=_quiet)
    detections = COCO({**truth, "annotations": [dict(record) for record in found]}, print_function=_quiet)
    evaluator = _Evaluator(reference, detections, iou_type, print_function=_quiet, lvis_style=protocol == "lvis")
    evaluator.params.maxDets = [MAX_DETECTIONS]
    evaluator.params.areaRng, evaluator.params.areaRngLbl = evaluator.params.areaRng[:1], ["all"]
    evaluator.evaluate()
    evaluator.accumulate()
    precision = evaluator.eval["precision"]  # threshold x recall x category x area x detections; -1: nothing to find
    thresholds = {"": slice(None), **({"_50": slice(0, 1), "_75": slice(5, 6)} if details else {})}
    return {NAMES[iou_type] + suffix: _mean_of_known(precision[rows]) for suffix, rows in thresholds.items()}


def _mean_of_known(precision: Any) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else math.nan


def _content(ground_truth: Mapping[str, Any] | str | Path) -> Mapping[str, Any]:
    if isinstance(ground_truth, Mapping):
        content: Any = ground_truth
    else:
        try:
            content = json.loads(Path(ground_truth).read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{ground_truth} cannot be read as an annotations file: {error}") from error
    if not isinstance(content, Mapping) or "images" not in content or "categories" not in content:
        raise InputError("the ground truth is no COCO annotations file: expected images, annotations and categories")
    return content


def _check(iou_types: Sequence[str], protocol: str) -> None:
    for iou_type in iou_types:
        if iou_type not in NAMES:
            raise ConfigError(f"IoU type '{iou_type}' is not known; expected one of {', '.join(NAMES)}")
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol '{protocol}' is not known; expected one of {', '.join(PROTOCOLS)}")


def _check_images(results: list[Mapping[str, Any]], known: set[Any]) -> None:
    for result in results:
        if result["image_id"] not in known:
            raise InputError(f"a result is of image {result['image_id']!r}, which the ground truth does not list")


def _from_all_processes(results: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return results
    shares: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(shares, results)
    return [result for share in shares for result in share]


def _quiet(*_: Any) -> None:
    """Takes the place of the evaluator's printing."""
