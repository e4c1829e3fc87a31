"""Views: an image as it is, or a part of it, with the masks that are refined there; results go back pixel by pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from samref.backbones.backbone import Backbone
from samref.geometry.frames import resized_size
from samref.geometry.masks import pair_iou
from samref.geometry.windows import Window, regrid
from samref.stopwatch import Stopwatch
from samref.structures import BoolArray, Embedding, IntArray, Prompts, Refinement, Sample


@dataclass(frozen=True)
class View:
    """Some masks of an image and where they are refined.

    Attributes:
        rows: of the image's masks.
        window: the part of the image that is encoded for itself; None for the image.
        why: why it is a part, for the record.
        with_image: whether what the model makes of the masks in the image counts as well.
    """

    rows: IntArray
    window: Window | None = None
    why: str = ""
    with_image: bool = False

    def sample(self, whole: Sample) -> Sample:
        """The part of a sample that is refined here, with the masks of `rows` alone; the sample itself for an image."""
        if self.window is None:
            return whole
        inside = self.window.slices
        return replace(
            whole,
            image=np.ascontiguousarray(whole.image[inside]),
            masks=self._cut(whole.masks),
            object_ids=tuple(whole.object_ids[row] for row in self.rows),
            truth=None if whole.truth is None else self._cut(whole.truth),
            label_map=None,
        )

    @property
    def places(self) -> IntArray:
        """Where `rows` are among the masks of `sample`."""
        return self.rows if self.window is None else np.arange(len(self.rows))

    def loses_truth(self, whole: Sample) -> bool:
        """Whether some of the masks' ground truth lies outside the part, so that IoUs measured there are not right."""
        if self.window is None or whole.truth is None:
            return False
        return bool(np.count_nonzero(whole.truth[self.rows]) > np.count_nonzero(self._cut(whole.truth)))

    def write_back(self, part: Refinement, result: Refinement, whole: Sample) -> None:
        """Writes the refinement of `sample` into that of the whole, all but the prompts.

        Args:
            part: of `sample`; with candidates where `loses_truth`.
            result: of the whole, changed in place.
            whole: the sample that this is a view of.
        """
        if self.window is None:
            return
        rows, inside, lost = self.rows, self.window.slices, self.loses_truth(whole)
        if part.scores is not None and result.scores is None:
            result.scores = np.zeros(len(whole.masks), dtype=np.float32)
        for name in ("chosen", "predicted_iou", "iou_predictions", "candidate_iou", "coarse_iou", "scores"):
            values, target = getattr(part, name), getattr(result, name)
            if values is not None and target is not None:
                target[rows] = values
        flags, reasons = list(result.flags), list(result.reasons or [""] * len(whole.masks))
        for k, row in enumerate(rows):
            flags[row] = part.flags[k]
            reasons[row] = f"{part.reasons[k]} ({self.why})" if part.reasons else self.why
            for name, outside in (("masks", False), ("candidates", False), ("logits", -np.inf)):
                values, target = getattr(part, name), getattr(result, name)
                if values is not None and target is not None:
                    target[row] = outside
                    target[(row, ..., *inside)] = values[k]
            if k in part.rejected:
                result.rejected[int(row)] = self._pasted(part.rejected[k], whole)
            if lost and part.candidates is not None and result.candidate_iou is not None and whole.truth is not None:
                truth = whole.truth[row]
                result.candidate_iou[row] = [pair_iou(self._pasted(one, whole), truth) for one in part.candidates[k]]
        result.flags, result.reasons = tuple(flags), tuple(reasons)

    def prompts_of_image(self, prompts: Prompts, whole: Sample, backbone: Backbone) -> Prompts:
        """The prompts of `rows` in the frame of the image.

        Args:
            prompts: of the same masks, in the frame of `sample`.
            whole: the sample that this is a view of.
            backbone: whose frame is meant.
        """
        if self.window is None:
            return prompts
        offset = np.array([self.window.x, self.window.y], dtype=np.float32)
        original_size, img_size = whole.original_size, backbone.img_size
        of_window, of_image = (
            resized_size(size, img_size, backbone.stretched) for size in (self.window.size, original_size)
        )
        frames = of_window, of_image
        heat = prompts.mask_input
        if heat is not None:
            heat = np.stack([regrid(one[0], self.window, original_size, frames, img_size)[None] for one in heat])
        return Prompts(
            None if prompts.point_coords is None else prompts.point_coords + offset,
            prompts.point_labels,
            None if prompts.boxes is None else prompts.boxes + np.tile(offset, 2),
            heat,
        )

    def _cut(self, masks: BoolArray) -> BoolArray:
        assert self.window is not None
        rows, columns = self.window.slices
        return np.ascontiguousarray(masks[self.rows][:, rows, columns])

    def _pasted(self, mask: BoolArray, whole: Sample) -> BoolArray:
        assert self.window is not None
        pasted = np.zeros(whole.original_size, dtype=bool)
        pasted[self.window.slices] = mask
        return pasted


# What `Views` calls the image where no mask is refined in it alone.
IMAGE = View(np.empty(0, dtype=np.int64))


class Views:
    """The views of one sample, none of which is encoded twice."""

    def __init__(self, sample: Sample, views: Sequence[View], backbone: Backbone, watch: Stopwatch) -> None:
        """Encodes nothing yet.

        Args:
            sample: image and coarse masks.
            views: that hold each mask once.
            backbone: the frozen model.
            watch: of the refinement.
        """
        self.whole, self.backbone, self.watch = sample, backbone, watch
        self._views = tuple(views)
        self._embeddings: dict[Window | None, Embedding] = {}

    def __iter__(self) -> Iterator[View]:
        return iter(self._views)

    @property
    def rows(self) -> IntArray:
        """All masks of the views, in order."""
        return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *(view.rows for view in self._views)]))

    def embedding(self, view: View) -> Embedding:
        """Of one of the views."""
        if view.window not in self._embeddings:
            with self.watch("encode"):
                self._embeddings[view.window] = self.backbone.encode(view.sample(self.whole).image)
        return self._embeddings[view.window]

    def forget(self, view: View) -> None:
        """Lets go of the embedding of a crop, which no other view wants."""
        if view.window is not None:
            self._embeddings.pop(view.window, None)
