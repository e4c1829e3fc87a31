"""Lists of names, one a line, as benchmarks' splits are."""

from __future__ import annotations

from pathlib import Path

from samref.errors import DatasetError


def read_lines(path: Path) -> list[list[str]]:
    """The words of each line that holds any.

    Raises:
        DatasetError: if the file cannot be read as text, or a word would lead out of the folders that names are
            looked up in and written to.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path} cannot be read as a list of names ({error}); expected text, one name a line"
        ) from None
    words = [line.split() for line in lines if line.strip()]
    for name in (word for line in words for word in line):
        if ".." in Path(name).parts or "\0" in name:
            raise DatasetError(f"{path} holds the name {name!r}, which leads out of the data set's folder; remove it")
    return words
