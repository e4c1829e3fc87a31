"""With the published model: coarse masks of procedural scenes come out better."""

import numpy as np
import pytest

from samref.config.compose import compose_config
from samref.engine import runner
from samref.engine.parts import load_backbone, shared_backbone


@pytest.mark.weights
@pytest.mark.xdist_group("weights")
def test_refinement_gains_on_scenes(tmp_path, mobile_sam):
    overrides = ["backbone.device=cpu", "limit=2", "callbacks.progress=false", f"paths.outputs={tmp_path}"]
    report = runner.run(compose_config(overrides))
    coarse, refined = report["metrics"]["coarse"], report["metrics"]["refined"]
    assert refined["iou"] > coarse["iou"] + 0.01
    assert refined["boundary_iou"] > coarse["boundary_iou"]


@pytest.mark.weights
@pytest.mark.xdist_group("weights")
def test_the_adaptor_moves_predicted_ious_and_nothing_else(mobile_sam):
    import torch

    from samref.adaption.lora import adapt_head, get_adapter_params, original_head
    from samref.config.compose import build
    from samref.datasets.scenes.scenes import Scenes
    from samref.prompts.excavation import Frame

    sample = Scenes(1)[0]
    excavator = build(compose_config([]).prompts)
    frame = Frame(mobile_sam.img_size, mobile_sam.mask_input_size)
    with torch.no_grad(), original_head(mobile_sam.iou_head):
        embedding = mobile_sam.encode(sample.image)
        prompts = excavator(sample.masks, embedding, frame)
        plain = mobile_sam.decode(embedding, prompts)
        adapt_head(mobile_sam.iou_head, 4, 4, "last", seed=0)
        fresh = mobile_sam.decode(embedding, prompts)
        for parameter in get_adapter_params(mobile_sam.iou_head).values():
            parameter.add_(0.1)
        adapted = mobile_sam.decode(embedding, prompts)
    assert torch.equal(fresh.iou_predictions, plain.iou_predictions)
    assert torch.equal(adapted.low_res_logits, plain.low_res_logits)
    assert not np.allclose(adapted.iou_predictions, plain.iou_predictions)


@pytest.mark.weights
@pytest.mark.xdist_group("weights")
def test_a_second_setting_of_a_single_run_encodes_nothing(tmp_path, monkeypatch, mobile_sam):
    monkeypatch.setattr("samref.backbones.open.embeddings_folder", lambda: tmp_path / "embeddings")
    load_backbone.cache_clear()
    base = ["backbone.device=cpu", "limit=1", "callbacks.progress=false", f"paths.outputs={tmp_path / 'out'}"]
    for prompts, misses in (("all", 1), ("box", 0)):
        cfg = compose_config([*base, f"prompts={prompts}"])
        runner.run(cfg)
        backbone = shared_backbone(cfg.backbone, 1)
        assert backbone.misses == misses
        load_backbone.cache_clear()
