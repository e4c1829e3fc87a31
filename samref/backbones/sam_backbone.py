"""What every Segment Anything backbone shares: frames, preprocessing, prompts to embeddings, loading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from samref.backbones.checks import check_image, check_prompts
from samref.backbones.fast.decoder import MASKS, Extent, MaskDecoder, predict_iou
from samref.backbones.fast.encoder import Encoder, fast_encoder
from samref.backbones.fast.prompt_tokens import prompt_tokens
from samref.backbones.fast.resampling import resized
from samref.backbones.fast.two_way_transformer import SharedImage
from samref.backbones.memory import in_fitting_groups
from samref.backbones.weights.loading import load_checkpoint
from samref.geometry.frames import resized_size, scale_coords
from samref.structures import Candidates, Embedding, Prompts

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
# To be changed with whatever changes what the encoder sees: cached embeddings are filed under it.
PREPROCESSING = "pil-bilinear-1"


class SamModules(NamedTuple):
    """The three parts of a Segment Anything model; their names begin the keys of its state dict."""

    image_encoder: Any
    prompt_encoder: Any
    mask_decoder: Any


class SamBackbone(nn.Module):
    """A frozen Segment Anything model: implements `samref.backbones.backbone.Backbone`.

    Frozen means that no parameter requires a gradient and that `train()` changes nothing. Gradients still
    flow through the last layer of `iou_head` when it is replaced by a trainable one.

    Args:
        name: option name of the config group.
        modules: the model's parts, with or without weights.
        weights_sha256: hash of the weights; "" for random ones.
        precision: arithmetic of the image encoder: `fp32`, `bf16` or `fp16`. Embeddings are float32 in any case.
        compile: whether `torch.compile` translates the image encoder.
    """

    image_encoder: Any
    prompt_encoder: Any
    mask_decoder: Any
    pixel_mean: Tensor
    pixel_std: Tensor
    decoder_class = MaskDecoder
    # Of the pixels, 0 to 255, by channel.
    pixel_statistics = PIXEL_MEAN, PIXEL_STD
    stretched = False

    def __init__(
        self,
        name: str,
        modules: SamModules,
        weights_sha256: str = "",
        precision: str = "fp32",
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.weights_sha256 = weights_sha256
        self.image_encoder = modules.image_encoder
        self.prompt_encoder = modules.prompt_encoder
        self.mask_decoder = modules.mask_decoder
        self._encoder = Encoder(self.image_encoder, precision, compile, self.rearrange_encoder)
        self._decoder: tuple[Any, MaskDecoder] | None = None
        self._image: tuple[Tensor, MaskDecoder, bool, SharedImage, tuple[Tensor, ...]] | None = None
        # What was found to fit into the device's memory; None: nothing has been too large yet.
        self._images_at_once: int | None = None
        self._masks_at_once: int | None = None
        for name, values in zip(("pixel_mean", "pixel_std"), self.pixel_statistics, strict=True):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.freeze()

    def freeze(self) -> None:
        """Requires no gradients and puts every module in evaluation mode."""
        self.requires_grad_(False)
        # TinyViT keeps its expanded attention biases up to date in train() alone.
        self.train(False)

    def train(self, mode: bool = True) -> SamBackbone:
        """Stays in evaluation mode: a trainer's `train()` must not touch a frozen model's statistics."""
        super().train(False)
        return self

    @staticmethod
    def rearrange_encoder(image_encoder: Any, dtype: torch.dtype) -> nn.Module:
        """The image encoder as it runs; see `samref.backbones.fast.encoder.Encoder`."""
        return fast_encoder(image_encoder, dtype)

    def load(self, weights: str | Path | None, sha256: str | None) -> None:
        """Finds, verifies and loads the weights of this backbone.

        Args:
            weights: path of a checkpoint, or None for the published one.
            sha256: accept only a file with this hash.

        Raises:
            WeightsError: when there are none, their hash is wrong, or they are those of another model.
        """
        self.weights_sha256 = load_checkpoint(self, self.name, weights, sha256)
        self.freeze()

    @property
    def encoder_id(self) -> str:
        """What decides an embedding beside the image and the weights."""
        return f"{PREPROCESSING} {self.img_size} {self._encoder.arithmetic}"

    @property
    def img_size(self) -> int:
        """Side of the square model frame in model px."""
        return int(self.prompt_encoder.input_image_size[0])

    @property
    def embedding_size(self) -> tuple[int, int]:
        """(h, w) of the image embedding."""
        height, width = self.prompt_encoder.image_embedding_size
        return int(height), int(width)

    @property
    def mask_input_size(self) -> tuple[int, int]:
        """(h, w) of the logit grid."""
        height, width = self.prompt_encoder.mask_input_size
        return int(height), int(width)

    @property
    def iou_head(self) -> nn.Module:
        """The module that predicts IoUs."""
        head: nn.Module = self.mask_decoder.iou_prediction_head
        return head

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.pixel_mean.device

    def encode(self, image: npt.NDArray[np.uint8]) -> Embedding:
        """Encodes one image.

        Args:
            image: H x W x 3 uint8 RGB.

        Returns:
            Features over the model frame, float32.

        Raises:
            InputError: for an array of another shape or type.
        """
        return self.encode_batch([image])[0]

    def encode_batch(self, images: Sequence[npt.NDArray[np.uint8]]) -> list[Embedding]:
        """Encodes images of any sizes in one pass, which keeps an accelerator busier than one at a time.

        Args:
            images: one or more of H x W x 3 uint8 RGB.

        Returns:
            Their embeddings, in order.

        Raises:
            InputError: for an array of another shape or type.
            DeviceError: where the device's memory does not hold one image.
        """
        for image in images:
            check_image(image)
        sizes = [(image.shape[0], image.shape[1]) for image in images]
        sizes_of_input = [resized_size(size, self.img_size, self.stretched) for size in sizes]
        found: dict[int, Embedding] = {}

        def encode(group: slice) -> None:
            pairs = zip(images[group], sizes_of_input[group], strict=True)
            features, interm = self.encode_pixels(torch.cat([self.preprocess(image, size) for image, size in pairs]))
            for k, i in enumerate(range(len(images))[group]):
                parts = tuple(part[k : k + 1] for part in interm)
                found[i] = Embedding(features[k : k + 1], sizes[i], sizes_of_input[i], parts)

        at_once = self._images_at_once or len(images)
        fitted = in_fitting_groups(len(images), at_once, encode, self.device, "one image")
        self._images_at_once = fitted if fitted < at_once else self._images_at_once
        return [found[i] for i in range(len(images))]

    def preprocess(self, image: npt.NDArray[np.uint8], input_size: tuple[int, int]) -> Tensor:
        """The encoder's input: resized with PIL's antialiased bilinear filter, normalized, padded.

        Args:
            image: H x W x 3 uint8 RGB.
            input_size: (H', W') of the resized image.

        Returns:
            1 x 3 x img_size x img_size float32 on the model's device.
        """
        height, width = input_size
        if self.device.type == "cpu":
            by_pil = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
            channels = torch.from_numpy(np.array(by_pil))
        else:
            channels = resized(torch.from_numpy(image).to(self.device), input_size)
        pixels = channels.permute(2, 0, 1).float()
        normalized = (pixels - self.pixel_mean) / self.pixel_std
        return F.pad(normalized, (0, self.img_size - width, 0, self.img_size - height))[None]

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs the image encoder on preprocessed pixels.

        Args:
            pixels: B x 3 x img_size x img_size float32, normalized and padded.

        Returns:
            B x C x h x w features, and the intermediate features that the decoder wants, as `Embedding.interm`.
        """
        return self._encoder(pixels)[0], ()

    def decode(self, embedding: Embedding, prompts: Prompts, *, unpadded_only: bool = False) -> Candidates:
        """Decodes N prompted masks of one image.

        As in SAM, points without boxes are padded with one place that holds no point, and mask prompts alone
        are decoded with no sparse prompt at all.

        Args:
            embedding: what `encode` made of the image.
            prompts: prompts of N masks, in image px; N may be 0.
            unpadded_only: leave the logits under the padding 0, which saves time where only the image is wanted.

        Returns:
            Four masks for each of the N prompts, on the logit grid.

        Raises:
            InputError: for prompts whose shapes do not fit each other or the model.
            DeviceError: where the device's memory does not hold one mask.
        """
        check_prompts(prompts, self.mask_input_size)
        with torch.no_grad():
            decoder, image, interm = self._prepared(embedding, prompts.mask_input is not None)
            logits = torch.zeros(len(prompts), MASKS, *self.mask_input_size, device=self.device)
        extent = Extent(*decoder.grid)
        if unpadded_only:
            extent = unpadded_extent(embedding.input_size, self.img_size, decoder.grid)
        # The empty part gives the shapes when there are no prompts.
        judged = [predict_iou(self.iou_head, logits.new_zeros(0, image.cells.shape[1]))]

        def decode(rows: slice) -> None:
            with torch.no_grad():
                sparse, masks = self.embed_sparse(embedding, prompts[rows]), self._mask_input(prompts[rows])
                iou_token, part = decoder(image, sparse, masks, interm, extent)
                logits[rows, :, : part.shape[2], : part.shape[3]] = part
            judged.append(predict_iou(self.iou_head, iou_token))

        at_once = self._masks_at_once or decoder.group_size(self.device)
        fitted = in_fitting_groups(len(prompts), at_once, decode, self.device, "one mask")
        self._masks_at_once = fitted if fitted < at_once else self._masks_at_once
        features, predictions = (torch.cat(parts) for parts in zip(*judged, strict=True))
        return Candidates(logits, predictions, features)

    def _prepared(self, embedding: Embedding, with_masks: bool) -> tuple[MaskDecoder, SharedImage, tuple[Tensor, ...]]:
        """The decoder for the weights as they are now, and what it shares between an image's masks."""
        parameters = [*self.prompt_encoder.parameters(), *self._decoder_parameters()]
        weights = tuple((p.data_ptr(), p.dtype, 0 if p.is_inference() else p._version) for p in parameters)
        # Outside inference mode, so that later calls may use them in either.
        with torch.inference_mode(False):
            if self._decoder is None or self._decoder[0] != weights:
                self._decoder = weights, self.make_decoder()
            decoder = self._decoder[1]
            last = self._image
            if last is None or last[0] is not embedding.features or last[1:3] != (decoder, with_masks):
                shared = decoder.share(embedding.features.to(self.device), with_masks)
                interm = decoder.arrange(tuple(part.to(self.device) for part in embedding.interm))
                last = self._image = embedding.features, decoder, with_masks, shared, interm
        return decoder, *last[3:]

    def make_decoder(self) -> MaskDecoder:
        """The decoder for the weights as they are now."""
        return self.decoder_class(self.prompt_encoder, self.mask_decoder)

    def _decoder_parameters(self) -> list[nn.Parameter]:
        """Those of the mask decoder without its IoU head, which is not rearranged and may be adapted."""
        return [
            p
            for name, part in self.mask_decoder.named_children()
            if part is not self.iou_head
            for p in part.parameters()
        ]

    def embed_sparse(self, embedding: Embedding, prompts: Prompts) -> Tensor:
        """The prompt encoder's embeddings of points and boxes: N x P x C, P = 0 for mask prompts alone."""
        coords, labels = prompts.point_coords, prompts.point_labels
        return prompt_tokens(
            self.prompt_encoder,
            None if coords is None else self._coords(coords, embedding),
            None if labels is None else torch.as_tensor(labels, device=self.device),
            None if prompts.boxes is None else self._coords(prompts.boxes, embedding),
            len(prompts),
        )

    def _mask_input(self, prompts: Prompts) -> Tensor | None:
        if prompts.mask_input is None:
            return None
        found = torch.as_tensor(prompts.mask_input, dtype=torch.float)
        # By far the largest part: from pinned memory an accelerator takes it several times as fast.
        return (found.pin_memory() if self.device.type == "cuda" else found).to(self.device, non_blocking=True)

    def _coords(self, coords: npt.NDArray[np.float32], embedding: Embedding) -> Tensor:
        scaled = scale_coords(coords, embedding.original_size, embedding.input_size)
        return torch.from_numpy(scaled).to(self.device)


def unpadded_extent(input_size: tuple[int, int], img_size: int, grid: tuple[int, int]) -> Extent:
    """The cells that logits of the image depend on.

    Bilinear upsampling reaches one logit, and HQ-SAM's two convolutions two more, beyond the image.

    Args:
        input_size: (H', W') of the resized image inside the model frame.
        img_size: side of the model frame.
        grid: (h, w) of the embedding.
    """
    return Extent(
        *(
            min(cells, math.ceil((length * 4 * cells / img_size + 3) / 4))
            for length, cells in zip(input_size, grid, strict=True)
        )
    )
