"""Image embeddings on disk or in memory: none is computed twice. `samref cache` is the command."""

from samref.backbones.cache.cached_backbone import PRECISIONS, CachedBackbone
from samref.backbones.cache.memory import LastEmbedding
from samref.backbones.cache.store import EmbeddingStore, embeddings_folder

__all__ = ["PRECISIONS", "CachedBackbone", "EmbeddingStore", "LastEmbedding", "embeddings_folder"]
