"""Checkpoint files: their hashes, reading them without running code of theirs, loading them strictly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from samref.errors import WeightsError

# What is published is listed, and a name mistyped, without waiting for PyTorch.
if TYPE_CHECKING:
    from torch import Tensor, nn

StateDict: TypeAlias = "dict[str, Tensor]"

# TinyViT's classification head and derived tables: SAM uses neither, and only some files hold them.
UNUSED = (".norm_head.", ".head.", ".attn.ab", ".attn.attention_bias_idxs")
NAMED_AT_MOST = 4


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal.

    Raises:
        WeightsError: when it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def content_sha256(state: Mapping[str, Tensor]) -> str:
    """Hash of a state dict's names, types, shapes and values, in hexadecimal.

    It does not depend on the file format or on the version of the library that wrote the file.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def read_state_dict(path: Path, wrappers: Sequence[str] = ()) -> StateDict:
    """Reads a `.safetensors` file, or any other as a torch checkpoint with `weights_only=True`.

    Args:
        path: of the file.
        wrappers: keys under which trainers put a state dict beside what else they save.

    Raises:
        WeightsError: when the file is damaged or holds anything but named tensors.
    """
    import safetensors.torch
    import torch

    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive fails in as many ways as it has formats
        # torch's own sentence advises to load the file without weights_only, which nobody should.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise WeightsError(
            f"cannot read {path} as a checkpoint ({reason}): it is damaged, or holds more than names and tensors; "
            "expected a state dict saved by torch or safetensors: download it again"
        ) from error
    for wrapper in wrappers:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        keys = _some(list(map(str, state))) if isinstance(state, Mapping) else type(state).__name__
        raise WeightsError(f"{path} holds {keys}; expected a state dict, that is names and tensors only")
    return dict(state)


def load_strictly(module: nn.Module, state: StateDict, source: str, kind: str = "backbone") -> None:
    """Puts a state dict's tensors in place of the module's, in single precision.

    Args:
        module: a Segment Anything model or another refiner's network; its parameters may be on the meta device.
        state: names and tensors in the official layout; TinyViT's classification head is left out.
        source: what to call the state dict in an error.
        kind: what to call the module there.

    Raises:
        WeightsError: naming the keys that are missing, unexpected or of another shape.
    """
    expected = module.state_dict()
    unused = {key for key in state if key not in expected and any(part in key for part in UNUSED)}
    state = {key: value for key, value in state.items() if key not in unused}
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    reshaped = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    found = load_problem({"missing keys": missing, "unexpected keys": unexpected, "other shapes": reshaped})
    if found:
        raise WeightsError(f"{source} is not a checkpoint of this {kind}: {found}")
    single = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    module.load_state_dict(single, assign=True)


def load_problem(findings: Mapping[str, list[str]]) -> str:
    """What does not fit between a state dict and a model, in words; "" where all does.

    Args:
        findings: names of tensors by what is wrong with them.
    """
    return "; ".join(f"{what}: {_some(keys)}" for what, keys in findings.items() if keys)


def _some(keys: list[str]) -> str:
    named = ", ".join(keys[:NAMED_AT_MOST])
    return named if len(keys) <= NAMED_AT_MOST else f"{named} and {len(keys) - NAMED_AT_MOST} more"
