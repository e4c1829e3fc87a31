"""Other refiners at their published sizes with random weights, each in a process of its own, on one large image.

`python -m benchmarks.refiners NAME` prints one measurement as JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cases import make_case
from benchmarks.probe import peak_mb
from samref.refiners.bpr import BPR
from samref.refiners.bpr.network import ARCHITECTURES, BprNetwork
from samref.refiners.crm import CRM
from samref.refiners.crm.network import CrmNetwork
from samref.refiners.segfix import SegFix
from samref.refiners.segfix.network import HrNet, HrNet2x, SegFixNetwork
from samref.refiners.segrefiner import SegRefiner
from samref.refiners.segrefiner.unet import DenoisingUNet
from samref.refiners.settling import MaskRefiner

SIZE, LARGE = "6 MP", "20 MP"


class Following(nn.Module):
    """SegRefiner's network, whose work is done and whose logits are the mask's own.

    Random weights are sure of nothing: patches would lie everywhere. So they lie along the contour.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = DenoisingUNet()
        self.passes = 0

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """B x 4 x S x S and B times; returns B x 1 x S x S."""
        self.passes += len(x)
        self.network(x, t)
        return 8 * (F.avg_pool2d(x[:, 3:], 5, stride=1, padding=2) - 0.5)


REFINERS: dict[str, Callable[[], MaskRefiner]] = {
    "segrefiner, instance": lambda: SegRefiner(mode="instance", device="cpu", network=Following()),
    "segrefiner, semantic": lambda: SegRefiner(mode="semantic", device="cpu", network=Following()),
    "crm": lambda: CRM(device="cpu", network=CrmNetwork()),
    "bpr, hrnet18s": lambda: BPR(device="cpu", network=BprNetwork(ARCHITECTURES["hrnet18s"])),
    "bpr, hrnet48": lambda: BPR(device="cpu", iou_threshold=0.55, network=BprNetwork(ARCHITECTURES["hrnet48"])),
    "segfix, hrnet48, one window": lambda: SegFix(device="cpu", window=None, network=SegFixNetwork(HrNet())),
    "segfix, hrnet2x20, one window": lambda: SegFix(device="cpu", window=None, network=SegFixNetwork(HrNet2x())),
}


def refiner_rows() -> list[dict[str, Any]]:
    """Seconds and peak memory of each, and of CRM, whose memory grows with the image, at 5,000 px too."""
    threads = torch.get_num_threads()
    return [*(measured(name, SIZE, threads) for name in REFINERS), measured("crm", LARGE, threads)]


def measured(name: str, size: str, threads: int) -> dict[str, Any]:
    """Runs one measurement in a new process and returns what it printed."""
    command = [sys.executable, "-m", "benchmarks.refiners", name, "--image", size, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(name: str, size: str) -> dict[str, Any]:
    torch.manual_seed(0)
    sample = make_case(size, 1)
    refiner = REFINERS[name]()
    before = peak_mb()
    # Of the processor, so that a machine that does other things too measures the same.
    start, entered = time.process_time(), time.perf_counter()
    result = refiner.refine_sample(sample)
    seconds, passed = time.process_time() - start, time.perf_counter() - entered
    network = getattr(refiner, "network", None)
    return {
        "refiner": name,
        "image": " x ".join(map(str, sample.original_size)),
        "processor s a mask": seconds,
        "share in networks": (result.timing.get("encode", 0.0) + result.timing.get("decode", 0.0)) / passed,
        "passes": network.passes if isinstance(network, Following) else None,
        "peak, MB": round(peak_mb()),
        "before, MB": round(before),
    }


def main() -> None:
    """Prints one measurement as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refiners", description=__doc__)
    parser.add_argument("name", choices=list(REFINERS))
    parser.add_argument("--image", choices=(SIZE, LARGE), default=SIZE)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(json.dumps(measure(options.name, options.image)))


if __name__ == "__main__":
    main()
