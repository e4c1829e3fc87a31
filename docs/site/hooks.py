"""Pages that are made from files of the repository, so that nothing is written twice."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from rich.console import Console

from samref.datasets.sources.coarse_masks import COARSE, REFINERS, describe_maker
from samref.report.tables import show_tables

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
SECTION, PLACE = "The paper", "Tables and figures"
MAKERS = "paper/makers.md"
COPIES = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
"""Pages that are a file of the repository, word for word."""


def on_config(config: Any) -> Any:
    """Lists the pages of all experiments in the navigation."""
    (section,) = (entry[SECTION] for entry in config.nav if SECTION in entry)
    (place,) = (entry for entry in section if PLACE in entry)
    place[PLACE] = [f"paper/{folder.name}.md" for folder in folders()]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages."""
    tables = measured_tables()
    for folder in folders():
        text = (folder / "README.md").read_text(encoding="utf-8")
        if folder.name in tables:
            text += f'\n<div class="measured" markdown>\n\n{tables[folder.name]}\n</div>\n'
        files.append(File.generated(config, f"paper/{folder.name}.md", content=text))
    files.append(File.generated(config, MAKERS, content=makers_page()))
    for page, name in COPIES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def makers_page() -> str:
    """Whose code makes the paper's coarse masks, what `samref datasets makers` prints, as Markdown."""
    parts = [
        "# Where coarse masks come from\n\nWhose code makes the masks that the paper refines or compares with,\nby "
        "which command, and what hands them to a run here, as `samref datasets makers` prints it.\nCapital letters "
        "stand for files. Commands are run in the other repository, in its own environment.\n"
    ]
    for heading, makers in (("Coarse masks", COARSE), ("Masks of other refiners", REFINERS)):
        parts.append(f"## {heading}\n")
        for name, maker in makers.items():
            address, _, place = maker.repository.partition(" ")
            lines = "\n".join(describe_maker(maker))
            where = f"[{address}](https://{address}) {place}".rstrip()
            parts.append(f"### {name}\n\nTable {maker.tables}: {where}\n\n```text\n{lines}\n```\n")
    return "\n".join(parts)


def folders() -> list[Path]:
    """Folders of `experiments/`: tables in the paper's order, figures, and what is not in the paper."""
    return sorted((path.parent for path in EXPERIMENTS.glob("*/README.md")), key=_order)


def measured_tables() -> dict[str, str]:
    """For each table's folder the published numbers beside those measured here, as Markdown."""
    with tempfile.TemporaryDirectory() as written:
        show_tables([], EXPERIMENTS, Path(written), Console(quiet=True))
        return {path.stem: path.read_text(encoding="utf-8") for path in Path(written).glob("*.md")}


def _order(folder: Path) -> tuple[int, int, str]:
    heading = (folder / "README.md").read_text(encoding="utf-8").partition("\n")[0]
    found = re.match(r"# (Table|Fig)s?\.? (\d+)", heading)
    return (2, 0, heading) if found is None else (("Table", "Fig").index(found[1]), int(found[2]), heading)
