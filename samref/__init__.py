"""samref: better segmentation masks from coarse ones, with a frozen Segment Anything model (SAMRefiner)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samref.refiners.samrefiner import SAMRefiner

__version__: str
__all__ = ["SAMRefiner", "__version__"]


def __getattr__(name: str) -> Any:
    # At first use: `samref --help` and tools that read files wait neither for PyTorch nor for a search of metadata.
    if name == "__version__":
        from importlib import metadata

        return metadata.version("samref")
    if name == "SAMRefiner":
        from samref.refiners.samrefiner import SAMRefiner

        return SAMRefiner
    raise AttributeError(f"module 'samref' has no attribute '{name}'")
