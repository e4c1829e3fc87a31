"""Downloads that a server cuts off at a random byte."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import logging
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import torch

from samref.backbones.weights import fetch as weights_fetch
from samref.backbones.weights.registry import CHECKPOINTS, Checkpoint
from samref.datasets.sources import download
from samref.datasets.sources.catalog import Archive
from samref.errors import DatasetError, WeightsError
from tests.robustness.undisturbed import Undisturbed


def cut_downloads(base: Undisturbed, random: Random, cases: int) -> int:
    """A server that hangs up: nothing half-fetched is used, and the next try ends whole."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("val/1.txt", random.randbytes(300_000))
    weights = io.BytesIO()
    torch.save({"weight": torch.rand(50_000)}, weights)
    done = 0
    # Fifty lines on downloads would bury the counts.
    logging.disable(logging.INFO)
    with (
        contextlib.redirect_stderr(io.StringIO()),
        serving({"/a.zip": archive.getvalue(), "/w.pth": weights.getvalue()}, random) as address,
    ):
        offered = Archive(f"{address}/a.zip", "x", len(archive.getvalue()), hashlib.md5(archive.getvalue()).hexdigest())
        digest = hashlib.sha256(weights.getvalue()).hexdigest()
        for number in itertools.count():
            if done >= cases:
                break
            with fresh(base.folder / f"download{number}") as folder:
                done += _until_whole(lambda folder=folder: download.fetch(offered, folder), folder / "a.zip", archive)
                os.environ["SAMREF_CACHE"] = str(folder)
                CHECKPOINTS["cut"] = Checkpoint("cut", "x", f"{address}/w.pth", 1, digest, "nobody")
                path = folder / "weights" / "w.pth"
                done += _until_whole(lambda: weights_fetch.find_weights("cut"), path, weights)
    logging.disable(logging.NOTSET)
    return done


def _until_whole(fetch: Callable[[], Any], path: Path, content: io.BytesIO) -> int:
    cuts = 0
    while not path.exists():
        with contextlib.suppress(DatasetError, WeightsError):
            fetch()
        cuts += not path.exists()
    assert path.read_bytes() == content.getvalue()
    return cuts


@contextlib.contextmanager
def serving(files: dict[str, bytes], random: Random) -> Iterator[str]:
    """A server that hangs up at a random byte, three times out of four."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files[self.path]
            start = int((self.headers.get("Range") or "bytes=0-")[6:].rstrip("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            stop = random.randrange(start, len(content)) if random.random() < 0.75 and start < len(content) else None
            self.wfile.write(content[start:stop])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """An empty folder, and environment and registry as before afterwards."""
    folder.mkdir(parents=True)
    before = os.environ.get("SAMREF_CACHE")
    try:
        yield folder
    finally:
        CHECKPOINTS.pop("cut", None)
        os.environ.pop("SAMREF_CACHE", None)
        if before is not None:
            os.environ["SAMREF_CACHE"] = before
