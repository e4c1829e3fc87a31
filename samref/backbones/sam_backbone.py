"""What every Segment Anything backbone shares: frames, preprocessing, prompts to embeddings, loading."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from samref.backbones.decoder import decode_sam
from samref.backbones.weights import load_checkpoint
from samref.errors import ConfigError, InputError
from samref.geometry import resized_size, scale_coords
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

    Frozen means that no parameter asks for a gradient and that `train()` changes nothing. Gradients still
    flow through the last layer of `iou_head` when it is replaced by a trainable one.

    Args:
        name: option name of the config group.
        modules: the model's parts, with or without weights.
        weights_sha256: hash of the weights; "" for random ones.
    """

    image_encoder: Any
    prompt_encoder: Any
    mask_decoder: Any
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, name: str, modules: SamModules, weights_sha256: str = "") -> None:
        super().__init__()
        self.name = name
        self.weights_sha256 = weights_sha256
        self.image_encoder = modules.image_encoder
        self.prompt_encoder = modules.prompt_encoder
        self.mask_decoder = modules.mask_decoder
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD).view(3, 1, 1), persistent=False)
        self.freeze()

    def freeze(self) -> None:
        """Asks for no gradients and puts every module in evaluation mode."""
        self.requires_grad_(False)
        # TinyViT keeps its expanded attention biases up to date in train() alone.
        self.train(False)

    def train(self, mode: bool = True) -> SamBackbone:
        """Stays in evaluation mode: a trainer's `train()` must not touch a frozen model's statistics."""
        super().train(False)
        return self

    def load(self, weights: str | None, sha256: str | None) -> None:
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
        return f"{PREPROCESSING} {self.img_size}"

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

        Raises:
            InputError: for an array of another shape or type.
        """
        check_image(image)
        original_size = (image.shape[0], image.shape[1])
        input_size = resized_size(original_size, self.img_size)
        features, interm = self.encode_pixels(self.preprocess(image, input_size))
        return Embedding(features, original_size, input_size, interm)

    def preprocess(self, image: npt.NDArray[np.uint8], input_size: tuple[int, int]) -> Tensor:
        """The encoder's input: resized with PIL's antialiased bilinear filter, normalised, padded.

        Args:
            image: H x W x 3 uint8 RGB.
            input_size: (H', W') of the resized image.

        Returns:
            1 x 3 x img_size x img_size float32 on the model's device.
        """
        height, width = input_size
        resized = np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy(resized).to(self.device).permute(2, 0, 1).float()
        normalised = (pixels - self.pixel_mean) / self.pixel_std
        return F.pad(normalised, (0, self.img_size - width, 0, self.img_size - height))[None]

    def encode_pixels(self, pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs the image encoder on preprocessed pixels.

        Args:
            pixels: 1 x 3 x img_size x img_size float32, normalised and padded.

        Returns:
            1 x C x h x w features, and the intermediate features that `decode_embeddings` wants.
        """
        return self.image_encoder(pixels), ()

    def decode(self, embedding: Embedding, prompts: Prompts) -> Candidates:
        """Decodes N prompted masks of one image, all at once.

        As in SAM, points without boxes are padded with one place that holds no point, and mask prompts alone
        are decoded with no sparse prompt at all.

        Args:
            embedding: what `encode` made of the image.
            prompts: prompts of N masks, in image px; N may be 0.

        Raises:
            InputError: for prompts whose shapes do not fit each other or the model.
        """
        check_prompts(prompts, self.mask_input_size)
        sparse, dense = self.embed_prompts(embedding, prompts)
        return self.decode_embeddings(embedding, sparse, dense)

    def embed_prompts(self, embedding: Embedding, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """The prompt encoder's sparse (N x P x C) and dense (N x C x h x w) embeddings."""
        points = None
        if prompts.point_coords is not None:
            points = (
                self._coords(prompts.point_coords, embedding),
                torch.as_tensor(prompts.point_labels, device=self.device),
            )
        boxes = None if prompts.boxes is None else self._coords(prompts.boxes, embedding)
        masks = prompts.mask_input
        mask_input = None if masks is None else torch.as_tensor(masks, dtype=torch.float, device=self.device)
        sparse, dense = self.prompt_encoder(points=points, boxes=boxes, masks=mask_input)
        # The prompt encoder takes prompts without any part for one prompt.
        return sparse[: len(prompts)], dense[: len(prompts)]

    def decode_embeddings(self, embedding: Embedding, sparse: Tensor, dense: Tensor) -> Candidates:
        """Runs the mask decoder on N embedded prompts."""
        image_pe = self.prompt_encoder.get_dense_pe()
        return decode_sam(self.mask_decoder, embedding.features, image_pe, sparse, dense)

    def _coords(self, coords: npt.NDArray[np.float32], embedding: Embedding) -> Tensor:
        scaled = scale_coords(coords, embedding.original_size, embedding.input_size)
        return torch.from_numpy(scaled).to(self.device)


def resolve_device(device: str) -> torch.device:
    """The device an option names; `auto` is CUDA where there is one, else the CPU.

    Raises:
        ConfigError: for a name torch does not know, or a device this machine does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"backbone.device is {device!r}; expected auto, cpu, cuda or cuda:N") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"backbone.device is {device!r} but this machine has {torch.cuda.device_count()} CUDA devices; "
            "use backbone.device=cpu or auto"
        )
    return found


def check_image(image: Any) -> None:
    """Raises `InputError` unless `image` is H x W x 3 uint8 and not empty."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = getattr(image, "dtype", type(image).__name__)
        raise InputError(f"image is {found}; expected a uint8 array of shape (H, W, 3), RGB")
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(f"image has shape {image.shape}; expected (H, W, 3), RGB, with at least one pixel")


def check_prompts(prompts: Prompts, mask_input_size: tuple[int, int]) -> None:
    """Raises `InputError` unless the parts of `prompts` fit each other and the logit grid."""
    count = len(prompts)
    points, labels = prompts.point_coords, prompts.point_labels
    if (points is None) != (labels is None):
        raise InputError("point_coords and point_labels must be given together")
    expected = {
        "point_coords": (points, (count, None if points is None else points.shape[1], 2)),
        "point_labels": (labels, (count, None if points is None else points.shape[1])),
        "boxes": (prompts.boxes, (count, 4)),
        "mask_input": (prompts.mask_input, (count, 1, *mask_input_size)),
    }
    for name, (array, shape) in expected.items():
        if array is not None and array.shape != shape:
            raise InputError(f"{name} has shape {array.shape}; expected {shape} for {count} prompts")
