"""CRM: each scale from the stored logits of the one before, and all four."""

import numpy as np
import torch

from samref.refiners.crm import CRM
from samref.refiners.crm.refiner import PAD, SCALES, mirrored, normalize
from samref.stopwatch import Stopwatch
from tests.refiners.golden.archives import furthest, read, save_weights, share

CHANNELS = slice(None, None, 32)


def comparisons(folder, made):
    weights = save_weights(folder / "crm_weights.npz", made / "model_45705")
    data = read(folder / "crm_case.npz")
    run = CRM(weights, device="cpu")
    watch = Stopwatch(run.device)
    kept = {}
    whole = run.network.features

    def features(x, tile=None):
        bands = list(whole(x, tile))
        kept["input"], kept["features"] = x, torch.cat(bands, 2)
        yield from bands

    run.network.features = features
    image = mirrored(normalize(data["image"]))
    mask = mirrored(torch.from_numpy(data["coarse"])[None, None].float() / 255 * 2 - 1)
    for k, scale in enumerate(SCALES):
        logits = run.logits(image, mask, scale, watch)
        expected = data[f"logits_{k}"]
        if k == 0:
            yield "CRM, image in the network", furthest(kept["input"][0, :3], data["network_image_0"]), 1e-5
            yield "CRM, mask in the network", furthest(kept["input"][0, 3], data["network_mask_0"]), 1e-5
        size = np.array(kept["input"].shape[-2:])
        yield f"CRM, size in the network at scale {scale}", furthest(size, data[f"network_shape_{k}"]), 0
        found = kept["features"][0, CHANNELS]
        yield (
            f"CRM, features at scale {scale}",
            furthest(found, data[f"feature_{k}"]),
            1e-4 * float(np.abs(data[f"feature_{k}"]).max()),
        )
        yield f"CRM, logits at scale {scale} from the stored ones before", furthest(logits, expected), 1e-2
        mask = (torch.from_numpy(expected).sigmoid()[None, None] - 0.5) * 2
        gray = (255 * logits.sigmoid()).int()[PAD:-PAD, PAD:-PAD]
        yield f"CRM, gray levels at scale {scale}", furthest(gray, data[f"grey_{k}"]), 1
    result = run.refine(data["image"], data["coarse"])
    yield "CRM, mask from end to end, share of pixels", share(result.masks[0], data["mask"]), 2e-3
    half = CRM(weights, device="cpu", precision="bf16").refine(data["image"], data["coarse"])
    # Random features amplify rounding, from scale to scale.
    yield "CRM, mask in bf16, share of pixels", share(half.masks, result.masks), 5e-2
