"""What deciding by several hypotheses costs beside the paper's recipe, on one image."""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.cases import make_case
from benchmarks.rounds import seconds_in_turns
from samref import SAMRefiner
from samref.refiners.source import NETWORK, POLYGONS, SUPERPIXELS

COUNTS = (5, 50)


def verdict_rows() -> list[dict[str, Any]]:
    """Wall seconds with the image's encoding, in turns; every contender encodes the image once."""
    rows: list[dict[str, Any]] = []
    for count in COUNTS:
        sample = make_case("480p", count)
        contenders = {"paper's recipe": _refiner(["verdict.enabled=false"])} | {
            f"verdict, source={source}": _refiner(["verdict.enabled=true", f"verdict.source={source}"])
            for source in ("auto", NETWORK, POLYGONS, SUPERPIXELS)
        }
        timed = {name: partial(refiner.refine_sample, sample) for name, refiner in contenders.items()}
        encoding = partial(contenders["paper's recipe"].backbone.encode, sample.image)
        seconds = seconds_in_turns({**timed, "encoding": encoding}, rounds=3)
        encode = seconds.pop("encoding")
        for name, total in seconds.items():
            rows.append(
                {
                    "masks": count,
                    "refinement": name,
                    "s an image": total,
                    "ms a mask, encoded": 1e3 * (total - encode) / count,
                    "ratio": total / seconds["paper's recipe"],
                }
            )
    return rows


def _refiner(words: list[str]) -> SAMRefiner:
    return SAMRefiner.from_pretrained("mobile_sam", overrides=["backbone.cache=false", *words])
