"""`samref app`: a page on which a rough mask is dropped or painted, and refined under every setting."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from samref.errors import ConfigError

if TYPE_CHECKING:
    from samref.backbones.backbone import Backbone


def main(words: Sequence[str]) -> int:
    """Serves the page until it is interrupted.

    Raises:
        SamrefError: when something is wrong.
    """
    options = _parser().parse_args(words)
    from samref.config.compose import compose_config

    cfg = compose_config([f"backbone={options.backbone}"]).backbone
    print(f"loading {options.backbone} ...", flush=True)
    from samref.backbones.cache import CachedBackbone, LastEmbedding
    from samref.backbones.open import open_backbone
    from samref.cli.page.desk import Desk
    from samref.cli.page.server import PageServer

    # Trying settings on one photo encodes it once.
    backbone = CachedBackbone(open_backbone(cfg, device=options.device), LastEmbedding())
    try:
        page = PageServer(Desk(cast("Backbone", backbone), options.backbone), options.host, options.port)
    except OSError:
        raise ConfigError(
            f"no page can be served at {options.host}, port {options.port or 'chosen by itself'}; "
            "give another --port or --host"
        ) from None
    print(f"{page.url} (Ctrl-C ends it)", flush=True)
    page.serve()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="samref app", description=__doc__)
    parser.add_argument("--backbone", default="mobile_sam", metavar="NAME", help="the model (%(default)s)")
    parser.add_argument("--device", default="auto", metavar="NAME", help="where it runs (%(default)s)")
    parser.add_argument("--port", type=int, metavar="N", help="the first that is free from 7860 on")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="who may look (%(default)s: this machine)"
    )
    return parser
