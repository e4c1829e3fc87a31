import math

import pytest
import torch

from samref.config.compose import build, compose_config
from samref.errors import ConfigError
from samref.training.networks.deeplabv2 import DeepLabV2


def schedule(*overrides):
    return build(compose_config(["+experiment=voc_training", *overrides]).schedule)


def test_poly_is_pytorchs():
    ours = schedule("schedule.warmup=0", "schedule.power=0.9")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=50, power=0.9)
    for step in range(50):
        assert math.isclose(ours.factor(step, 50), optimizer.param_groups[0]["lr"], rel_tol=1e-9)
        optimizer.step()
        theirs.step()


def test_warmup_rises_to_the_rate_and_steps_fall_by_ten():
    ours = schedule(
        "schedule.warmup=4", "schedule.warmup_factor=0.2", "schedule.decay=steps", "schedule.milestones=[0.5,0.75]"
    )
    factors = [ours.factor(step, 8) for step in range(8)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.1, 0.1, 0.01, 0.01])


def test_deeplabs_head_learns_faster_and_its_biases_do_not_decay():
    network = DeepLabV2(3, "resnet18", [1, 2], [0.5], False, head_rate=10, bias_rate=20)
    made = schedule("network=deeplabv2_resnet101").optimizers(network, 10)["optimizer"]
    rates = [(group["initial_lr"], group["weight_decay"]) for group in made.param_groups]
    assert rates == [pytest.approx(pair) for pair in [(0.00025, 0.0005), (0.0025, 0.0005), (0.005, 0.0)]]


@pytest.mark.parametrize("wrong", ["decay=cosine", "lr=0", "max_steps=0", "optimizer=x"])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ConfigError, match=rf"schedule\.{wrong.partition('=')[0]}"):
        schedule(f"schedule.{wrong}")
