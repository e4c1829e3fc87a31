"""Published weights: found, verified and loaded. Also a command: `python -m samref.backbones.weights`."""

from samref.backbones.weights.fetch import find_weights
from samref.backbones.weights.loading import load_checkpoint
from samref.backbones.weights.registry import CHECKPOINTS, Checkpoint
from samref.backbones.weights.store import cache_folder

__all__ = ["CHECKPOINTS", "Checkpoint", "cache_folder", "find_weights", "load_checkpoint"]
