"""Decides which mask a coarse one becomes, by where the coarse masks of a data set come from.

Which treatment is right depends on the source (`samref.refiners.source`); what it does to a single mask is in
`samref.refiners.judge`. No ground truth is used, and the reason is kept with each mask.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

import numpy as np
import torch

from samref.backbones.backbone import Backbone
from samref.errors import ConfigError
from samref.prompts.excavation import Excavator
from samref.refiners.hypotheses import gather_prompts
from samref.refiners.judge import Judge, Recipe
from samref.refiners.source import AUTO, FEWEST, SOURCES, Estimate, Evidence, estimate
from samref.refiners.views import IMAGE, View, Views
from samref.refiners.zoom import Zoom, choose_views
from samref.stopwatch import Stopwatch
from samref.structures import Prompts, Refinement, Sample, Samples


class Verdict:
    """Decides mask by mask what comes out of a frozen model's hypotheses."""

    def __init__(
        self,
        enabled: bool,
        source: str,
        recipes: Mapping[str, Recipe],
        sample_images: int = 16,
        sample_masks: int = 2,
    ) -> None:
        """Takes the treatment of each source.

        Args:
            enabled: whether it does anything at all.
            source: where the coarse masks come from (`boxes`, `polygons`, `network`, `superpixels`, `good`), or `auto`:
                estimated from a sample of the data set; a few masks alone are judged one by one.
            recipes: treatment of each source.
            sample_images: images of the sample at most.
            sample_masks: masks of each of them at most.

        Raises:
            ConfigError: for an unknown source, a source without a recipe, or a number below 1.
        """
        if source != AUTO and source not in SOURCES:
            raise ConfigError(f"verdict.source is '{source}'; expected auto or one of {', '.join(SOURCES)}")
        if missing := set(SOURCES) - set(recipes):
            raise ConfigError(
                f"verdict.recipes has none for {', '.join(sorted(missing))}; expected one for each source"
            )
        if sample_images < 1 or sample_masks < 1:
            raise ConfigError(
                f"verdict has sample_images={sample_images}, sample_masks={sample_masks}; expected at least 1 for both"
            )
        self.enabled, self.source, self.recipes = enabled, source, dict(recipes)
        self.sample_images, self.sample_masks = sample_images, sample_masks

    def decide(
        self,
        views: Views,
        view: View,
        excavator: Excavator,
        source: str,
        result: Refinement,
        chunk_size: int = 16,
    ) -> None:
        """Refines the masks of one view in place.

        Args:
            views: of the image.
            view: one of them.
            excavator: the parameters of the prompts.
            source: of `source_of`.
            result: of `view.sample`, changed in place, all fields; its prompts are those of `view.places` alone.
            chunk_size: masks decoded together at most.
        """
        watch = views.watch
        judge = _judge(self, views, view, excavator)
        result.reasons = ("",) * len(judge.sample.masks)
        result.scores = np.zeros(len(judge.sample.masks), np.float32)
        mined: list[tuple[list[int], Prompts]] = []
        for names, members in judge.grouped(view.places, source).items():
            for start in range(0, len(members), chunk_size):
                chunk = members[start : start + chunk_size]
                with watch("decode"):
                    found = judge.decode(chunk, names)
                mined.append((chunk, found.prompts))
                with watch("postprocess"):
                    for k, row in enumerate(chunk):
                        judge.settle(found, k, row, source, result)
        result.prompts = gather_prompts(mined, len(judge.sample.masks))[view.places]

    def source_of(self, views: Views, excavator: Excavator) -> str:
        """Where the masks of an image come from.

        Args:
            views: of the image.
            excavator: the parameters of the prompts.

        Returns:
            The set source, or what the masks of this one image show where there are enough of them, else `auto`.
        """
        rows = views.rows
        if self.source != AUTO or len(rows) < FEWEST:
            return self.source
        # As many masks of one image as a data set has images looked at: more cost time and decide alike.
        return estimate(self._evidence(views, excavator, self.sample_images)).source

    def evidence(self, views: Views, excavator: Excavator) -> list[Evidence]:
        """What some of the masks of an image show of the source.

        Args:
            views: of the image; a few masks of them, spread over the image, are looked at.
            excavator: the parameters of the prompts.

        Returns:
            One entry a mask that was looked at.
        """
        return self._evidence(views, excavator, self.sample_masks)

    def _evidence(self, views: Views, excavator: Excavator, most: int) -> list[Evidence]:
        rows = views.rows
        if not len(rows):
            return []
        spread = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]
        found: list[Evidence] = []
        for view in views:
            places = view.places[np.isin(view.rows, spread)]
            if len(places):
                judge = _judge(self, views, view, excavator)
                with views.watch("postprocess"):
                    found += judge.evidence(places)
        return found


def _judge(verdict: Verdict, views: Views, view: View, excavator: Excavator) -> Judge:
    """The judge of a view; where the image's own vote counts, too, with the image's judge beside it."""
    own = verdict.recipes, view.sample(views.whole), views.embedding(view), views.backbone, excavator
    if view.window is None or not view.with_image:
        return Judge(*own)
    image = Judge(verdict.recipes, views.whole, views.embedding(IMAGE), views.backbone, excavator)
    return Judge(*own, image, view)


def estimate_source(
    verdict: Verdict,
    samples: Samples,
    backbone: Backbone,
    excavator: Excavator,
    zoom: Zoom | None = None,
    known: MutableMapping[int, list[Evidence]] | None = None,
) -> Estimate:
    """Where a data set's coarse masks come from, by a sample of its images spread evenly over it.

    Args:
        verdict: how many images and masks are looked at.
        samples: the data set; what is no `Sample` (a file that could not be read) is left out.
        backbone: the frozen model.
        excavator: the parameters of the prompts.
        zoom: what chooses crops; None: the images are looked at.
        known: evidence that an earlier run found, by the sample's place; what is found now is added.

    Returns:
        The source, and the numbers that decided it.
    """
    known = {} if known is None else known
    evidence: list[Evidence] = []
    count = len(samples)
    places = np.unique(np.linspace(0, count - 1, min(count, verdict.sample_images)).astype(int))
    with torch.inference_mode():
        for place in places.tolist():
            if place not in known:
                sample = samples[place]
                if not isinstance(sample, Sample):
                    continue
                found: list[Evidence] = []
                if sample.masks.any():
                    rows = np.flatnonzero([mask.any() for mask in sample.masks])
                    views = choose_views(zoom, sample.masks, rows, backbone)
                    watched = Views(sample, views, backbone, Stopwatch(backbone.device))
                    found = verdict.evidence(watched, excavator)
                known[place] = found
            evidence += known[place]
    return estimate(evidence)
