"""SAMRefiner: encode once, then excavate, decode and select for some rounds (paper, Fig. 3a)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samref.backbones.backbone import Backbone
from samref.backbones.open import open_backbone
from samref.config.compose import build, compose_options
from samref.errors import ConfigError
from samref.io.inputs import ImageLike, as_image, as_image_and_masks, as_masks
from samref.prompts.excavation import PARTS, Excavator, Frame
from samref.refiners.blank import blank
from samref.refiners.candidates import IouArray, candidate_iou, candidate_masks, cut_mask, full_logits, pick
from samref.refiners.clean import Clean
from samref.refiners.detections import Detections, coarse_masks, refined_detections
from samref.refiners.guard import Guard
from samref.refiners.hypotheses import gather_prompts
from samref.refiners.selection import Scores, selection_rule
from samref.refiners.verdict import Verdict
from samref.refiners.views import Views
from samref.refiners.zoom import Zoom, choose_views
from samref.stopwatch import Stopwatch
from samref.structures import (
    FALLBACK,
    REFINED,
    BoolArray,
    Candidates,
    Embedding,
    FloatArray,
    IntArray,
    Prompts,
    Refinement,
    Sample,
)

CASCADES = ("masks", "box_then_logits", "all_then_logits")
MININGS = ("last", "first")


class Refiner(Protocol):
    """Anything that refines masks and is scored by the same protocol. A new one is one class and one yaml."""

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of one image.

        Args:
            sample: image, coarse masks and, for analysis, ground truth.
            keep_candidates: whether `Refinement.candidates` is wanted.
            keep_logits: whether `Refinement.logits` is wanted.

        Returns:
            The refined masks, in the sample's order.
        """
        ...


class SAMRefiner:
    """Refines coarse masks with a frozen Segment Anything model."""

    def __init__(
        self,
        backbone: Backbone,
        prompts: Excavator,
        iterations: int = 1,
        selection: str = "predicted",
        cascade: str = "masks",
        mining: str = "last",
        chunk_size: int = 16,
    ) -> None:
        """Puts a refiner together.

        Args:
            backbone: the frozen model.
            prompts: what is mined from coarse masks.
            iterations: rounds; each takes the masks of the one before as coarse masks.
            selection: `predicted`, `single`, `coarse` or `oracle`.
            cascade: what later rounds prompt with (paper, Fig. 7b): `masks` (all prompts mined again from the refined
                masks), `box_then_logits` (point and box first, later SAM's own low-resolution logits beside them) or
                `all_then_logits` (all prompts first, later the logits in place of the Gaussian mask).
            mining: where the points and boxes of later rounds come from: `last` (the masks of the round before) or
                `first` (the coarse masks, as in the first round).
            chunk_size: masks decoded together at most; bounds memory, never changes results.

        Raises:
            ConfigError: for an unknown rule or cascade, or a number below 1.
        """
        if iterations < 1 or chunk_size < 1:
            raise ConfigError(
                f"refiner has iterations={iterations}, chunk_size={chunk_size}; expected at least 1 for both"
            )
        if mining not in MININGS:
            raise ConfigError(f"refiner.mining is '{mining}'; expected {' or '.join(MININGS)}")
        if cascade not in CASCADES:
            raise ConfigError(f"refiner.cascade is '{cascade}'; expected one of {', '.join(CASCADES)}")
        self.backbone = backbone
        self.prompts = prompts
        self.iterations = iterations
        self.selection, self._rule = selection, selection_rule(selection)
        self.cascade, self.mining = cascade, mining
        self.chunk_size = chunk_size
        # Whether `Refinement.coarse_iou` is measured, which some guards decide by.
        self.keep_coarse_iou = False
        self.guard = None
        self.verdict = None
        # What chooses the masks that are refined in crops, and the crops.
        self.zoom: Zoom | None = None
        # What removes crumbs and pinholes.
        self.clean: Clean | None = None

    @property
    def guard(self) -> Guard | None:
        """What `refine` gives coarse masks back by; `refine_sample`, whose callers have their own, does not."""
        return self._guard

    @guard.setter
    def guard(self, guard: Guard | None) -> None:
        self._guard = guard
        self.keep_coarse_iou = guard is not None and guard.needs_candidates()

    @property
    def verdict(self) -> Verdict | None:
        """What decides mask by mask, where it is enabled and nothing else was chosen.

        It tries prompt combinations itself and fuses their candidates, so whoever chooses a combination, a selection
        rule or several rounds gets these, and no verdict.
        """
        chosen = self.iterations > 1 or self.selection != "predicted" or self.prompts.use != frozenset(PARTS)
        return None if self._verdict is None or not self._verdict.enabled or chosen else self._verdict

    @verdict.setter
    def verdict(self, verdict: Verdict | None) -> None:
        self._verdict = verdict

    @classmethod
    def from_pretrained(cls, backbone: str = "mobile_sam", device: str = "auto", **options: Any) -> SAMRefiner:
        """A refiner with published weights, configured as `run.py` would configure it.

        Args:
            backbone: option of the config group `backbone`.
            device: `auto`, `cpu`, `cuda` or any torch device.
            **options: `prompts` (one of the seven combinations), `iterations`, `selection`, `preset`, `verdict` (True
                decides mask by mask what comes out, as `samref refine` does), `zoom` (True refines small objects, and
                those of large images, in crops around them, as it does too), `clean` (True removes crumbs and pinholes
                that the model made, as it does), `guard` (True keeps coarse masks whose refinement is implausible), or
                `overrides`, a list in the command line's grammar (`["prompts.mask.omega=30"]`).

        Returns:
            The refiner; `refine` does the work.

        Raises:
            WeightsError: if the weights cannot be found or verified.
            ConfigError: for an unknown option.

        >>> refiner = SAMRefiner.from_pretrained("tiny", device="cpu", prompts="box_mask")
        >>> sorted(refiner.prompts.use)
        ['box', 'mask']
        """
        cfg = compose_options(backbone=backbone, **options)
        model = open_backbone(cfg.backbone, device=device)
        refiner: SAMRefiner = build(cfg.refiner, backbone=model, prompts=build(cfg.prompts))
        refiner.guard = build(cfg.guard)
        refiner.verdict, refiner.zoom, refiner.clean = build(cfg.verdict), build(cfg.zoom), build(cfg.clean)
        return refiner

    @overload
    def refine(self, image: ImageLike, masks: Detections) -> Any: ...

    @overload
    def refine(
        self,
        image: ImageLike,
        masks: npt.ArrayLike,
        truth: npt.ArrayLike | None = None,
        *,
        keep_candidates: bool = False,
        keep_logits: bool = False,
    ) -> Refinement: ...

    def refine(
        self,
        image: ImageLike,
        masks: npt.ArrayLike | Detections,
        truth: npt.ArrayLike | None = None,
        *,
        keep_candidates: bool = False,
        keep_logits: bool = False,
    ) -> Any:
        """Refines the coarse masks of one image.

        Args:
            image: H x W x 3 uint8 RGB array, a PIL image or a path.
            masks: H x W or N x H x W; bool, 0/1 or 0/255. Or `supervision.Detections` with masks or boxes.
            truth: ground truth of the same shape, for `selection="oracle"` and for `candidate_iou`.
            keep_candidates: whether to return the three candidates of each mask.
            keep_logits: whether to return the chosen candidate's logits in image px.

        Returns:
            The refined masks, N x H x W bool in input order, and what is known of each: a `Refinement`. For detections,
            detections, see `refined_detections`.

        Raises:
            InputError: (a `ValueError`) for a mask of another size or with other values, or a non-RGB image.

        >>> image = np.zeros((40, 60, 3), dtype=np.uint8); mask = np.zeros((40, 60), dtype=bool)
        >>> mask[10:20, 10:30] = True
        >>> result = SAMRefiner.from_pretrained("tiny", device="cpu").refine(image, mask)
        >>> result.masks.shape, result.flags
        ((1, 40, 60), ('refined',))
        """
        if isinstance(masks, Detections):
            pixels = as_image(image)
            coarse = coarse_masks(masks, (pixels.shape[0], pixels.shape[1]))
            return refined_detections(masks, self.refine(pixels, coarse))
        pixels, coarse = as_image_and_masks(image, masks)
        real = None if truth is None else as_masks(truth, (pixels.shape[0], pixels.shape[1]), "truth mask")
        sample = Sample(pixels, coarse, "image", tuple(range(len(coarse))), truth=real)
        result = self.refine_sample(sample, keep_candidates=keep_candidates, keep_logits=keep_logits)
        return result if self.guard is None else self.guard(coarse, result)

    def refine_sample(self, sample: Sample, *, keep_candidates: bool = False, keep_logits: bool = False) -> Refinement:
        """Refines the coarse masks of a data set's sample. The guard is left to the caller.

        Args:
            sample: image, coarse masks and, for analysis, ground truth.
            keep_candidates: whether to return the three candidates of each mask.
            keep_logits: whether to return the chosen candidate's logits in image px.

        Returns:
            The refined masks, in the sample's order.
        """
        watch = Stopwatch(self.backbone.device)
        with torch.inference_mode():
            result = blank(sample, keep_candidates, keep_logits, self.keep_coarse_iou)
            rows = np.flatnonzero([mask.any() for mask in sample.masks])
            views = Views(sample, choose_views(self.zoom, sample.masks, rows, self.backbone), self.backbone, watch)
            source = None if self.verdict is None else self.verdict.source_of(views, self.prompts)
            mined = []
            for view in views:
                part = view.sample(sample)
                outcome = result
                if view.window is not None:
                    candidates = keep_candidates or view.loses_truth(sample)
                    outcome = blank(part, candidates, keep_logits, self.keep_coarse_iou)
                if self.verdict is not None and source is not None:
                    self.verdict.decide(views, view, self.prompts, source, outcome, self.chunk_size)
                else:
                    self._rounds(part, views.embedding(view), view.places, outcome, watch)
                view.write_back(outcome, result, sample)
                mined.append((view.rows, view.prompts_of_image(outcome.prompts, sample, self.backbone)))
                views.forget(view)
            if [view.window for view in views] != [None] or len(rows) < len(sample.masks):
                result.prompts = gather_prompts(mined, len(sample.masks))
            if self.clean is not None:
                with watch("postprocess"):
                    self.clean(sample.masks, result)
        result.timing = watch.seconds
        return result

    def _rounds(
        self, sample: Sample, embedding: Embedding, rows: IntArray, result: Refinement, watch: Stopwatch
    ) -> None:
        """Refines some masks of an image in place; `result.prompts` has theirs alone."""
        low_res: FloatArray | None = None
        first: Prompts | None = None
        for turn in range(self.iterations):
            with watch("excavate"):
                prompts = self.excavate([result.masks[row] for row in rows], embedding, turn, low_res)
            first = first or prompts
            kept = self.mining == "first"
            result.prompts = replace(first, mask_input=prompts.mask_input) if kept else prompts
            last = turn == self.iterations - 1
            low_res = self._decode_round(sample, embedding, result.prompts, rows, result, watch, last)

    def excavate(
        self,
        masks: Sequence[BoolArray] | BoolArray,
        embedding: Embedding,
        turn: int = 0,
        low_res_logits: FloatArray | None = None,
    ) -> Prompts:
        """The prompts of one round.

        Args:
            masks: N masks, H x W bool, none of them empty.
            embedding: of the image.
            turn: round, from 0.
            low_res_logits: N x 1 x h x w, the chosen candidates of the round before, logit grid; None in round 0 and
                when the cascade runs on masks.

        Returns:
            Prompts of the N masks: points and boxes in image px, mask prompts on the logit grid.
        """
        prompts = self.prompts(masks, embedding, Frame(self.backbone.img_size, self.backbone.mask_input_size))
        if self.cascade == "masks" or (turn == 0 and self.cascade == "all_then_logits"):
            return prompts
        return Prompts(prompts.point_coords, prompts.point_labels, prompts.boxes, low_res_logits)

    def candidate_iou(
        self, candidates: Candidates, embedding: Embedding, reference: Sequence[BoolArray] | BoolArray
    ) -> IouArray:
        """IoU of the three candidates of N masks with N reference masks of H x W: N x 3 float64."""
        return candidate_iou(candidates, embedding, self.backbone.img_size, reference)

    def _decode_round(
        self,
        sample: Sample,
        embedding: Embedding,
        prompts: Prompts,
        active: IntArray,
        result: Refinement,
        watch: Stopwatch,
        last: bool,
    ) -> FloatArray | None:
        """Decodes and settles one round, chunk by chunk; returns the chosen logits if the next round wants them."""
        low_res: list[FloatArray] = []
        # Only logits that a later round is prompted with are wanted under the padding too.
        handed_on = not last and self.cascade != "masks"
        for start in range(0, len(active), self.chunk_size):
            chunk = slice(start, start + self.chunk_size)
            rows = active[chunk]
            with watch("decode"):
                candidates = self.backbone.decode(embedding, prompts[chunk], unpadded_only=not handed_on)
            with watch("evaluate"):
                truth_iou = self._evaluate(sample, embedding, candidates, rows, result, last)
            with watch("postprocess"):
                coarse_iou = None
                if self._rule.needs_coarse:
                    coarse_iou = self.candidate_iou(candidates, embedding, [result.masks[row] for row in rows])
                if last and result.coarse_iou is not None:
                    reference = [sample.masks[row] for row in rows]
                    result.coarse_iou[rows] = self.candidate_iou(candidates, embedding, reference)
                predicted = candidates.iou_predictions.float().cpu().numpy()
                chosen = self._rule(Scores(predicted[:, 1:], coarse_iou, truth_iou))
                logits = pick(candidates, chosen)
                self._settle(logits, embedding, rows, chosen, predicted, result)
            if handed_on:
                low_res.append(logits.unsqueeze(1).float().cpu().numpy())
        return np.concatenate(low_res) if low_res else None

    def _evaluate(
        self,
        sample: Sample,
        embedding: Embedding,
        candidates: Candidates,
        rows: IntArray,
        result: Refinement,
        last: bool,
    ) -> IouArray | None:
        """IoUs of the candidates with the truth, and the candidates themselves, where they are wanted."""
        truth_iou = None
        if sample.truth is not None and (last or self._rule.needs_truth):
            truth_iou = self.candidate_iou(candidates, embedding, [sample.truth[row] for row in rows])
            if last and result.candidate_iou is not None:
                result.candidate_iou[rows] = truth_iou
        if last and result.candidates is not None:
            for k, row in enumerate(rows):
                result.candidates[row] = candidate_masks(candidates, k, embedding, self.backbone.img_size)
        return truth_iou

    def _settle(
        self,
        logits: Tensor,
        embedding: Embedding,
        rows: IntArray,
        chosen: IntArray,
        predicted: FloatArray,
        result: Refinement,
    ) -> None:
        """Writes the chosen masks into the result; one that comes out empty leaves the mask it came from."""
        result.chosen[rows] = chosen
        result.predicted_iou[rows] = predicted[np.arange(len(rows)), chosen + 1]
        result.iou_predictions[rows] = predicted[:, 1:]
        flags = list(result.flags)
        for k, row in enumerate(rows):
            cut = cut_mask(logits[k], embedding, self.backbone.img_size)
            if not cut.mask.any():
                # What an earlier round made of the mask stays, and so do its logits.
                if flags[row] == REFINED:
                    continue
                flags[row] = FALLBACK
            else:
                flags[row] = REFINED
                cut.paste(result.masks[row])
            if result.logits is not None:
                result.logits[row] = full_logits(logits[k], embedding, self.backbone.img_size)
        result.flags = tuple(flags)
