"""An HRNet computed from the official names of a state dict alone, to compare BPR's and SegFix's networks with."""

import torch
from torch.nn import functional as F


def normalized(x, state, name):
    shape = (1, -1, 1, 1)
    mean, var = (state[f"{name}.running_{what}"].view(shape) for what in ("mean", "var"))
    return (x - mean) / (var + 1e-5).sqrt() * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(shape)


def conv_norm(x, state, conv, norm, stride=1):
    weight = state[f"{conv}.weight"]
    return normalized(F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2), state, norm)


def residual(x, state, name):
    """A basic block or a bottleneck, whichever has these names."""
    h = F.relu(conv_norm(x, state, f"{name}.conv1", f"{name}.bn1"))
    h = conv_norm(h, state, f"{name}.conv2", f"{name}.bn2")
    if f"{name}.conv3.weight" in state:
        h = conv_norm(F.relu(h), state, f"{name}.conv3", f"{name}.bn3")
    if f"{name}.downsample.0.weight" in state:
        x = conv_norm(x, state, f"{name}.downsample.0", f"{name}.downsample.1")
    return F.relu(h + x)


def numbered(state, name):
    """How many parts a name has that are numbered from 0 or miss some."""
    numbers = {int(key.removeprefix(f"{name}.").split(".")[0]) for key in state if key.startswith(f"{name}.")}
    return max(numbers) + 1 if numbers else 0


def residuals(x, state, name):
    for k in range(numbered(state, name)):
        x = residual(x, state, f"{name}.{k}")
    return x


def transition(branches, state, name, count):
    found = []
    for k in range(count):
        x = branches[min(k, len(branches) - 1)]
        if f"{name}.{k}.0.weight" in state:
            x = F.relu(conv_norm(x, state, f"{name}.{k}.0", f"{name}.{k}.1"))
        for step in range(numbered(state, f"{name}.{k}") if f"{name}.{k}.0.0.weight" in state else 0):
            x = F.relu(conv_norm(x, state, f"{name}.{k}.{step}.0", f"{name}.{k}.{step}.1", stride=2))
        found.append(x)
    return found


def exchange(branches, state, name, align_corners):
    branches = [residuals(x, state, f"{name}.branches.{k}") for k, x in enumerate(branches)]
    found = []
    for i, target in enumerate(branches):
        total = 0
        for j, x in enumerate(branches):
            layer = f"{name}.fuse_layers.{i}.{j}"
            if j > i:
                x = conv_norm(x, state, f"{layer}.0", f"{layer}.1")
                x = F.interpolate(x, size=target.shape[-2:], mode="bilinear", align_corners=align_corners)
            for step in range(max(i - j, 0)):
                x = conv_norm(x, state, f"{layer}.{step}.0", f"{layer}.{step}.1", stride=2)
                x = F.relu(x) if step < i - j - 1 else x
            total = total + x
        found.append(F.relu(total))
    return found


def stages(branches, state, first, align_corners):
    """All stages from a number on; returns the branches of the last."""
    number = first
    while any(key.startswith(f"backbone.stage{number}.") for key in state):
        name = f"backbone.stage{number}"
        count = numbered(state, f"{name}.0.branches")
        branches = transition(branches, state, f"backbone.transition{number - 1}", count)
        for module in range(numbered(state, name)):
            branches = exchange(branches, state, f"{name}.{module}", align_corners)
        number += 1
    return branches


def joined(branches, align_corners):
    size = branches[0].shape[-2:]
    resized = [F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners) for x in branches[1:]]
    return torch.cat([branches[0], *resized], 1)


def randomize(network):
    """Gives a network's normalizations statistics and gains that do something."""
    for name, value in [*network.named_buffers(), *network.named_parameters()]:
        if name.endswith("running_mean"):
            value.data.normal_(0, 0.2)
        elif name.endswith("running_var"):
            value.data.uniform_(0.5, 2)
        elif value.dim() == 1:
            value.data.add_(0.2 * torch.randn_like(value))
    return network.eval().requires_grad_(False)
