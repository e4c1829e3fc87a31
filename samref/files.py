"""Files that appear under their final name whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from samref.errors import InputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block succeeds and deleted when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last so that writers which choose a format by it still can.
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; results are as readable as any other file of the user's.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically; half characters, which JSON can hold, come out as escapes."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_png(path: Path, image: npt.NDArray[Any]) -> None:
    """Writes a grey (H x W) or RGB (H x W x 3) uint8 array as PNG atomically."""
    bgr = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    done, data = cv2.imencode(".png", bgr)
    if not done:
        raise InputError(f"cannot encode {path}: array of shape {image.shape} and dtype {image.dtype}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())
