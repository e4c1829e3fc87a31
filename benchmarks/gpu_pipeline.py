"""`python -m benchmarks.gpu_pipeline`: a folder refined with a model on a card, against what its encoder can do."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.cases import make_case
from benchmarks.gpu import peak_flops
from benchmarks.host import MODES, WARM, make_folder
from benchmarks.random_models import OfSegmentAnything
from benchmarks.results import FOLDER, publish
from benchmarks.rounds import seconds_in_turns
from samref.backbones.device import resolve_device
from samref.backbones.encoding import AT_ONCE
from samref.backbones.fast.encoder import PRECISIONS
from samref.backbones.open import open_backbone
from samref.backbones.sam_backbone import SamBackbone
from samref.backbones.served import Reply, Request, Server
from samref.config.compose import compose_config, compose_options
from samref.engine import runner
from samref.structures import Candidates, Embedding, Prompts

TITLE = (
    "A folder of 480 x 854 px images, read, refined and written; ViTs with random weights, which cost what trained "
    "ones do, their masks being the mask prompts, for random ones are noise. Images/s after the start-up; encoder: "
    "the same images encoded {at_once} at a time with nothing else to do, from their pixels on; card busy: share of "
    "moments at which it worked, by its driver. Main thread: processor time an image."
)


STAGES = ("encode", "excavate", "decode", "evaluate", "postprocess", "total")


class RandomSam(SamBackbone):
    """A model with random weights, which cost what trained ones do; it returns the mask prompts.

    What its decoder makes of random features is noise, which costs more to write than masks do.
    """

    def __init__(
        self, name: str, device: str = "auto", precision: str = "fp32", compile: bool = False, **_: Any
    ) -> None:
        target = resolve_device(device)
        super().__init__(name, OfSegmentAnything(name, target).modules, precision=precision, compile=compile)
        self.to(target)

    def decode(self, embedding: Embedding, prompts: Prompts, *, unpadded_only: bool = False) -> Candidates:
        """See `Backbone`."""
        found = super().decode(embedding, prompts, unpadded_only=unpadded_only)
        if prompts.mask_input is not None:
            found.low_res_logits.copy_(torch.as_tensor(prompts.mask_input, device=self.device))
        return found


def options_of(name: str, device: str, precision: str, compiled: bool) -> list[str]:
    """Of a backbone: MobileSAM as published, the others with random weights."""
    chosen = [f"backbone={name}", "backbone.cache=false", f"backbone.device={device}"]
    chosen += [f"backbone.precision={precision}", f"backbone.compile={str(compiled).lower()}"]
    return chosen if name == "mobile_sam" else [*chosen, "backbone._target_=benchmarks.gpu_pipeline.RandomSam"]


def encoder_rate(backbone: Any, at_once: int, rounds: int) -> float:
    """Images/s of a model that does nothing but encode."""
    images = [make_case("480p", 1).image] * at_once
    run = {"": lambda: [backbone.encode_batch(images) for _ in range(4)]}
    return 4 * at_once / seconds_in_turns(run, rounds, backbone.device)[""]


def share_of_peak(name: str, precision: str, rate: float, device: torch.device) -> float:
    """What part of the card's matrix rate, in %, the products of so many images/s are."""
    return 100 * rate * OfSegmentAnything(name, device).flops() / peak_flops(8192, precision, device)


@contextmanager
def watched(device: torch.device) -> Iterator[list[float]]:
    """Shares of time at which the card works, %, looked up while the block lasts; empty where nothing says."""
    found: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            try:
                found.append(float(torch.cuda.utilization(device)))
            except (RuntimeError, ModuleNotFoundError):
                return

    thread = threading.Thread(target=watch, daemon=True)
    if device.type == "cuda":
        thread.start()
    yield found
    over.set()
    if device.type == "cuda":
        thread.join()


@contextmanager
def timed_server() -> Iterator[dict[str, list[float]]]:
    """Seconds and masks of what the model's process decodes while the block lasts."""
    found: dict[str, list[float]] = {"seconds": [], "masks": []}
    real = Server.__call__

    def timed(server: Server, request: Request) -> Reply:
        clock = time.perf_counter()
        reply = real(server, request)
        found["seconds"].append(time.perf_counter() - clock)
        if request.call == "decode":
            found["masks"].append(float(next(iter(request.places.values())).shape[0]))
        return reply

    with patch.object(Server, "__call__", timed):
        yield found


def measure(backbone: list[str], workers: int | str, mode: str, data: Path, device: str) -> dict[str, Any]:
    """One run over a folder, and when its images were done."""
    with tempfile.TemporaryDirectory(dir=data) as out:
        cfg = compose_config(
            [
                "dataset=folder", f"dataset.images={data}/images", f"dataset.masks={data}/masks",
                f"paths.outputs={out}", *backbone, f"num_workers={workers}", "logger=none",
                "callbacks.progress=false", "+callbacks.clock._target_=benchmarks.host.Clock",
                f"+callbacks.clock.path={out}/moments.json", *MODES[mode],
            ]
        )  # fmt: skip
        clock = time.perf_counter()
        with watched(resolve_device(device)) as busy, timed_server() as served:
            report = runner.run(cfg)
        seconds = time.perf_counter() - clock
        moments = np.array(json.loads((Path(out) / "moments.json").read_text()))
    start = min(WARM, len(moments) // 2)
    spent = (moments[-1] - moments[start]) / (len(moments) - 1 - start)
    # The driver's numbers of the start-up are those of loading.
    steady = busy[-max(1, round((moments[-1][0] - moments[start][0]) / 0.1)) :]
    return {
        "images/s": 1 / float(spent[0]),
        "card busy, %": float(np.mean(steady)) if steady else None,
        "main thread, ms": 1e3 * float(spent[1]),
        "decoding for workers, ms": 1e3 * sum(served["seconds"]) / len(moments),
        "masks decoded": sum(served["masks"]) / len(moments),
        **{
            f"{stage}, ms": 1e3 * float(value) / len(moments)
            for stage, value in report["timing"].items()
            if stage in STAGES
        },
        "command, s": seconds,
    }


def rows(chosen: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row a run."""
    device = resolve_device(chosen.device)
    folders = {}
    with tempfile.TemporaryDirectory() as root:
        for masks in chosen.masks:
            folders[masks] = Path(root) / str(masks)
            make_folder(folders[masks], chosen.images, masks)
        for name in chosen.backbones:
            for precision in chosen.precisions:
                options = options_of(name, chosen.device, precision, chosen.compile)
                at_once = 1 if device.type == "cpu" else AT_ONCE
                model = open_backbone(compose_options(name, overrides=options[1:]).backbone)
                rate = encoder_rate(model, at_once, chosen.rounds)
                share = share_of_peak(name, precision, rate, device)
                for mode in chosen.modes:
                    for masks in chosen.masks:
                        for workers in chosen.workers:
                            found = measure(options, workers, mode, folders[masks], chosen.device)
                            row = {
                                "backbone": name, "precision": precision, "run": mode, "masks": masks,
                                "workers": workers, "encoder, images/s": rate, "encoder, % of peak": share,
                                "of the encoder's, %": 100 * found["images/s"] / rate, **found,
                            }  # fmt: skip
                            print(row, flush=True)
                            yield row


def main(arguments: Sequence[str] | None = None) -> None:
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_pipeline", description=__doc__)
    parser.add_argument("--backbones", nargs="+", default=["mobile_sam", "vit_h"])
    parser.add_argument("--precisions", nargs="+", default=["bf16"], choices=list(PRECISIONS))
    parser.add_argument("--compile", action="store_true", help="encoders through torch.compile")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--masks", type=int, nargs="+", default=[1, 8, 50], help="of each image")
    parser.add_argument("--workers", nargs="+", default=["auto"])
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=list(MODES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the results")
    chosen = parser.parse_args(words)
    title = f"{TITLE.format(at_once=AT_ONCE)} {chosen.images} images."
    publish(
        "gpu_pipeline", title, " ".join(["python -m benchmarks.gpu_pipeline", *words]), list(rows(chosen)), chosen.out
    )


if __name__ == "__main__":
    main()
