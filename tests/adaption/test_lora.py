import pytest
import torch
from torch import nn

from samref.adaption.lora import (
    LoRALinear,
    adapt_head,
    get_adapter_params,
    merge_head,
    original_head,
    set_trainable_params,
)
from samref.backbones.tiny import TinyHqSam, TinySam
from samref.errors import ConfigError


@pytest.fixture(params=[TinySam, TinyHqSam])
def head(request):
    return request.param(device="cpu").iou_head


def trained(head):
    with torch.no_grad():
        for parameter in get_adapter_params(head).values():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return head


def test_the_update_is_alpha_over_rank_times_b_a():
    layer = LoRALinear(nn.Linear(5, 3), rank=2, alpha=6)
    nn.init.normal_(layer.lora_b.weight)
    x = torch.randn(7, 5)
    weight = layer.linear.weight + 3 * layer.lora_b.weight @ layer.lora_a.weight
    torch.testing.assert_close(layer(x), x @ weight.T + layer.linear.bias)


@pytest.mark.parametrize("placement", ["last", "all"])
def test_a_fresh_adaptor_is_the_identity_bit_for_bit(head, placement):
    x = torch.randn(9, head.layers[0].in_features)
    before = head(x)
    adapt_head(head, 4, 4, placement, seed=0)
    assert torch.equal(head(x), before)


def test_only_the_adaptor_trains_and_it_is_as_small_as_the_paper_says(head):
    set_trainable_params(head, {})
    adapt_head(head, 4, 4, "last", seed=0)
    set_trainable_params(head, get_adapter_params(head))
    trainable = {name for name, parameter in head.named_parameters() if parameter.requires_grad}
    assert trainable == {f"layers.2.{name}" for name in ("lora_a.weight", "lora_b.weight")}
    hidden = head.layers[2].linear.in_features
    assert sum(p.numel() for p in get_adapter_params(head).values()) == 4 * hidden + 4 * 4


def test_all_layers_can_be_adapted(head):
    adapt_head(head, 2, 4, "all", seed=0)
    assert len(get_adapter_params(head)) == 6


def test_the_start_depends_on_the_seed_alone():
    starts = []
    for seed in (0, 0, 1):
        head = TinySam(device="cpu").iou_head
        torch.manual_seed(torch.randint(100, ()).item())
        adapt_head(head, 4, 4, "last", seed)
        starts.append(head.layers[2].lora_a.weight.detach().clone())
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_merging_adds_the_update_to_the_weight_bit_for_bit(head):
    adapt_head(head, 4, 8, "last", seed=0)
    trained(head)
    layer = head.layers[2]
    expected = layer.linear.weight + 2 * layer.lora_b.weight @ layer.lora_a.weight
    x = torch.randn(9, head.layers[0].in_features)
    adapted = head(x)
    merge_head(head)
    assert type(head.layers[2]) is nn.Linear
    assert torch.equal(head.layers[2].weight, expected)
    assert torch.equal(head.layers[2].bias, layer.linear.bias)
    torch.testing.assert_close(head(x), adapted, rtol=1e-5, atol=1e-5)


def test_merging_a_fresh_adaptor_changes_no_bit(head):
    before = {name: value.clone() for name, value in head.state_dict().items()}
    adapt_head(head, 4, 4, "last", seed=0)
    merge_head(head)
    assert head.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())


def test_the_head_gets_its_own_layers_back(head):
    layers = list(head.layers)
    with pytest.raises(ConfigError), original_head(head):  # noqa: PT012 - what is tested is the way out
        adapt_head(head, 4, 4, "all", seed=0)
        adapt_head(head, 0, 4, "all", seed=0)
    assert list(head.layers) == layers


@pytest.mark.parametrize(("rank", "placement"), [(0, "last"), (4, "first")])
def test_values_without_meaning_are_refused(head, rank, placement):
    with pytest.raises(ConfigError, match="expected"):
        adapt_head(head, rank, 4, placement, seed=0)
