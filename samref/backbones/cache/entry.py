"""One cache entry: a safetensors file that knows its key and the checksum of its tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from samref.io.atomic import atomic_path

FORMAT = "samref-embedding-1"
Tensors = dict[str, Tensor]


class BrokenEntry(Exception):
    """A file that is no complete entry of its key."""


def embedding_key(image: npt.NDArray[np.uint8], encoder: str) -> str:
    """What an embedding is filed under: the image's pixels and shape, and all of the encoder that decides it."""
    digest = hashlib.blake2b(digest_size=20)
    digest.update(f"{FORMAT} {encoder} {image.shape}\n".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def write_entry(path: Path, key: str, tensors: Mapping[str, Tensor]) -> None:
    """Writes an entry complete or not at all.

    Raises:
        OSError: when the disk does not take it; so does `SafetensorError`.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "key": key, "checksum": checksum(tensors)}
    # Checked when it is read, an entry that a power cut spoils is made again: waiting for the disk would cost more.
    with atomic_path(path, durable=False) as temporary:
        save_file(tensors, temporary, metadata)


def read_entry(path: Path, key: str) -> Tensors:
    """The tensors of an entry, mapped from the file and verified.

    Raises:
        FileNotFoundError: when there is none.
        BrokenEntry: when the file is damaged or another key's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise BrokenEntry(str(error)) from error
    if (metadata.get("format"), metadata.get("key")) != (FORMAT, key):
        raise BrokenEntry(f"{path} is no entry of {key}")
    if metadata.get("checksum") != checksum(tensors):
        raise BrokenEntry(f"{path} does not hold what was written")
    return tensors


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Hash of names, types, shapes and bytes; faster than the sha256 that weights are verified with."""
    digest = hashlib.blake2b(digest_size=20)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()
