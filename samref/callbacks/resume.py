"""What a run has finished, image by image, so that a killed run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

from samref.callbacks.run_statistics import Tally
from samref.io.atomic import append_sealed, changed_files, missing_files, sealed_lines


class Journal:
    """One line of JSON an image, on disk before the next image is taken up.

    A line that a killed process left unfinished is cut off and its image done again.
    """

    def __init__(self, folder: Path) -> None:
        """Reads what is there.

        Args:
            folder: of the run; its journals are `.journal-RANK.jsonl`.
        """
        self.folder = folder
        self.done: dict[Hashable, Tally] = {}
        for path in sorted(folder.glob(".journal-*.jsonl")):
            for line in sealed_lines(path):
                # An image that could not be read may have been mended, and a line that the disk spoiled says nothing.
                with suppress(KeyError, TypeError, ValueError, AttributeError):
                    image, tally = line["image"], Tally.from_json(line["tally"])
                    if tally.images and not missing_files(tally.files):
                        self.done[image] = tally

    def changed(self) -> list[str]:
        """Files that were written, but do not hold any more what was written."""
        return [path for tally in self.done.values() for path in changed_files(tally.files)]

    def append(self, rank: int, image_id: str | int, tally: Tally) -> None:
        """Notes that an image's masks are written."""
        line = {"image": image_id, "tally": tally.as_json()}
        append_sealed(self.folder / f".journal-{rank}.jsonl", line)

    def clear(self) -> None:
        """Forgets everything: the run is finished, or starts anew."""
        self.done = {}
        for path in self.folder.glob(".journal-*.jsonl"):
            path.unlink()
