"""SegRefiner (Wang et al., NeurIPS 2023)."""

from samref.refiners.segrefiner.refiner import SegRefiner

__all__ = ["SegRefiner"]
