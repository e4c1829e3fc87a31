"""Image embeddings kept on disk: sweeps encode once. Also a command: `python -m samref.backbones.cache`."""

from samref.backbones.cache.cached_backbone import PRECISIONS, CachedBackbone
from samref.backbones.cache.store import EmbeddingStore, embeddings_folder

__all__ = ["PRECISIONS", "CachedBackbone", "EmbeddingStore", "embeddings_folder"]
