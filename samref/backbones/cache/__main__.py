"""`python -m samref.backbones.cache --stats | --clear`."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime

from rich.console import Console
from rich.table import Column, Table

from samref.backbones.cache.store import EmbeddingStore, embeddings_folder

console = Console(highlight=False)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m samref.backbones.cache",
        description="Look at or empty the cache of image embeddings. It lies in $SAMREF_CACHE/embeddings, else in the "
        "platform's cache folder; backbone.cache, backbone.cache_max_gb and backbone.cache_precision rule its use.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--stats", action="store_true", help="entries, size and last use by backbone")
    what.add_argument("--clear", action="store_true", help="delete all entries; runs that use them encode again")
    chosen = parser.parse_args(arguments)
    store = EmbeddingStore(embeddings_folder(), max_gb=float("inf"))
    if chosen.clear:
        count, size = store.clear()
        console.print(f"{store.folder}: {count} entries deleted, {size / 1e6:.1f} MB freed", soft_wrap=True)
    else:
        show(store)
    return 0


def show(store: EmbeddingStore) -> None:
    """Prints what is cached."""
    files = store.files()
    table = Table("backbone", Column("entries", justify="right"), Column("MB", justify="right"), "last used", box=None)
    for group in sorted({file.path.parent.name for file in files}):
        own = [file for file in files if file.path.parent.name == group]
        used = datetime.fromtimestamp(own[-1].used).isoformat(" ", "minutes")
        table.add_row(group, str(len(own)), f"{sum(file.size for file in own) / 1e6:.1f}", used)
    console.print(store.folder, soft_wrap=True)
    console.print(table if files else "no entries")


if __name__ == "__main__":
    sys.exit(main())
