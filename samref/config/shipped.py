"""Where the folders are that stand at the repository's top and travel inside the wheel: `conf`, `experiments`."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folder(name: str) -> Path:
    """A folder that is shipped with the package.

    Args:
        name: `conf` or `experiments`.

    Returns:
        `samref/<name>` of an installed wheel, else the one beside the package: a checkout, or an editable install.
    """
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def config_dir() -> Path:
    """The folder of the configuration."""
    return shipped_folder("conf")
