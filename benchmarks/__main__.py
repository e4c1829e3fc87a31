"""`python -m benchmarks`: what samref costs, as ratios measured in one run; results go to benchmarks/results/."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.adaption import adaption_epochs
from benchmarks.excavation import excavation_rows
from benchmarks.gallery import PX_A_FRAME, gallery_rows
from benchmarks.grid import grid_rows
from benchmarks.probe import probe
from benchmarks.refiners import refiner_rows
from benchmarks.results import FOLDER, publish
from benchmarks.shards import shard_rows
from benchmarks.sweep import sweep_rows
from benchmarks.verdict import verdict_rows

Rows = list[dict[str, Any]]
# The plain path costs the same for each mask: it is timed on no more, and not at all on 20 MP.
PLAIN_MASKS = {"480p": 10, "2 MP": 2}
CASES = (("480p", 1), ("480p", 10), ("480p", 100), ("480p", 500), ("2 MP", 1), ("2 MP", 10), ("2 MP", 100))
LARGE = (("20 MP", 1), ("20 MP", 10), ("20 MP", 50))


def pipeline_rows() -> Rows:
    """Refining an image's masks, image encoded already (warm) and not (cold), against the plain path; peak memory."""
    rows: Rows = []
    plain: dict[tuple[str, int], float] = {}
    for size, count in (*CASES, *LARGE):
        ours = probe("ours", size, count, threads=torch.get_num_threads())
        row: dict[str, Any] = {"image": size, "masks": count, "encode, s": ours["encode"], "warm, s": ours["seconds"]}
        row |= {"warm, ms a mask": 1e3 * ours["seconds"] / count, "plain, ms a mask": None, "warm ratio": None}
        row |= {"cold ratio": None, "peak, MB": round(ours["peak_mb"])}
        if size in PLAIN_MASKS:
            few = min(count, PLAIN_MASKS[size])
            if (size, few) not in plain:
                plain[size, few] = probe("plain", size, few, threads=torch.get_num_threads())["seconds"] / few
            seconds = plain[size, few] * count
            row["plain, ms a mask"] = 1e3 * plain[size, few]
            row["warm ratio"] = seconds / ours["seconds"]
            row["cold ratio"] = (seconds + ours["encode"]) / (ours["seconds"] + ours["encode"])
        rows.append(row)
    return rows


def identity_rows() -> Rows:
    """Pixels of the refined masks that are not the plain path's."""
    return [
        {"image": size, "masks": 8, **probe("compare", size, 8, torch.get_num_threads())} for size in ("480p", "2 MP")
    ]


def adaption_rows() -> Rows:
    """One epoch of adaption."""
    with tempfile.TemporaryDirectory() as store:
        return [adaption_epochs(Path(store))]


PARTS: dict[str, tuple[str, Callable[[], Rows]]] = {
    "excavation": ("Excavation of one image's masks, 480 x 854, all prompts, CEBox on.", excavation_rows),
    "pipeline": (
        "Refining one image's masks with all prompts, CEBox on, MobileSAM. Warm: the image is encoded already. Plain: "
        "the paper's steps one mask at a time; at 20 MP it would need 20 GB for its resized features.",
        pipeline_rows,
    ),
    "identity": ("Refined masks against those of the plain path, in fp32.", identity_rows),
    "adaption": ("An epoch of adaption over cached features and through the full model, seconds.", adaption_rows),
    "sweep": ("A sweep of 14 jobs against one encoding of its images and 14 decodings of its masks.", sweep_rows),
    "verdict": (
        "Several prompt combinations and a decision (the default for folders and COCO) beside the paper's recipe, one "
        "image of 480 x 854 with its encoding, MobileSAM.",
        verdict_rows,
    ),
    "refiners": (
        "Other refiners, their networks at the published sizes with random weights, one mask in an image of "
        "2,000 x 3,000, and of 3,872 x 5,164 for CRM. SegFix in its default windows takes about 7 times as long.",
        refiner_rows,
    ),
    "shards": (
        "A COCO file of generated masks, 100 an image of 64 x 96, by refiner=external: one run against four shards. "
        "Processor time is that of all processes together, with their start.",
        shard_rows,
    ),
    "gallery": (
        f"A gallery in headless Chromium without a GPU, 1400 x 900, scrolled {PX_A_FRAME} px a frame.",
        gallery_rows,
    ),
    "grid": ("SAM's automatic mask generator and samref on one image, with its encoding.", grid_rows),
}


def main() -> None:
    """Runs the chosen parts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"some of {', '.join(PARTS)}; all by default")
    parser.add_argument("--threads", type=int, default=1, help="of torch; 1 by default")
    parser.add_argument("--davis585", metavar="ROOT", help="times the sweep on this data set too")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the results")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; expected some of {', '.join(PARTS)}")
    for name in options.parts or PARTS:
        title, measure = PARTS[name]
        command = f"python -m benchmarks {name} --threads {options.threads}"
        rows = measure()
        if name == "sweep" and options.davis585:
            command += " --davis585 ROOT"
            rows += sweep_rows(options.davis585)
        publish(name, f"{title} {options.threads} thread(s).", command, rows, options.output)


if __name__ == "__main__":
    main()
