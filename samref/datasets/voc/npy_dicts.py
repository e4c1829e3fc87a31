"""Reads dictionaries of arrays from `.npy` files, which hold them as pickles, without trusting the pickle.

Unpickling may call anything that a file names. Here it reaches only the stand-ins below, which note what numpy's own
functions would have been called with; arrays are then built from their bytes. The unpickler is the one in pure Python:
that in C makes a table as large as a file demands, gigabytes for a file of twenty bytes, and lets a file change the
attributes of what it has found.
"""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt

from samref.errors import InputError

PLAIN_DTYPE = re.compile(r"[<>|=]?([?biufc]\d*|O8?)")


def read_dict(path: Path) -> dict[Any, Any]:
    """The dictionary that `numpy.save` put into a file; its values are arrays, numbers, text, lists and dictionaries.

    Raises:
        InputError: if the file is missing, broken, or holds anything else.
    """
    try:
        # From memory, reading can take no more than there is, whatever length the file claims.
        value = _read(io.BytesIO(path.read_bytes()))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    # A broken pickle may fail in as many ways as there are instructions.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} cannot be read as a dictionary of arrays ({type(error).__name__}: {reason})"
        ) from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}; expected a dictionary of score maps")
    return value


def plain_array(path: Path) -> npt.NDArray[Any] | None:
    """The array of plain numbers in a file, mapped and not read; None for a pickle or whatever cannot be read."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    # A damaged header fails in many ways; whoever reads on says which.
    except Exception:
        return None


def _read(file: IO[bytes]) -> Any:
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = readers[version](file)
    if not dtype.hasobject:
        raise InputError(f"an array of shape {shape} and dtype {dtype}; expected a dictionary of score maps")
    return _Resolver()(_ArraysOnly(file).load())


class _ArraysOnly(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Any]] = {**pickle._Unpickler.dispatch}

    def _build(self) -> None:
        target = self.stack[-2]  # type: ignore[attr-defined]
        if not isinstance(target, (_Dtype, _Array)):
            raise InputError(f"gives a {type(target).__name__} a state; only arrays and their types have one")
        pickle._Unpickler.dispatch[pickle.BUILD[0]](self)  # type: ignore[arg-type]

    dispatch[pickle.BUILD[0]] = _build

    def find_class(self, module: str, name: str) -> Any:
        known = _STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise InputError(f"refers to {module}.{name}; only numpy arrays, numbers and text are read")
        return known


class _Dtype:
    """Stands in for `numpy.dtype`; takes plain numbers and Python objects, and of the state only the byte order."""

    def __init__(self, name: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(name, str) or not PLAIN_DTYPE.fullmatch(name):
            raise InputError(f"an array of dtype {name!r}; expected plain numbers")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _ArrayType:
    """Stands in for `numpy.ndarray`, which pickles name and nobody needs."""


class _Array:
    """Stands in for an array that is being rebuilt."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.raw = state

    def value(self) -> Any:
        if self.dtype.dtype.hasobject:
            if self.shape != () or not isinstance(self.raw, list):
                raise InputError("an array of Python objects; expected arrays of numbers")
            return self.raw[0]
        return _from_bytes(self.raw, self.dtype, self.shape, "F" if self.fortran else "C")


def _from_bytes(raw: Any, dtype: _Dtype, shape: tuple[int, ...], order: Any = "C") -> npt.NDArray[Any]:
    if dtype.dtype.hasobject:
        raise InputError("an array of Python objects; expected arrays of numbers")
    return np.frombuffer(bytes(raw), dtype.dtype).reshape(shape, order=order)


def _scalar(dtype: _Dtype, raw: bytes) -> Any:
    return _from_bytes(raw, dtype, ()).item()


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    # Old protocols spell bytes as Latin-1 text.
    if encoding != "latin1":
        raise InputError(f"text in the encoding {encoding}; expected bytes")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_bytes,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _ArrayType,
    ("_codecs", "encode"): _encode,
}


class _Resolver:
    """Puts arrays in place of their stand-ins, each object once: lists that hold a list twice each would never end."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        if id(value) not in self._seen:
            self._seen[id(value)] = self._resolved(value)
        return self._seen[id(value)]

    def _resolved(self, value: Any) -> Any:
        if isinstance(value, _Array):
            found = value.value()
            return found if isinstance(found, (np.ndarray, np.generic)) else self(found)
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self(item) for item in value]
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.ndarray)):
            return value
        raise InputError(f"a {type(value).__name__}; only numpy arrays, numbers and text are read")
