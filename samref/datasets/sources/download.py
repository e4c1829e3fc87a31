"""Fetches and unpacks the archives that data sets' publishers offer to everybody."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import pooch
import requests
from tqdm import tqdm  # type: ignore[import-untyped]

from samref.datasets.sources.catalog import Archive
from samref.errors import DatasetError
from samref.io.atomic import atomic_path

TIMEOUT = (10, 60)
CHUNK = 1 << 16  # what a lost connection costs at most


def fetch(archive: Archive, folder: Path) -> Path:
    """Downloads an archive, going on where an earlier attempt was cut off; one that is complete is left alone.

    Args:
        archive: what to fetch.
        folder: where it goes.

    Returns:
        Its path.

    Raises:
        DatasetError: if it cannot be fetched, there is too little space, or its hash is wrong.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / archive.name
    if archive.size is not None and not path.exists():
        _demand_space(archive, folder)
    try:
        pooch.retrieve(
            archive.url,
            known_hash=archive.md5 and f"md5:{archive.md5}",
            fname=path.name,
            path=folder,
            downloader=_Resuming(path.with_name(path.name + ".part")),
        )
    except requests.RequestException as error:
        raise DatasetError(
            f"{archive.url} could not be fetched ({error}); the same command goes on from there"
        ) from None
    except ValueError as error:
        path.unlink(missing_ok=True)
        raise DatasetError(f"{archive.url} came with a wrong hash and was deleted ({error}); fetch it again") from None
    return path


def unpack(path: Path, folder: Path) -> int:
    """Unpacks a zip or tar archive; files that are there with the right size are left alone.

    Every file appears complete or not at all. Nothing outside the folder is written, and no links are made.

    Args:
        path: of the archive.
        folder: where its content goes.

    Returns:
        The number of files.

    Raises:
        DatasetError: if the archive is broken, or holds a link or a path that leads out of the folder.
    """
    members = _zip_members if zipfile.is_zipfile(path) else _tar_members
    count = 0
    try:
        for name, size, open_member in members(path):
            target = folder / _safe(name, path)
            count += 1
            if target.is_file() and target.stat().st_size == size:
                continue
            with open_member() as source, atomic_path(target) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(source, file, CHUNK)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise DatasetError(f"{path} is broken ({error}); delete it and fetch it again") from None
    return count


class _Resuming:
    """A downloader for pooch that keeps what has come, and requests the rest the next time."""

    def __init__(self, part: Path) -> None:
        self.part = part

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                # What is there is as long as the file or longer: the hash decides whether it is the file.
                os.replace(self.part, output_file)
                return
            response.raise_for_status()
            resumed = response.status_code == requests.codes.partial_content
            self._receive(response, have if resumed else 0)
        os.replace(self.part, output_file)

    def _receive(self, response: requests.Response, have: int) -> None:
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with (
            self.part.open("ab" if have else "wb") as file,
            tqdm(
                total=total,
                initial=have,
                unit="B",
                unit_scale=True,
                desc=self.part.stem,
                disable=not sys.stderr.isatty(),
            ) as progress,
        ):
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                progress.update(len(chunk))
        if total is not None and self.part.stat().st_size < total:
            raise requests.ConnectionError(f"cut off after {self.part.stat().st_size} of {total} bytes")


def _demand_space(archive: Archive, folder: Path) -> None:
    # The archive stays beside what is unpacked from it, which is about as large: images do not compress.
    assert archive.size is not None
    free = shutil.disk_usage(folder).free
    if free < 2 * archive.size:
        needed = f"{archive.name} and what is in it need {2 * archive.size / 1e9:.1f} GB"
        raise DatasetError(f"{folder} has {free / 1e9:.1f} GB free; {needed}: choose another folder")


def _zip_members(path: Path) -> Iterator[tuple[str, int, Any]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                raise DatasetError(f"{path} holds the link {info.filename}; nothing of it is unpacked from there on")
            if not info.is_dir():
                yield info.filename, info.file_size, lambda info=info: archive.open(info)


def _tar_members(path: Path) -> Iterator[tuple[str, int, Any]]:
    with tarfile.open(path) as archive:
        for info in archive:
            if not (info.isfile() or info.isdir()):
                raise DatasetError(f"{path} holds the link or device {info.name}; nothing is unpacked from there on")
            if info.isfile():
                yield info.name, info.size, lambda info=info: _opened(archive, info)


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None
    return file


def _safe(name: str, path: Path) -> PurePosixPath:
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or "\\" in name or ":" in name:
        raise DatasetError(f"{path} holds the path {name}, which leads out of its folder; it is not unpacked")
    return inside
