"""`samref weights NAME | --list | --verify [NAME]`: published weights, fetched, listed and verified."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from samref.backbones.weights.by_hand import HAND_FETCHED
from samref.backbones.weights.hub_models import HUB_MODELS
from samref.backbones.weights.registry import CHECKPOINTS, checkpoint_for


def main(words: Sequence[str]) -> int:
    """Runs the command; 1 when a file is wrong or missing.

    Raises:
        WeightsError: for an unknown name, and for weights that cannot be fetched.
    """
    parser = argparse.ArgumentParser(
        prog="samref weights",
        description="Fetch, list and verify the published weights. They are kept in $SAMREF_CACHE, else in the "
        "platform's cache folder; models of the Hugging Face Hub in its own cache. Those of other refiners are fetched "
        "by hand: their names print from where.",
    )
    backbones = ", ".join([*CHECKPOINTS, *HUB_MODELS])
    names = f"backbone to fetch: {backbones}; or another refiner's: {', '.join(HAND_FETCHED)}"
    parser.add_argument("name", nargs="?", help=names)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="what is published, what was measured and what is cached")
    what.add_argument("--verify", action="store_true", help="check the hash of every cached file, or of NAME's")
    chosen = parser.parse_args(words)
    if not (chosen.list or chosen.verify or chosen.name):
        parser.error("give the name of a backbone, --list or --verify")
    by_hand, on_hub = HAND_FETCHED.get(chosen.name), HUB_MODELS.get(chosen.name)
    named = chosen.name and not by_hand
    entries = [] if on_hub else [checkpoint_for(chosen.name)] if named else list(CHECKPOINTS.values())
    hub_models = [on_hub] if on_hub else [] if named else list(HUB_MODELS.values())
    from samref.cli import weights_found as found

    if by_hand:
        return found.verify_by_hand(by_hand) if chosen.verify else found.describe(by_hand)
    if chosen.list:
        return found.show(entries, hub_models)
    if chosen.verify:
        return found.verify(entries, hub_models, demand_one=chosen.name is not None)
    return found.fetch_hub_model(on_hub) if on_hub else found.fetch(chosen.name)
