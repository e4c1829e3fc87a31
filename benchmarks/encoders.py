"""`python -m benchmarks.encoders`: MobileSAM's encoder on a processor, against onnxruntime and the packaged module."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from benchmarks.results import FOLDER, publish
from benchmarks.rounds import seconds_in_turns
from samref.backbones.fast.encoder import Encoder
from samref.backbones.open import build_backbone
from samref.backbones.weights.npm import fetch_files
from samref.backbones.weights.registry import CHECKPOINTS

TITLE = (
    "MobileSAM's image encoder, one image of 1024 x 1024 px. Runs in turns, medians. Error: the largest distance from "
    "onnxruntime's features, which reach 0.6."
)
PACKAGED, ONNX = "packaged module", "onnxruntime"


def compare(image_encoder: Any, onnx: bytes, pixels: torch.Tensor, threads: int, rounds: int) -> list[dict[str, Any]]:
    """Rows of one number of threads.

    Args:
        image_encoder: a packaged encoder.
        onnx: the same encoder, its input called `input`.
        pixels: 1 x 3 x S x S.
        threads: for torch and onnxruntime alike.
        rounds: how many times each is timed.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would go on spinning while the others are timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    exact, rounded = Encoder(image_encoder, "fp32", False), Encoder(image_encoder, "bf16", False)

    def packaged() -> torch.Tensor:
        with torch.inference_mode():
            outputs = image_encoder(pixels)
        return outputs[0] if isinstance(outputs, tuple) else outputs

    contenders = {
        PACKAGED: packaged,
        ONNX: lambda: torch.from_numpy(session.run(None, {"input": pixels.numpy()})[0]),
        "samref": lambda: exact(pixels)[0],
        "samref, bf16": lambda: rounded(pixels)[0],
    }
    try:
        reference = contenders[ONNX]()
        errors = {name: float((encode() - reference).abs().max()) for name, encode in contenders.items()}
        seconds = seconds_in_turns(contenders, rounds)
    finally:
        torch.set_num_threads(before)
    return [
        {
            "threads": threads,
            "encoder": name,
            "seconds": each,
            "times as fast as onnxruntime": seconds[ONNX] / each,
            "times as fast as the packaged module": seconds[PACKAGED] / each,
            "error": errors[name],
        }
        for name, each in seconds.items()
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoders", description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the results")
    chosen = parser.parse_args(arguments)
    npm = CHECKPOINTS["mobile_sam"].npm
    assert npm is not None
    onnx = fetch_files(npm)[npm.encoder]
    backbone = build_backbone("mobile_sam")
    noise = np.random.default_rng(0).normal(size=(1, 3, backbone.img_size, backbone.img_size))
    pixels = torch.from_numpy(noise.astype(np.float32))
    rows = [
        row
        for threads in chosen.threads
        for row in compare(backbone.image_encoder, onnx, pixels, threads, chosen.rounds)
    ]
    words = sys.argv[1:] if arguments is None else arguments
    publish("encoders", TITLE, " ".join(["python -m benchmarks.encoders", *words]), rows, chosen.out)


if __name__ == "__main__":
    main()
