"""Semantic networks learn a few images by heart, ignore what is to be ignored, and start from files."""

from functools import partial

import pytest
import torch
from torchvision.models import resnet

from samref.backbones.tiny import TinySam
from samref.errors import WeightsError
from samref.metrics.semantic import SemanticIoU
from samref.training.networks.backbone_aspp import BackboneAspp
from samref.training.networks.deeplabv2 import DeepLabV2
from samref.training.networks.network import label_loss
from samref.training.networks.weights import RESNETS, file_facts, load_network, save_network, start_backbone
from tests.training.pictures import labeled


def aspp(classes=3):
    torch.manual_seed(0)
    return BackboneAspp(classes, TinySam(device="cpu"), width=32, dilations=[1, 2], dropout=0.0, flip=0.5)


@pytest.fixture(autouse=True)
def small_body(monkeypatch):
    """A thin ResNet of one block a stage, dilated as the large ones are."""
    thin = partial(resnet.ResNet, resnet.Bottleneck, [1, 1, 1, 1], width_per_group=16)
    monkeypatch.setattr(resnet, "resnet14", thin, raising=False)
    monkeypatch.setitem(RESNETS, "resnet14", RESNETS["resnet18"])


def deeplab(classes=3, pretrained=False):
    torch.manual_seed(0)
    return DeepLabV2(classes, "resnet14", [1, 2], [0.5], pretrained, head_rate=1, bias_rate=1)


def cache(backbone, encode=TinySam.encode):
    """As the cache of a run does, so that an image is encoded once."""
    known = {}

    def encoded(image):
        key = image.tobytes()
        if key not in known:
            known[key] = encode(backbone, image)
        return known[key]

    return encoded


def overfitted(network, steps, lr, count=8):
    images, maps = labeled(count)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(network.train().losses(images, maps).values()).backward()
        optimizer.step()
    network.eval()
    score = SemanticIoU(3)
    with torch.no_grad():
        for image, truth in zip(images, maps, strict=True):
            score.update(network.predict(image).argmax(dim=0), truth)
    return score.compute()["miou"]


def test_deeplabv2_learns_two_images():
    # Eight take minutes: python -m tests.training.overfit. Cells of 8 px leave edges of pictures of 48 x 64 px rough.
    assert overfitted(deeplab(), steps=60, lr=2e-3, count=2) > 0.8


def test_the_head_on_frozen_features_learns_eight_images_and_nothing_else():
    network = aspp()
    network.backbone.encode = cache(network.backbone)
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    assert overfitted(network, steps=40, lr=1e-2) > 0.9
    after = network.backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(name.startswith("backbone") for name in network.kept())


def test_ignored_pixels_cost_nothing():
    scores, target = torch.randn(1, 3, 6, 6), torch.randint(0, 3, (1, 6, 6))
    target[:, 3:] = 255
    upper = torch.nn.functional.cross_entropy(scores[:, :, :3], target[:, :3])
    torch.testing.assert_close(label_loss(scores, target), upper)
    assert float(label_loss(scores, torch.full((1, 6, 6), 255))) == 0


def test_deeplabs_losses_are_of_each_scale_and_of_their_maximum():
    images, maps = labeled(count=2)
    assert set(deeplab().losses(images, maps)) == {"whole", "scale_0.5", "maximum"}


def test_a_file_gives_back_what_was_trained(tmp_path):
    network = aspp()
    save_network(tmp_path / "a.safetensors", network, {"classes": [0, 1, 2]})
    torch.manual_seed(1)
    other = BackboneAspp(3, TinySam(device="cpu"), 32, [1, 2], 0.0, 0.5, tmp_path / "a.safetensors")
    image = labeled(count=1)[0][0]
    assert torch.equal(network.eval().predict(image), other.eval().predict(image))
    assert file_facts(tmp_path / "a.safetensors")["classes"] == [0, 1, 2]


def test_a_file_of_another_network_is_refused_in_one_sentence(tmp_path):
    save_network(tmp_path / "a.safetensors", aspp(), {})
    with pytest.raises(WeightsError, match="is a BackboneAspp; expected a DeepLabV2"):
        deeplab(pretrained=tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"of other sizes \(classify"):
        load_network(tmp_path / "a.safetensors", aspp(classes=5))
    (tmp_path / "b.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_network(tmp_path / "b.safetensors", aspp())
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "c.pt")
    with pytest.raises(WeightsError, match=r"is of another network \(conv1.weight"):
        start_backbone(deeplab().body, tmp_path / "c.pt", "ResNet18_Weights.IMAGENET1K_V1")


def test_without_a_connection_starting_weights_are_missed_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refused(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", refused)
    with pytest.raises(WeightsError, match=r"cannot be fetched \(no route to host\).*pretrained=false"):
        deeplab(pretrained=True)


def test_a_state_dict_of_the_body_is_a_start(tmp_path):
    state = deeplab().body.state_dict()
    torch.save({key: value + 1 for key, value in state.items()}, tmp_path / "body.pt")
    started = deeplab(pretrained=tmp_path / "body.pt").body.state_dict()
    assert torch.equal(started["conv1.weight"], state["conv1.weight"] + 1)
