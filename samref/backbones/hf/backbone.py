"""What the families of `transformers` share: their modules driven by `samref.backbones.fast`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samref.backbones.device import resolve_device
from samref.backbones.fast.decoder import MaskDecoder
from samref.backbones.hf.families import Family
from samref.backbones.hf.opening import Opened, open_model
from samref.backbones.hf.views import IouHead, mask_decoder_view, prompt_encoder_view
from samref.backbones.sam_backbone import SamBackbone, SamModules
from samref.backbones.weights.hub_models import hub_name
from samref.config.paths import InputModel
from samref.structures import Embedding, Prompts


class HfBackbone(SamBackbone):
    """A model of `transformers`, frozen. Its parts go by the package's names; the IoU head is `IouHead`.

    Args:
        name: option name of the config group.
        opened: the model, its family and its weights' hash.
        precision: see `SamBackbone`.
        compile: see `SamBackbone`.
    """

    # How the package's mask decoder is seen.
    decoder_view: Callable[[Any], Any] = staticmethod(mask_decoder_view)

    def __init__(self, name: str, opened: Opened, precision: str = "fp32", compile: bool = False) -> None:
        self.pixel_statistics = opened.pixel_mean, opened.pixel_std
        self.stretched = opened.family.stretched
        model = opened.model
        model.mask_decoder.iou_prediction_head = IouHead(model.mask_decoder.iou_prediction_head)
        super().__init__(name, self.parts_of(model), opened.sha256, precision, compile)
        self.cell_positions = model.shared_image_embedding
        self._config_id = opened.config_id
        self.freeze()

    @staticmethod
    def parts_of(model: Any) -> SamModules:
        """Encoder, prompt encoder and decoder of a model."""
        return SamModules(model.vision_encoder, model.prompt_encoder, model.mask_decoder)

    @property
    def encoder_id(self) -> str:
        """What decides an embedding beside the image and the weights: frame, pixels and the configuration, too."""
        frame = "stretched" if self.stretched else "padded"
        pixels = [*self.pixel_mean.flatten().tolist(), *self.pixel_std.flatten().tolist()]
        return f"{super().encoder_id} {frame} {self._config_id} {pixels}"

    @property
    def img_size(self) -> int:
        """Side of the square model frame in model px."""
        return int(self.prompt_encoder.input_image_size)

    @property
    def mask_input_size(self) -> tuple[int, int]:
        """(h, w) of the logit grid."""
        height, width = self.embedding_size
        return 4 * height, 4 * width

    def make_decoder(self) -> MaskDecoder:
        """See `SamBackbone.make_decoder`."""
        prompts = prompt_encoder_view(self.prompt_encoder, self.cell_positions)
        return self.decoder_class(prompts, type(self).decoder_view(self.mask_decoder))

    def embed_sparse(self, embedding: Embedding, prompts: Prompts) -> Tensor:
        """The prompt encoder's embeddings of points and boxes: N x P x C."""
        if prompts.point_coords is None and prompts.boxes is None:
            return self.embed_nothing(len(prompts))

        def coords(array: npt.NDArray[np.float32] | None) -> Tensor | None:
            return None if array is None else self._coords(array, embedding)[None]

        labels = None if prompts.point_labels is None else torch.as_tensor(prompts.point_labels, device=self.device)
        sparse: Tensor = self.prompt_encoder(
            input_points=coords(prompts.point_coords),
            input_labels=None if labels is None else labels[None],
            input_boxes=coords(prompts.boxes),
            input_masks=None,
        )[0]
        # Masks are on the package's axis of points here, for it has one image: no dense prompt is involved.
        return sparse[0]

    def embed_nothing(self, count: int) -> Tensor:
        """What stands for points and boxes where there are none: N x P x C."""
        weight: Tensor = self.mask_decoder.iou_token.weight
        return weight.new_zeros(count, 0, weight.shape[1])


class HfModel(HfBackbone):
    """A model of a family, opened by its option's settings.

    Args:
        name: option name of the config group.
        weights: folder that `save_pretrained` left, file with `config.json` beside it, or name on the hub; None for the
            published one, where there is one.
        sha256: accept only weights with this hash.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: see `SamBackbone`.
        compile: see `SamBackbone`.
    """

    family: Family

    def __init__(
        self,
        name: str,
        weights: InputModel | None = None,
        sha256: str | None = None,
        device: str = "auto",
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        target = resolve_device(device)
        opened = open_model(name, self.family, weights or hub_name(name), sha256)
        super().__init__(name, opened, precision, compile)
        self.to(target)
