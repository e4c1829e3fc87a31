"""Models of the published architectures with random weights, which cost what trained ones do, and their own packages.

No file and no network is needed. Each class has the package's own way from an image to masks, and ours.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import segment_anything
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from samref.backbones.fast.modules import hq_sam_modules, mobile_sam_modules, sam_modules
from samref.backbones.hq_sam import HqSamBackbone
from samref.backbones.sam_backbone import SamBackbone, SamModules
from samref.backbones.tiny import tiny_modules
from samref.backbones.weights.hub_models import HUB_MODELS
from samref.geometry.frames import resized_size, scale_coords
from samref.structures import Prompts

Image = npt.NDArray[np.uint8]


class RandomModel(Protocol):
    """A model and its own package, on one device.

    Attributes:
        package: its name.
    """

    package: str

    def backbone(self, precision: str = "fp32", compiled: bool = False) -> SamBackbone:
        """Ours, of the same weights."""
        ...

    def encode(self, image: Image) -> None:
        """Theirs, from pixels to an embedding, which it keeps."""
        ...

    def decode(self, image: Image, prompts: Prompts, chunk: int) -> Iterator[Tensor]:
        """Theirs, of the image that was encoded last: B x 3 x h x w logits, `chunk` masks at a time."""
        ...

    def flops(self) -> float:
        """Floating point operations of encoding one image, counted as the package's encoder runs."""
        ...


def random_model(name: str, device: torch.device) -> RandomModel:
    """A model by its option name; `tiny` and `tiny_sam2` run anywhere."""
    known = {"tiny", "mobile_sam", *segment_anything.sam_model_registry}
    torch.manual_seed(0)
    return OfSegmentAnything(name, device) if name in known else OfTransformers(name, device)


def random_backbone(name: str, device: torch.device) -> SamBackbone:
    """Ours alone, for times: parameters are random numbers that nobody has taken care with.

    Args:
        name: of a published backbone.
        device: where it runs.
    """
    if name in HUB_MODELS:
        return OfTransformers(name, device).backbone()
    hq = name.startswith("hq_")
    if name == "mobile_sam":
        modules = mobile_sam_modules()
    else:
        modules = hq_sam_modules(name.removeprefix("hq_")) if hq else sam_modules(name)
    kind = HqSamBackbone if hq else SamBackbone
    backbone = kind("benchmark", modules)
    if any(parameter.is_meta for parameter in backbone.parameters()):
        backbone.to_empty(device=device)
        # `to_empty` took the values of the pixels' mean and deviation too; a new one has them.
        backbone = kind("benchmark", modules)
        with torch.no_grad():
            for tensor in (*backbone.parameters(), *backbone.prompt_encoder.buffers()):
                tensor.normal_(0, 0.02)
    return backbone.to(device)


class OfSegmentAnything:
    """SAM and MobileSAM in `segment_anything`."""

    package = "segment-anything"

    def __init__(self, name: str, device: torch.device) -> None:
        with device:
            if name == "tiny":
                modules = tiny_modules(128, 0, hq=False)
            elif name == "mobile_sam":
                modules = mobile_sam_modules()
            else:
                built = segment_anything.sam_model_registry[name]()
                modules = SamModules(built.image_encoder, built.prompt_encoder, built.mask_decoder)
        self.modules = modules
        encoder = _First(modules.image_encoder) if name == "mobile_sam" else modules.image_encoder
        sam = Sam(encoder, modules.prompt_encoder, modules.mask_decoder)
        self.sam = sam.eval().requires_grad_(False).to(device)
        self.predictor = SamPredictor(self.sam)
        # The package that has TinyViT gives its decoder two arguments of HQ-SAM, which this one ignores.
        self.more = {"hq_token_only": False, "interm_embeddings": None} if name == "mobile_sam" else {}

    def backbone(self, precision: str = "fp32", compiled: bool = False) -> SamBackbone:
        """See `RandomModel`."""
        return SamBackbone("benchmark", self.modules, precision=precision, compile=compiled).to(self.sam.device)

    def encode(self, image: Image) -> None:
        """See `RandomModel`."""
        self.predictor.set_image(image)

    @torch.inference_mode()
    def decode(self, image: Image, prompts: Prompts, chunk: int) -> Iterator[Tensor]:
        """See `RandomModel`; its predictor would upsample all candidates too, which is another matter."""
        sam, transform, size = self.sam, self.predictor.transform, image.shape[:2]
        points = torch.as_tensor(transform.apply_coords(prompts.point_coords, size), device=sam.device)
        boxes = torch.as_tensor(transform.apply_boxes(prompts.boxes, size), device=sam.device)
        labels, masks = (
            torch.as_tensor(part, device=sam.device) for part in (prompts.point_labels, prompts.mask_input)
        )
        image_pe = sam.prompt_encoder.get_dense_pe()
        for start in range(0, len(prompts), chunk):
            rows = slice(start, start + chunk)
            sparse, dense = sam.prompt_encoder((points[rows], labels[rows]), boxes[rows], masks[rows])
            features = self.predictor.features
            yield sam.mask_decoder(features, image_pe, sparse, dense, multimask_output=True, **self.more)[0]

    def flops(self) -> float:
        """See `RandomModel`."""
        size = self.modules.prompt_encoder.input_image_size[0]
        return _counted(self.sam.image_encoder, size, self.sam.device)


class OfTransformers:
    """SAM 2, SAM 3 and EdgeTAM in `transformers`."""

    package = "transformers"

    def __init__(self, name: str, device: torch.device) -> None:
        import transformers

        from samref.backbones.hf.families import EDGETAM, SAM2, SAM3

        self.family = {"sam3": SAM3, "edgetam": EDGETAM}.get(name, SAM2)
        config = hf_config(name)
        with device:
            model = getattr(transformers, self.family.model)(config)
        self.model: Any = model.eval().requires_grad_(False).to(device)
        self.device = device
        self.size = int(self.model.prompt_encoder.input_image_size)
        self.processor = transformers.Sam2ImageProcessor(
            size={"height": self.size, "width": self.size},
            image_mean=[value / 255 for value in self.family.pixel_mean],
            image_std=[value / 255 for value in self.family.pixel_std],
        )
        self.maps: list[Tensor] = []

    def backbone(self, precision: str = "fp32", compiled: bool = False) -> SamBackbone:
        """See `RandomModel`; of a copy, for it takes the model apart."""
        from samref.backbones.hf.opening import Opened
        from samref.backbones.hf.sam2 import PyramidBackbone

        family = self.family
        opened = Opened(copy.deepcopy(self.model), family, "", "", family.pixel_mean, family.pixel_std)
        return PyramidBackbone("benchmark", opened, precision, compiled).to(self.device)

    @torch.inference_mode()
    def encode(self, image: Image) -> None:
        """See `RandomModel`."""
        pixels = self.processor(images=image, return_tensors="pt", device=self.device)["pixel_values"]
        self.maps = self.model.get_image_embeddings(pixels.to(self.device))

    @torch.inference_mode()
    def decode(self, image: Image, prompts: Prompts, chunk: int) -> Iterator[Tensor]:
        """See `RandomModel`."""
        size = image.shape[0], image.shape[1]
        input_size = resized_size(size, self.size, stretched=True)

        def tensor(array: Any, move: bool = False) -> Tensor:
            return torch.as_tensor(scale_coords(array, size, input_size) if move else array, device=self.device)[
                :, None
            ]

        points, boxes = tensor(prompts.point_coords, True), tensor(prompts.boxes, True)
        labels, masks = tensor(prompts.point_labels), tensor(prompts.mask_input)[:, 0]
        for start in range(0, len(prompts), chunk):
            rows = slice(start, start + chunk)
            count = len(points[rows])
            found = self.model(
                image_embeddings=[part.float().expand(count, -1, -1, -1) for part in self.maps],
                input_points=points[rows],
                input_labels=labels[rows],
                input_boxes=boxes[rows],
                input_masks=masks[rows],
                multimask_output=True,
            )
            yield found.pred_masks[:, 0]

    def flops(self) -> float:
        """See `RandomModel`."""
        return _counted(self.model.vision_encoder, self.size, self.device)


def hf_config(name: str) -> Any:
    """The configuration of a published model of `transformers`, or `tiny_sam2`."""
    import transformers as hf

    from samref.backbones.hf.families import SAM2_BLOCKS, sam2_config

    if name == "sam3":
        return hf.Sam3TrackerConfig()
    if name == "edgetam":
        timm = hf.TimmWrapperConfig(
            architecture="repvit_m1.dist_in1k",
            model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
            num_labels=2,
        )
        return hf.EdgeTamConfig(vision_config=hf.EdgeTamVisionConfig(backbone_config=timm))
    if name in SAM2_BLOCKS:
        return sam2_config(name)
    assert name == "tiny_sam2", name
    hiera = hf.Sam2HieraDetConfig(
        hidden_size=16,
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        window_size_per_stage=[4, 2, 4, 2],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    grids = [[32, 32], [16, 16], [8, 8]]
    vision = hf.Sam2VisionConfig(
        backbone_config=hiera, backbone_channel_list=[128, 64, 32, 16], backbone_feature_sizes=grids
    )
    return hf.Sam2Config(vision_config=vision, prompt_encoder_config={"image_size": 128})


class _First(nn.Module):
    """An encoder of which `segment_anything` gets the embedding alone."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder, self.img_size = encoder, encoder.img_size

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.encoder(pixels)[0]
        return features


def _counted(encoder: nn.Module, size: int, device: torch.device) -> float:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        encoder(torch.zeros(1, 3, size, size, device=device))
    return float(counter.get_total_flops())
