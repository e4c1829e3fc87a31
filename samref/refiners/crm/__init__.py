"""CRM (Shen et al., CVPR 2022)."""

from samref.refiners.crm.refiner import CRM

__all__ = ["CRM"]
