"""Every family against the forward pass of `transformers` on random tiny models."""

import pytest
import torch

from samref.backbones.backbone import Backbone
from samref.geometry.frames import scale_coords
from tests.backbones.hf.models import random_model
from tests.backbones.prompting import COMBINATIONS, random_image, random_prompts

SIZE = (61, 97)
IMAGE = random_image(SIZE)


def pixels_of(case):
    return case.backbone.preprocess(IMAGE, case.backbone.encode(IMAGE).input_size)


@torch.no_grad()
def their_maps(case):
    """Embedding and further maps, in the package's order."""
    found = case.model.get_image_embeddings(pixels_of(case))
    if case.option == "hf_sam":
        return [found]
    if case.option == "hf_sam_hq":
        return [found[0], *found[1]]
    return found


@torch.no_grad()
def their_candidates(case, prompts, multimask_output):
    """Logits and predicted IoUs of the package; every mask on the batch axis, with its own copy of the image."""
    backbone, count = case.backbone, len(prompts)
    maps = [part.expand(count, *part.shape[1:]) for part in their_maps(case)]
    given = {"image_embeddings": maps if backbone.stretched else maps[0]}
    if case.option == "hf_sam_hq":
        given["intermediate_embeddings"] = maps[1:]
    input_size = backbone.encode(IMAGE).input_size

    def tensor(array, move=False):
        if array is None:
            return None
        return torch.as_tensor(scale_coords(array, SIZE, input_size) if move else array)[:, None]

    masks = prompts.mask_input
    found = case.model(
        input_points=tensor(prompts.point_coords, move=True),
        input_labels=tensor(prompts.point_labels),
        input_boxes=tensor(prompts.boxes, move=True),
        input_masks=None if masks is None else torch.as_tensor(masks),
        multimask_output=multimask_output,
        **given,
    )
    return found.pred_masks[:, 0], found.iou_scores[:, 0]


@pytest.fixture
def mended_hq(monkeypatch):
    """HQ-SAM's decoder of `transformers` 5 upscales the cells from before its transformer, transposed.

    It drops what the transformer makes of them, as `segment_anything_hq` does not. With the cells put back, the rest is
    compared.
    """
    from transformers.models.sam_hq.modeling_sam_hq import SamHQMaskDecoder

    plain = SamHQMaskDecoder.forward

    def forward(self, *args, **options):
        cells = []
        keep = self.transformer.register_forward_hook(lambda module, given, found: cells.append(found[1]))
        put = self.upscale_conv1.register_forward_pre_hook(
            lambda module, given: (cells[0].transpose(2, 3).reshape(given[0].shape),)
        )
        try:
            return plain(self, *args, **options)
        finally:
            keep.remove()
            put.remove()

    monkeypatch.setattr(SamHQMaskDecoder, "forward", forward)


def test_it_is_a_backbone(case):
    backbone = case.backbone
    assert isinstance(backbone, Backbone)
    assert backbone.name == case.option
    assert len(backbone.weights_sha256) == 64
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert backbone.mask_input_size == tuple(4 * cells for cells in backbone.embedding_size)


def test_embeddings(case):
    found = case.backbone.encode(IMAGE)
    theirs = their_maps(case)
    if case.backbone.stretched:
        largest, larger, features = theirs
        theirs = [features, largest, larger]
    ours = [found.features, *found.interm]
    if case.option == "hf_sam_hq":
        ours, theirs = ours[:1], theirs[:1]  # the fused features are compared by the masks that they end in
    for one, other in zip(ours, theirs, strict=True):
        assert other.abs().max() > 0.1
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("parts", COMBINATIONS)
def test_candidates(case, parts, count, mended_hq):
    prompts = random_prompts(count, SIZE, case.backbone.mask_input_size, parts)
    found = case.backbone.decode(case.backbone.encode(IMAGE), prompts)
    logits, predictions = their_candidates(case, prompts, multimask_output=True)
    ours = found.multi_logits, found.multi_iou
    if case.option == "hf_sam_hq":
        # The package sorts them.
        order = found.multi_iou.sort(dim=1, descending=True).indices
        rows = torch.arange(count)[:, None]
        ours = found.multi_logits[rows, order], found.multi_iou[rows, order]
    assert logits.std() > 0.1
    torch.testing.assert_close(ours[0], logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours[1], predictions, atol=1e-5, rtol=0)


@pytest.mark.parametrize("parts", COMBINATIONS)
def test_the_single_mask(case, parts, mended_hq):
    if hasattr(case.model.mask_decoder, "dynamic_multimask_via_stability"):
        case.model.mask_decoder.dynamic_multimask_via_stability = False
    prompts = random_prompts(3, SIZE, case.backbone.mask_input_size, parts)
    found = case.backbone.decode(case.backbone.encode(IMAGE), prompts)
    logits, predictions = their_candidates(case, prompts, multimask_output=False)
    torch.testing.assert_close(found.low_res_logits[:, :1], logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.iou_predictions[:, :1], predictions, atol=1e-5, rtol=0)


def test_masks_together_are_masks_one_by_one(case):
    prompts = random_prompts(5, SIZE, case.backbone.mask_input_size)
    embedding = case.backbone.encode(IMAGE)
    together = case.backbone.decode(embedding, prompts)
    for row in range(5):
        alone = case.backbone.decode(embedding, prompts[row : row + 1])
        torch.testing.assert_close(together.low_res_logits[row], alone.low_res_logits[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(together.iou_predictions[row], alone.iou_predictions[0], atol=1e-6, rtol=0)


def test_no_masks_are_decoded_to_none(case):
    backbone = case.backbone
    for parts in COMBINATIONS:
        found = backbone.decode(backbone.encode(IMAGE), random_prompts(0, SIZE, backbone.mask_input_size, parts))
        assert found.low_res_logits.shape == (0, 4, *backbone.mask_input_size)
        assert found.iou_predictions.shape == (0, 4)


def test_predicted_ious_are_what_the_head_makes_of_its_features(case):
    backbone = case.backbone
    found = backbone.decode(backbone.encode(IMAGE), random_prompts(3, SIZE, backbone.mask_input_size))
    expected = backbone.iou_head.layers[-1](found.iou_features)
    if backbone.stretched:
        expected = expected.sigmoid()
    torch.testing.assert_close(found.iou_predictions, expected)


def test_sam_3s_embedding_holds_the_no_memory_embedding_though_its_neck_has_a_level_more(cases):
    """`Sam3TrackerModel` adds it to the fourth level, which it then drops; the authors and its video twin do not."""
    case = cases("sam3")
    four = random_model("sam3", levels=4)
    with torch.no_grad():
        theirs = four.get_image_embeddings(pixels_of(case))[2]
        four.save_pretrained(case.folder / "four")
    from samref.backbones.hf.sam2 import Sam3

    ours = Sam3("sam3", weights=case.folder / "four", device="cpu").encode(IMAGE).features
    added = four.no_memory_embedding[0, :, :, None, None].detach()
    assert added.abs().max() > 0.1
    torch.testing.assert_close(ours, theirs + added, atol=1e-5, rtol=1e-5)
