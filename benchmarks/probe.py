"""One measurement in a process of its own, so that its peak memory is its own: `python -m benchmarks.probe`."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.cases import SIZES, make_case
from benchmarks.plain import PlainRefiner
from samref import SAMRefiner
from samref.structures import BoolArray, Embedding, Sample

Measurement = dict[str, Any]


def probe(path: str, size: str, count: int, threads: int) -> Measurement:
    """Runs a measurement in a new process and returns what it printed."""
    command = [sys.executable, "-m", "benchmarks.probe", path, size, str(count), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
    measured: Measurement = json.loads(done.stdout.splitlines()[-1])
    return measured


def measure(path: str, sample: Sample) -> Measurement:
    """Seconds to encode the image and to refine its masks after that, peak memory before and in all."""
    refiner = SAMRefiner.from_pretrained("mobile_sam", overrides=["backbone.cache=false"])
    before = peak_mb()
    with torch.inference_mode():
        encode, embedding = best(lambda: refiner.backbone.encode(sample.image))
        if path == "plain":
            plain = PlainRefiner(refiner.backbone, refiner.prompts)
            seconds, _ = best(lambda: plain.refine(sample.masks, embedding), times=1)
            return {"encode": encode, "seconds": seconds, "peak_mb": peak_mb(), "peak_before_mb": before}
        if path == "compare":
            return compare(refiner, sample, embedding)
    refiner.backbone.encode = lambda image: embedding
    times = 3 if len(sample.masks) <= 10 else 1
    seconds, result = best(lambda: refiner.refine_sample(sample), times)
    stages = {name: round(value, 4) for name, value in result.timing.items()}
    return {"encode": encode, "seconds": seconds, "stages": stages, "peak_mb": peak_mb(), "peak_before_mb": before}


def compare(refiner: SAMRefiner, sample: Sample, embedding: Embedding) -> Measurement:
    """How many pixels of the refined masks are not those of the plain path, and how near to 0 their logits are."""
    refiner.backbone.encode = lambda image: embedding
    ours = refiner.refine_sample(sample).masks
    plain, logits = PlainRefiner(refiner.backbone, refiner.prompts).refine(sample.masks, embedding)
    differs: BoolArray = ours != np.stack(plain)
    undecided = float(np.abs(np.stack(logits)[differs]).max()) if differs.any() else 0.0
    return {"pixels": int(differs.size), "differ": int(differs.sum()), "largest_logit": undecided}


def best(action: Callable[[], Any], times: int = 3) -> tuple[float, Any]:
    """The best of some runs, in seconds, and what the last one returned. The first run of several warms up."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        result = action()
        taken.append(time.perf_counter() - start)
    return min(taken), result


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes.
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    """Prints one measurement as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", choices=["ours", "plain", "compare"])
    parser.add_argument("size", choices=list(SIZES))
    parser.add_argument("masks", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps(measure(options.path, make_case(options.size, options.masks))))


if __name__ == "__main__":
    main()
