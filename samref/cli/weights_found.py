"""What `samref weights` prints: published weights and those that are fetched by hand, as they are found here."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from samref.backbones.weights.by_hand import HAND_FETCHED, HandFetched, finding
from samref.backbones.weights.checkpoint import file_sha256
from samref.backbones.weights.fetch import find_weights
from samref.backbones.weights.hub import cached_weights, fetch_from_hub, published_sha256
from samref.backbones.weights.hub_models import HubModel
from samref.backbones.weights.model_table import conditions, model, read_measured
from samref.backbones.weights.registry import Checkpoint
from samref.backbones.weights.store import cached_paths, locked, remove, verified
from samref.errors import WeightsError

console = Console(highlight=False)
WIDTH = 170


def show(entries: list[Checkpoint], hub_models: list[HubModel]) -> int:
    """Prints what is published, what was measured of it, which of it is cached, and whom to cite."""
    measured = read_measured()
    headings = (
        "backbone",
        "architecture",
        "M par.",
        "MB",
        "license",
        "cpu ms/image",
        "ms/mask",
        "gpu ms/image",
        "ms/mask",
    )
    table = Table(*headings, "IoU / boundary", "sha256", "cached", box=None)
    for entry in entries:
        cached = [path.suffix.removeprefix(".") for path in cached_paths(entry) if path.exists()]
        sha256 = f"{entry.sha256[:8]}..." if entry.sha256 else "first use"
        table.add_row(*model(entry.name, measured), sha256, ", ".join(cached) or "-")
    for hub_model in hub_models:
        files = cached_weights(hub_model.hub)
        sha256 = next((f"{published[:8]}..." for file in files if (published := published_sha256(file))), "hub's")
        table.add_row(*model(hub_model.name, measured), sha256, "hub" if files else "-")
    for column in table.columns:
        column.no_wrap = True
    # A table of one line a model is read by programs, too: a narrow screen must not cut it.
    wide = Console(highlight=False, width=max(console.width, WIDTH))
    wide.print(table)
    console.print(conditions(measured), soft_wrap=True)
    credited: list[Checkpoint | HubModel] = [*entries, *hub_models]
    for credit in dict.fromkeys(entry.credit for entry in credited):
        names = ", ".join(entry.name for entry in credited if entry.credit == credit)
        console.print(f"{names}: {credit}", soft_wrap=True)
    if len(entries) > 1:
        by_hand = Table("by hand", "used by", "license of code", "of weights", "there", box=None)
        for other in HAND_FETCHED.values():
            there = "yes" if other.path.exists() else "-"
            by_hand.add_row(other.name, other.family.option, other.code_license, other.license, there)
        for column in by_hand.columns[:2]:
            column.no_wrap = True
        console.print(by_hand)
    return 0


def describe(entry: HandFetched) -> int:
    """Prints all that is known of a checkpoint that is fetched by hand, and where it belongs."""
    size = f"{entry.size:,} bytes" if entry.size else "size not published"
    partial = entry.sha256 is not None and len(entry.sha256) < 64
    known = f"sha256 {'begins ' if partial else ''}{entry.sha256}" if entry.sha256 else "hash not published"
    known += " (reported, not by its authors)" if entry.reported else ""
    lines = {
        entry.name: f"{entry.family.title}, trained on {entry.trained_on}, for {entry.family.option} {entry.options}",
        "from": entry.address,
        "file": f"{entry.filename}, {size}, {known}",
        "put it": f"{entry.path}, or anywhere and give refiner.weights=FILE",
        "there": finding(entry)[1],
        "license": f"code {entry.code_license}; weights {entry.license}",
        "cite": entry.credit,
        "terms": entry.terms,
    }
    for name, text in lines.items():
        if text:
            console.print(f"{name + ':':<{len(entry.name) + 2}}{text}", soft_wrap=True, markup=False)
    return 0


def verify_by_hand(entry: HandFetched) -> int:
    """Prints what is found of a checkpoint that is fetched by hand; 1 where it is missing or not the known one."""
    right, text = finding(entry)
    console.print(f"{entry.name}: {text}", soft_wrap=True, markup=False)
    return int(not right)


def verify(entries: list[Checkpoint], hub_models: list[HubModel], demand_one: bool) -> int:
    """Checks cached files and removes wrong ones; a missing one counts as wrong when it was named.

    Files in the hub's cache are its own: wrong ones are named and left.
    """
    table = Table("backbone", Column("file", overflow="fold"), Column("finding", overflow="fold"), box=None)
    wrong = False
    for entry in entries:
        cached = [path for path in cached_paths(entry) if path.exists()]
        if not cached:
            table.add_row(entry.name, "-", "not cached")
            wrong |= demand_one
        for path in cached:
            fault = _fault(entry, path)
            table.add_row(entry.name, path.name, f"wrong, removed: {escape(fault)}" if fault else "ok")
            wrong |= fault is not None
    for hub_model in hub_models:
        files = cached_weights(hub_model.hub)
        if not files:
            table.add_row(hub_model.name, "-", "not cached")
            wrong |= demand_one
        for file in files:
            right = published_sha256(file) in (None, file_sha256(file))
            table.add_row(hub_model.name, str(file), "ok" if right else "wrong, not the hash that the hub publishes")
            wrong |= not right
    console.print(table)
    return int(wrong)


def _fault(entry: Checkpoint, path: Path) -> str | None:
    with locked(entry):
        try:
            verified(entry, path)
        except WeightsError as error:
            remove(path)
            return str(error)
    return None


def fetch(name: str) -> int:
    """Makes sure that a backbone's weights are there, and prints where."""
    found = find_weights(name)
    console.print(f"{name}: {found.path}\nsha256 {found.sha256}", soft_wrap=True)
    return 0


def fetch_hub_model(entry: HubModel) -> int:
    """Makes sure that a model of the hub is there, and prints where."""
    if entry.gated:
        console.print(f"{entry.name}: {entry.license}; read it on the page of {entry.hub} before you use it")
    folder = fetch_from_hub(entry.hub)
    console.print(f"{entry.name}: {folder}", soft_wrap=True)
    return 0
