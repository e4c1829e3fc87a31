"""How an image encoder is run: rearranged for inference, in the chosen arithmetic, compiled or not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn

from samref.backbones.fast.tiny_vit import FusedTinyViT, Plan
from samref.backbones.fast.vit import FastViT
from samref.errors import ConfigError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# To be changed with whatever changes an embedding by as much as rounding: cached embeddings are filed under it.
ARITHMETIC = "fused-sdpa-2"
HALF_ARITHMETIC = "cast-once-2"

_Run = Callable[[Tensor], tuple[Tensor, ...]]
# From an image encoder and the type of products to what runs.
Rearrange = Callable[[Any, torch.dtype], nn.Module]


class Encoder:
    """Runs a packaged image encoder on preprocessed images."""

    def __init__(self, image_encoder: Any, precision: str, compiled: bool, rearrange: Rearrange | None = None) -> None:
        """Nothing is rearranged before the first image.

        Args:
            image_encoder: `ImageEncoderViT` of `segment_anything` or `segment_anything_hq`, or the latter's `TinyViT`.
            precision: of products: `fp32`, `bf16` or `fp16`; weights are cast once, norms and softmax stay in fp32.
            compiled: whether `torch.compile` translates the encoder, a ViT's blocks, at the first image.
            rearrange: in place of `fast_encoder`, for encoders of other packages.

        Raises:
            ConfigError: for another precision, or a `compiled` that is no bool.
        """
        if precision not in PRECISIONS:
            raise ConfigError(f"backbone.precision is {precision!r}; expected {', '.join(PRECISIONS)}")
        if not isinstance(compiled, bool):
            raise ConfigError(f"backbone.compile is {compiled!r}; expected true or false")
        self.image_encoder, self.precision, self.compiled = image_encoder, precision, compiled
        self.rearrange = rearrange or fast_encoder
        self._prepared: tuple[Any, _Run] | None = None

    @property
    def arithmetic(self) -> str:
        """What decides how numbers are rounded on the way to an embedding."""
        way = ARITHMETIC if self.precision == "fp32" else HALF_ARITHMETIC
        return f"{way} {self.precision}{' compiled' if self.compiled else ''}"

    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Encodes preprocessed images.

        Args:
            pixels: B x 3 x S x S float32, normalized and padded.

        Returns:
            B x C x h x w float32 features and what else the encoder makes, float32: of `fast_encoder`, the
            B x h x w x C'' output of the early layer that HQ-SAM uses.

        Raises:
            ConfigError: when `torch.compile` cannot translate the encoder here.
        """
        run = self._current()
        with torch.inference_mode(), _exact_convolutions(pixels.device):
            try:
                found = run(pixels)
            except torch._dynamo.exc.TorchDynamoException as error:
                cause = " ".join(str(error).split("\n\n")[0].split())
                raise ConfigError(
                    f"backbone.compile is true but torch.compile fails here ({cause}); use backbone.compile=false"
                ) from error
        # Copied outside inference mode, for what training computes from them must be able to record it.
        return tuple(part.to(torch.float32, copy=True) for part in found)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles rearrange the weights again: compiled ones can be neither copied nor pickled."""
        return {**self.__dict__, "_prepared": None}

    def _current(self) -> _Run:
        """The rearranged encoder for the weights as they are now."""
        weights = tuple(_identity(tensor) for tensor in self.image_encoder.state_dict(keep_vars=True).values())
        if self._prepared is None or self._prepared[0] != weights:
            # Outside inference mode, so that later calls may use the weights in either.
            with torch.inference_mode(False), torch.no_grad():
                fast = self.rearrange(self.image_encoder, PRECISIONS[self.precision])
            self._prepared = weights, _compiled(fast) if self.compiled else fast
        return self._prepared[1]


def _compiled(fast: Any) -> Any:
    if not isinstance(fast, FastViT):
        return torch.compile(fast, dynamic=False)
    # Its many blocks are of two kinds, each of which is translated once.
    for index, block in enumerate(fast.blocks):
        fast.blocks[index] = cast(nn.Module, torch.compile(block, dynamic=False))
    return fast


def _exact_convolutions(device: torch.device) -> AbstractContextManager[None]:
    """Has cuDNN multiply float32 as float32: by default it rounds factors to 10 bits first."""
    if device.type != "cuda":
        return nullcontext()
    exact: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return exact


def fast_encoder(image_encoder: Any, dtype: torch.dtype) -> nn.Module:
    """A packaged image encoder, rearranged for inference.

    Args:
        image_encoder: as for `Encoder`.
        dtype: of products.

    Returns:
        A module from B x 3 x S x S pixels to features and early features.
    """
    device = next(image_encoder.parameters()).device
    if hasattr(image_encoder, "layers"):
        return FusedTinyViT(image_encoder, dtype, Plan.of(device))
    return FastViT(image_encoder, dtype, device)


def _identity(tensor: Tensor) -> tuple[int, torch.dtype, int]:
    return tensor.data_ptr(), tensor.dtype, 0 if tensor.is_inference() else tensor._version
