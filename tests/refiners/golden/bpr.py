"""BPR: scores of the contour, patches, the network on the first of them, probabilities of all, the result."""

import torch

from samref.refiners.bpr import BPR
from samref.refiners.bpr.patches import boundary_scores, network_input, patch_windows
from tests.refiners.golden.archives import furthest, read, save_weights, share, unpacked


def comparisons(folder, made):
    weights = save_weights(folder / "bpr_weights.npz", made / "bpr.pth")
    data = read(folder / "bpr_case.npz")
    coarse = unpacked(data["coarse"], data["coarse_shape"])
    run = BPR(weights, device="cpu")
    yield "BPR, scores of the contour", furthest(boundary_scores(coarse), data["boundary"]), 1e-3
    windows = patch_windows(coarse, run.patch, run.iou_threshold)
    yield "BPR, patches in order", furthest(windows, data["boxes"][:, :4]), 0
    rim = unpacked(data["rim_mask"], data["coarse_shape"])
    found = patch_windows(rim, run.patch, run.iou_threshold)
    yield "BPR, patches at the rim of the image", furthest(found, data["rim_boxes"][:, :4]), 0
    x = network_input(data["image"], coarse, windows, run.size)
    yield "BPR, the first patch in the network", furthest(x[0], data["input_0"]), 1e-5
    yield "BPR, its logits", furthest(run.network(x[:1])[0], data["logits_0"]), 1e-3
    probability = torch.cat([run.network.probabilities(part, run.patch) for part in x.split(4)])
    yield "BPR, probabilities of all patches", furthest(probability, data["probability"]), 1e-3
    result = run.refine(data["image"], coarse)
    expected = unpacked(data["final"], data["coarse_shape"])
    yield "BPR, mask, share of pixels", share(result.masks[0], expected), 1e-3
    half = BPR(weights, device="cpu", precision="bf16").refine(data["image"], coarse)
    yield "BPR, mask in bf16, share of pixels", share(half.masks, result.masks), 5e-3
