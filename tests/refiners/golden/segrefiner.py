"""SegRefiner: the network, and both modes step by step and from end to end."""

import numpy as np
import torch

from samref.refiners.segrefiner import SegRefiner
from samref.refiners.segrefiner.diffusion import change_rate
from samref.refiners.segrefiner.instance import crop_window, crops
from samref.refiners.segrefiner.mode import HALF
from samref.refiners.segrefiner.semantic import disputed, downsized, enlarged, unsure_windows
from tests.refiners.golden.archives import Recording, furthest, read, save_weights, share, unpacked

SIZE, WIDTH = 64, 32
LOGITS, PROBABILITIES, PIXELS = 1e-3, 1e-3, 1e-3
HALF_PRECISION = 5e-3


def comparisons(folder, made):
    weights = save_weights(folder / "segrefiner_weights.npz", made / "segrefiner.pth")
    yield from of_network(read(folder / "segrefiner_network.npz"), weights)
    yield from of_instance_mode(read(folder / "segrefiner_instance.npz"), weights)
    for path in sorted(folder.glob("segrefiner_semantic*.npz")):
        yield from of_semantic_mode(path.stem, read(path), weights)


def refiner(weights, mode, data=None, **options):
    draws = (data[f"draw{k:02}"] for k in range(100))
    made = SegRefiner(
        weights,
        mode,
        device="cpu",
        width=WIDTH,
        uniform=lambda shape: ((next(draws) + 0.5) / 65536).astype(np.float32),
        **options,
    )
    made.network = Recording(made.network)
    return made


def of_network(data, weights):
    network = refiner(weights, "instance", {}).network.network
    statistics = []
    blocks = [*network.input_blocks, network.middle_block, *network.output_blocks]
    for block in blocks:
        block.register_forward_hook(lambda _, __, out: statistics.append((out.mean().item(), out.std().item())))
    found = network(torch.from_numpy(data["input"]).float(), torch.from_numpy(data["t"]))
    yield "SegRefiner, logits", furthest(found, data["logits"]), LOGITS
    yield "SegRefiner, mean and deviation of 37 blocks", furthest(statistics, data["block_mean_std"]), LOGITS


def of_steps(name, data, network):
    """Each step of the diffusion from the stored mask, and the fine probability that they add up to."""
    worst, fine_worst, fine, before = 0.0, 0.0, None, 0
    for k, (seen, *_) in enumerate(network.seen):
        if f"step{k:02}_t" not in data:
            break
        time = int(data[f"step{k:02}_t"])
        x = torch.from_numpy(unpacked(data[f"step{k:02}_x"], data[f"step{k:02}_x_shape"])).float()
        again = network.network(torch.cat([seen[:, :3], x], 1), torch.full((len(x),), time))
        worst = max(worst, furthest(again, data[f"step{k:02}_logits"]))
        if k == 0 or time > before:
            fine = torch.zeros_like(again)
        elif len(x) != len(fine):
            # Patches of the local step, whose probability of being fine nothing depends on.
            continue
        before = time
        fine = fine + (1 - fine) * change_rate(again.sigmoid(), time)
        fine_worst = max(fine_worst, furthest(fine, data[f"step{k:02}_fine"]))
    yield f"{name}, logits of each step from the stored mask", worst, LOGITS
    yield f"{name}, probability of being fine after each step", fine_worst, PROBABILITIES


def of_instance_mode(data, weights):
    image, coarse = data["image"], unpacked(data["coarse"], data["coarse_shape"])
    run = refiner(weights, "instance", data, size=SIZE, chunk_size=2)
    found = run.refine(image, coarse)
    # The authors move small masks behind the others; here they stay in their place.
    order = data["final_order"]
    large = [row for row in range(len(coarse)) if run.mode.refines(coarse[row])]
    windows = [crop_window(coarse[row], run.mode.pad) for row in large]
    yield "instance mode, windows", furthest(windows, data["crop_xyxy"]), 0
    images, shapes = crops(image, coarse[large], windows, SIZE)
    yield "instance mode, crops of the image", furthest(images, data["crop_images"]), 1e-4
    masks = unpacked(data["crop_masks"], (len(large), 1, SIZE, SIZE))
    yield "instance mode, crops of masks, share of pixels", share(shapes.numpy() > HALF, masks), 0
    yield from of_steps("instance mode", data, run.network)
    last = torch.cat([logits for _, t, logits in run.network.seen if int(t[0]) == 0]).sigmoid()
    yield "instance mode, probabilities at the end", furthest(last, data["probability"]), PROBABILITIES
    expected = unpacked(data["final"], data["coarse_shape"])
    yield "instance mode, masks, share of pixels", share(found.masks[order], expected), PIXELS
    half = refiner(weights, "instance", data, size=SIZE, chunk_size=2, precision="bf16").refine(image, coarse)
    yield "instance mode, masks in bf16, share of pixels", share(half.masks, found.masks), HALF_PRECISION


def of_semantic_mode(name, data, weights):
    image, coarse = data["image"], unpacked(data["coarse"], data["coarse_shape"])
    size = len(data["global_probability"])
    run = refiner(weights, "semantic", data, size=size, chunk_size=32)
    found = run.refine(image, coarse)
    mode = run.mode
    shapes = downsized(image, coarse[None], size)[1].numpy() > HALF
    expected = unpacked(data["global_mask"], (1, 1, size, size))
    yield f"{name}, mask of the global step, share of pixels", share(shapes, expected), 0
    yield from of_steps(name, data, run.network)
    seen = [(logits, int(t[0])) for _, t, logits in run.network.seen]
    (probability,) = (logits.sigmoid()[0, 0] for logits, time in seen if time == 1)
    yield f"{name}, global probability", furthest(probability, data["global_probability"]), PROBABILITIES
    fine = torch.from_numpy(data["global_fine"])
    globally = enlarged(torch.from_numpy(data["global_probability"]), coarse.shape) >= HALF
    expected = unpacked(data["global_binary"], coarse.shape)
    yield f"{name}, global mask, share of pixels", share(globally, expected), 0
    every = unsure_windows(fine, coarse.shape, mode.fine_threshold, iou_threshold=1.0)
    boxes = np.unique(data["nms_boxes"], axis=0)
    yield f"{name}, windows before they are thinned", furthest(np.unique(every, axis=0), boxes), 0
    kept = unsure_windows(fine, coarse.shape, mode.fine_threshold, mode.iou_threshold)
    yield f"{name}, windows kept, in order", furthest(kept, data["nms_kept"]), 0
    patches = disputed(kept, globally)
    yield f"{name}, patches", furthest(patches, data["patches_xyxy"]), 0
    local = [logits.sigmoid()[:, 0] for logits, time in seen if time == 0]
    if local:
        yield f"{name}, local probabilities", furthest(torch.cat(local), data["local_probability"]), PROBABILITIES
    yield f"{name}, mask, share of pixels", share(found.masks[0], unpacked(data["final"], coarse.shape)), PIXELS
    half = refiner(weights, "semantic", data, size=size, chunk_size=32, precision="bf16").refine(image, coarse)
    yield f"{name}, mask in bf16, share of pixels", share(half.masks, found.masks), HALF_PRECISION
