"""`samref cache [--clear]`: what is in the cache of image embeddings, and emptying it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samref.backbones.cache.store import EmbeddingStore


def main(words: Sequence[str]) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="samref cache",
        description="Look at or empty the cache of image embeddings. It lies in $SAMREF_CACHE/embeddings, else in the "
        "platform's cache folder; backbone.cache, backbone.cache_max_gb and backbone.cache_precision rule its use.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--stats", action="store_true", help="entries, size and last use by backbone (the default)")
    what.add_argument("--clear", action="store_true", help="delete all entries; runs that use them encode again")
    chosen = parser.parse_args(words)
    from samref.backbones.cache.store import EmbeddingStore, embeddings_folder

    store = EmbeddingStore(embeddings_folder(), max_gb=float("inf"))
    if chosen.clear:
        count, size = store.clear()
        print(f"{store.folder}: {count} entries deleted, {size / 1e6:.1f} MB freed")
    else:
        show(store)
    return 0


def show(store: EmbeddingStore) -> None:
    """Prints what is cached."""
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(highlight=False)
    files = store.files()
    table = Table("backbone", Column("entries", justify="right"), Column("MB", justify="right"), "last used", box=None)
    for group in sorted({file.path.parent.name for file in files}):
        own = [file for file in files if file.path.parent.name == group]
        used = datetime.fromtimestamp(own[-1].used).isoformat(" ", "minutes")
        table.add_row(group, str(len(own)), f"{sum(file.size for file in own) / 1e6:.1f}", used)
    print(store.folder)
    console.print(table if files else "no entries")
