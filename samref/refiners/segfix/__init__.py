"""SegFix (Yuan et al., ECCV 2020)."""

from samref.refiners.segfix.refiner import SegFix

__all__ = ["SegFix"]
