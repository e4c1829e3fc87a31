import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samref.backbones.tiny import TinySam
from samref.config.compose import build, compose_config
from samref.errors import ConfigError
from samref.refiners.hypotheses import box_scale, decode_hypotheses, parts_of, scale_boxes
from samref.structures import Prompts
from tests.factories import photo

SIZE = (60, 90)


@given(
    corners=st.tuples(*2 * [st.tuples(st.integers(0, 89), st.integers(0, 59))]),
    factor=st.floats(0.1, 3),
)
def test_a_scaled_box_keeps_its_center_and_stays_inside(corners, factor):
    (x0, x1), (y0, y1) = (sorted(pair) for pair in zip(*corners, strict=True))
    box = np.array([[x0, y0, x1, y1]], np.float32)
    (found,) = scale_boxes(box, factor, SIZE)
    center, half = np.array([x0 + x1, y0 + y1]) / 2, factor * np.array([x1 - x0, y1 - y0]) / 2
    whole = np.concatenate([center - half, center + half])
    np.testing.assert_allclose(found, np.clip(whole, 0, [89, 59, 89, 59]), atol=1e-4)
    assert (scale_boxes(box, 1, SIZE) == box).all()


def test_a_scaled_box_is_what_the_model_is_prompted_with():
    backbone = TinySam(device="cpu")
    mask = np.zeros(SIZE, bool)
    mask[20:41, 30:51] = True
    embedding = backbone.encode(photo(SIZE, 0))
    excavator = build(compose_config([]).prompts)
    found = decode_hypotheses(backbone, excavator, [mask], embedding, ["box", "box*1.5"])
    for candidates, box in zip(found.candidates, ([30, 20, 50, 40], [25, 15, 55, 45]), strict=True):
        expected = backbone.decode(embedding, Prompts(boxes=np.array([box], np.float32)), unpadded_only=True)
        assert torch.equal(candidates.low_res_logits, expected.low_res_logits)
    assert found.prompts.boxes.tolist() == [[30, 20, 50, 40]]


@pytest.mark.parametrize("name", ["bix", "box*", "box*0", "box*-1", "box*wide", "point*1.1", "mask*1.1"])
def test_what_is_no_combination_is_one_sentence(name):
    with pytest.raises(ConfigError, match="a hypothesis is named"):
        parts_of(name)


def test_the_scale_of_a_combination():
    assert [box_scale(name) for name in ("box", "all*0.9", "point_box*2")] == [1, 0.9, 2]
    assert parts_of("point_box*2") == ("point", "box")
