"""Matrix products with frozen weights: laid out once the way the processor's kernels read them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Product(nn.Module):
    """`x W' + b`, and GELU of it where that is wanted."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, gelu: bool = False, packed: bool = False) -> None:
        """Keeps the weights.

        Args:
            weight: C' x C.
            bias: C', or None.
            gelu: whether GELU follows.
            packed: lay the weights out anew for float32 inputs on a processor, which saves each product the same work;
                where this build of torch cannot, nothing changes.
        """
        super().__init__()
        self.gelu = gelu
        self.features, self.packed = len(weight), _packed(weight) if packed else None
        self.register_buffer("weight", None if self.packed is not None else weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(self, rows: Tensor) -> Tensor:
        """... x C -> ... x C'."""
        if self.packed is None:
            product = F.linear(rows, self.weight, self.bias)
            return F.gelu(product) if self.gelu else product
        activation, algorithm = ("gelu", "none") if self.gelu else ("none", "")
        fused: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, activation, [], algorithm)
        return fused


def _packed(weight: Tensor) -> Any:
    """The weights as oneDNN wants them; None where torch has no such operation, or the weights are not its kind."""
    operations = torch.ops.mkldnn
    usable = torch._C._has_mkldnn and weight.device.type == "cpu" and weight.dtype == torch.float32
    if not usable or not hasattr(operations, "_linear_pointwise") or not hasattr(operations, "_reorder_linear_weight"):
        return None
    return operations._reorder_linear_weight(weight.detach().contiguous())
