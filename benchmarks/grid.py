"""SAM's automatic mask generator, which prompts everywhere, beside samref, which prompts where masks are."""

from __future__ import annotations

from typing import Any

import numpy as np
from segment_anything import SamAutomaticMaskGenerator

from benchmarks.cases import make_case
from benchmarks.plain import predictor_of
from benchmarks.probe import best
from samref import SAMRefiner


def grid_rows() -> list[dict[str, Any]]:
    """Wall seconds on one 480p image, the encoding included, and masks that came out."""
    refiner = SAMRefiner.from_pretrained("mobile_sam", overrides=["backbone.cache=false"])
    sample = make_case("480p", 10)
    generator = SamAutomaticMaskGenerator(predictor_of(refiner.backbone).model)
    everywhere, found = best(lambda: generator.generate(np.asarray(sample.image)), times=1)
    ours, result = best(lambda: refiner.refine_sample(sample))
    return [
        {
            "method": "automatic mask generator, 32 x 32 points",
            "seconds": everywhere,
            "masks": len(found),
            "ratio": 1.0,
        },
        {"method": "samref, 10 coarse masks", "seconds": ours, "masks": len(result.masks), "ratio": everywhere / ours},
    ]
