"""How the archives of golden data are read."""

import numpy as np
import torch


def read(path):
    with np.load(path) as archive:
        return {key: archive[key] for key in archive.files}


def save_weights(source, target):
    """Weights as a checkpoint: those with an exponent are integers times a power of two."""
    stored = read(source)
    scale = {key.removeprefix("exponent/"): 2.0 ** float(value) for key, value in stored.items() if "exponent/" in key}
    state = {}
    for key, value in stored.items():
        if "exponent/" not in key:
            exact = value if value.dtype == np.int64 and key not in scale else value * np.float64(scale.get(key, 1.0))
            state[key] = torch.tensor(exact, dtype=None if exact is value else torch.float32)
    torch.save(state, target)
    return target


def unpacked(bits, shape):
    return np.unpackbits(bits, count=int(np.prod(shape))).reshape(shape).astype(bool)


def furthest(found, expected):
    """Largest difference of two arrays."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, f"shape {found.shape} instead of {expected.shape}"
    return float(np.abs(found - expected).max())


def share(found, expected):
    """Share of pixels in which two masks differ."""
    assert found.shape == expected.shape, f"shape {found.shape} instead of {expected.shape}"
    return float((found != expected).mean())


class Recording(torch.nn.Module):
    """A network that keeps what went in and what came out."""

    def __init__(self, network):
        super().__init__()
        self.network, self.seen = network, []

    def forward(self, *inputs):
        out = self.network(*inputs)
        self.seen.append((*inputs, out))
        return out
