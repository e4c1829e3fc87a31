"""samref: better segmentation masks from coarse ones, with a frozen Segment Anything model (SAMRefiner)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from samref.refiners.samrefiner import SAMRefiner

__version__ = "0.1.0"
__all__ = ["SAMRefiner"]


def __getattr__(name: str) -> Any:
    # Imported at first use: `python -m samref.report` and other tools that read files need no PyTorch.
    if name == "SAMRefiner":
        from samref.refiners.samrefiner import SAMRefiner

        return SAMRefiner
    raise AttributeError(f"module 'samref' has no attribute '{name}'")
