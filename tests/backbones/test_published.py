"""The published architectures that are too large to fetch: built, and loaded from files in the official layout."""

import pytest
import torch
from segment_anything import sam_model_registry

from samref.backbones.fast.modules import hq_sam_modules, import_hq, mobile_sam_modules, sam_modules
from samref.backbones.hq_sam import HqSam
from samref.backbones.open import build_backbone
from samref.backbones.sam import Sam
from samref.backbones.sam_backbone import SamBackbone
from samref.errors import ConfigError, WeightsError
from tests.backbones.prompting import packaged_embeddings, random_image, random_prompts

MILLIONS = {"vit_b": 94, "vit_l": 312, "vit_h": 641}
HQ_MILLIONS = {"vit_tiny": 10, "vit_b": 95, "vit_l": 314, "vit_h": 643}


def millions(modules):
    return round(sum(p.numel() for module in modules for p in module.parameters()) / 1e6)


@pytest.mark.parametrize("name", MILLIONS)
def test_sams_have_their_size_and_cost_nothing_to_build(name):
    modules = sam_modules(name)
    assert millions(modules) == MILLIONS[name]
    assert {p.device.type for module in modules for p in module.parameters()} == {"meta"}
    backbone = SamBackbone(name, modules)
    assert (backbone.img_size, backbone.embedding_size, backbone.mask_input_size) == (1024, (64, 64), (256, 256))


@pytest.mark.parametrize("name", HQ_MILLIONS)
def test_hq_sams_have_their_size(name):
    modules = hq_sam_modules(name)
    assert millions(modules) == HQ_MILLIONS[name]
    assert modules.mask_decoder.hf_token.weight.shape == (1, 256)


def test_mobile_sam_has_its_size():
    assert millions(mobile_sam_modules()) == 10


def test_vit_b_is_loaded_as_segment_anything_loads_it(tmp_path):
    with torch.device("meta"):
        packaged = sam_model_registry["vit_b"]()
    state = {key: torch.randn(1).expand(value.shape) for key, value in packaged.state_dict().items()}
    path = tmp_path / "mine.pth"
    torch.save(state, path)
    backbone = Sam("vit_b", weights=str(path), device="cpu")
    loaded = backbone.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    assert not any(p.requires_grad or p.device.type != "cpu" for p in backbone.parameters())


@pytest.fixture(scope="module")
def hq_tiny(tmp_path_factory):
    """The packaged light HQ-SAM with random weights, and ours loaded from a file of them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        packaged = import_hq().sam_model_registry["vit_tiny"]()
    path = tmp_path_factory.mktemp("weights") / "light.pth"
    torch.save(packaged.state_dict(), path)
    return packaged, HqSam("hq_vit_tiny", weights=str(path), device="cpu")


def test_light_hq_sam_decodes_as_the_package_does(hq_tiny):
    packaged, backbone = hq_tiny
    image, size = random_image((60, 100)), (60, 100)
    embedding = backbone.encode(image)
    prompts = random_prompts(2, size, backbone.mask_input_size)
    candidates = backbone.decode(embedding, prompts)
    with torch.no_grad():
        features, early = packaged.image_encoder(backbone.preprocess(image, embedding.input_size))
        sparse, dense = packaged_embeddings(backbone, embedding, prompts)
        best, iou = packaged.mask_decoder(
            image_embeddings=features,
            image_pe=packaged.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
            hq_token_only=False,
            interm_embeddings=early,
        )
    chosen = candidates.multi_iou.argmax(dim=1)
    scale = features.abs().max()
    torch.testing.assert_close(embedding.features / scale, features / scale, atol=1e-5, rtol=0)
    torch.testing.assert_close(candidates.multi_logits[torch.arange(2), chosen], best[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(candidates.multi_iou.amax(dim=1), iou[:, 0], atol=1e-5, rtol=0)


def test_a_checkpoint_of_another_model_is_named_by_its_keys(hq_tiny, tmp_path):
    path = tmp_path / "light.pth"
    torch.save(hq_tiny[0].state_dict(), path)
    with pytest.raises(WeightsError, match=r"light\.pth for mobile_sam is not .*mask_decoder\.hf_token\.weight"):
        build_backbone("mobile_sam", weights=str(path))


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"backbone=vit_x; did you mean.*hq_vit_h.*mobile_sam"):
        build_backbone("vit_x")
    with pytest.raises(ConfigError, match=r"'vit_x'.*vit_b"):
        Sam("vit_x")
    with pytest.raises(ConfigError, match=r"'vit_x'.*vit_tiny"):
        HqSam("hq_vit_x")
