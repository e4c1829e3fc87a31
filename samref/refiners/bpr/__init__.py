"""BPR (Tang et al., CVPR 2021)."""

from samref.refiners.bpr.refiner import BPR

__all__ = ["BPR"]
