"""FiftyOne's labels in and out: detections with masks or boxes, and filled polylines."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from samref.errors import InputError
from samref.geometry.polygons import one_ring, rasterize
from samref.io.images import read_image
from samref.plugins.refiner import MaskRefiner
from samref.structures import KEPT, BoolArray, Refinement

FLAG, SCORE, REASON = "samref_flag", "samref_score", "samref_reason"
BACKBONES = ("mobile_sam", "vit_b", "vit_l", "vit_h", "hq_vit_h")


def refine_samples(samples: Any, field: str, new_field: str, refiner: MaskRefiner) -> Counter[str]:
    """Refines a field of labels into another one.

    Each new label is a copy of the old one - class, confidence, index, tags, attributes - with the refined mask and
    box, or polyline, and with `samref_flag`, `samref_score` and, where there is a verdict, `samref_reason`.

    Args:
        samples: a data set or view of FiftyOne.
        field: of `Detections` (with masks, or with boxes alone) or filled `Polylines`.
        new_field: where to; it is made.
        refiner: what refines.

    Returns:
        How many labels came out with each flag.

    Raises:
        InputError: for a field of another kind, or the field itself as the new one.
    """
    import fiftyone as fo

    if field == new_field:
        raise InputError(f"the new field is {field} itself; expected another name, so that both can be compared")
    counts: Counter[str] = Counter()
    for sample in samples.iter_samples(autosave=True, progress=True):
        labels = sample[field]
        if labels is None:
            continue
        if not isinstance(labels, (fo.Detections, fo.Polylines)):
            raise InputError(f"field {field} holds {type(labels).__name__}; expected Detections or Polylines")
        listed = labels.detections if isinstance(labels, fo.Detections) else labels.polylines
        image = read_image(sample.filepath)
        size = (image.shape[0], image.shape[1])
        masks = np.array([label_mask(label, size) for label in listed], bool).reshape(len(listed), *size)
        result = refiner.refine(image, masks)
        counts.update(result.flags)
        refined = [_refined(label, result, row) for row, label in enumerate(listed)]
        sample[new_field] = type(labels)(**{type(labels)._LABEL_LIST_FIELD: refined})
    return counts


def label_mask(label: Any, size: tuple[int, int]) -> BoolArray:
    """The H x W mask of a detection or of a filled polyline.

    Args:
        label: of FiftyOne.
        size: (H, W) of the image.
    """
    import fiftyone as fo

    sides = np.array(size[::-1], dtype=np.float64)
    if isinstance(label, fo.Polyline):
        rings = [np.array(shape, dtype=np.float64) * sides for shape in label.points]
        return np.logical_xor.reduce([rasterize([ring], size) for ring in rings]) if rings else np.zeros(size, bool)
    if label.has_mask:
        return np.asarray(label.to_segmentation(frame_size=size[::-1], target=1).mask > 0)
    x, y, width, height = label.bounding_box
    x0, y0 = np.floor(np.array([x, y]) * sides).astype(int).clip(0)
    x1, y1 = np.ceil(np.array([x + width, y + height]) * sides).astype(int)
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def operator_class() -> Any:
    """The operator, made when FiftyOne is there."""
    import fiftyone.operators as foo
    from fiftyone.operators import types

    class RefineMasks(foo.Operator):  # type: ignore[misc]
        """Takes fields and model from a form, and refines the view on the screen."""

        @property
        def config(self) -> Any:
            return foo.OperatorConfig(
                name="refine_masks", label="Refine masks (SAMRefiner)", dynamic=True,
                allow_delegated_execution=True, allow_immediate_execution=True,
            )  # fmt: skip

        def resolve_input(self, ctx: Any) -> Any:
            inputs = types.Object()
            kinds = ("Detections", "Polylines")
            schema = ctx.dataset.get_field_schema().items()
            fields = [name for name, kind in schema if getattr(kind, "document_type", type).__name__ in kinds]
            inputs.enum("field", fields, required=True, label="Field to refine")
            inputs.str(
                "new_field", required=True, label="New field", default=f"{ctx.params.get('field', 'masks')}_refined"
            )
            inputs.enum("backbone", list(BACKBONES), default=BACKBONES[0], label="Model")
            inputs.view_target(ctx)
            return types.Property(inputs, view=types.View(label="Refine masks"))

        def execute(self, ctx: Any) -> dict[str, int]:
            from samref import SAMRefiner

            refiner = SAMRefiner.from_pretrained(
                ctx.params.get("backbone", BACKBONES[0]), verdict=True, zoom=True, clean=True
            )
            counts = refine_samples(ctx.target_view(), ctx.params["field"], ctx.params["new_field"], refiner)
            if not ctx.delegated:
                ctx.trigger("reload_dataset")
            return dict(counts)

        def resolve_output(self, ctx: Any) -> Any:
            outputs = types.Object()
            for flag in ctx.results or {}:
                outputs.int(flag, label=flag)
            return types.Property(outputs, view=types.View(label="Masks"))

    return RefineMasks


def _refined(label: Any, result: Refinement, row: int) -> Any:
    """A copy of a label with the mask of a row, and what became of it."""
    import fiftyone as fo

    new, mask = label.copy(), result.masks[row]
    scores = result.predicted_iou if result.scores is None else result.scores
    new[FLAG], new[SCORE] = result.flags[row], float(scores[row])
    if result.reasons is not None:
        new[REASON] = result.reasons[row]
    if not mask.any() or (result.flags[row] == KEPT and not _is_box(label)):
        return new
    size = np.array(mask.shape[::-1], dtype=np.float64)
    if isinstance(label, fo.Polyline):
        new.points = [[tuple(point) for point in (one_ring(mask) / size).tolist()]]
    else:
        drawn = fo.Detection.from_mask(mask)
        new.bounding_box, new.mask = drawn.bounding_box, drawn.mask
        if label.mask_path is not None:
            new.mask_path = None
    return new


def _is_box(label: Any) -> bool:
    return not getattr(label, "has_mask", True)
