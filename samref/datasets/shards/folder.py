"""A folder of masks split into folders of links, and the refined files moved together again."""

from __future__ import annotations

import os
from pathlib import Path

from samref.datasets.folder.folder import Folder
from samref.datasets.shards.plan import REFINED, Plan, check_output
from samref.errors import DatasetError
from samref.io.atomic import copy_file


def split_folder(images: Path, masks: Path, count: int, folder: Path) -> None:
    """Makes `folder/K/images` and `folder/K/masks` for each shard K, with links to the files: none is copied.

    Args:
        images: folder of the images.
        masks: folder of the coarse masks, named as for `dataset=folder`.
        count: of shards, at least 1.
        folder: made when needed; what is there already is left as it is.

    Raises:
        DatasetError: if there are fewer images than shards, or the folder holds other shards.
    """
    plan = Plan.of("folder", masks, images, count)
    if not plan.begin(folder):
        return
    data = Folder(images, masks)
    if len(data) < count:
        raise DatasetError(f"{masks} has masks of {len(data)} images, fewer than {count} shards; choose fewer shards")
    for index in range(len(data)):
        image, *files = data.sample_files(index)
        place = folder / str(index % count)
        _link(image, place / "images" / image.relative_to(images))
        for path in files:
            _link(path, place / "masks" / path.relative_to(masks))
    plan.end(folder)


def merge_folder(plan: Plan, folder: Path, output: Path) -> Path:
    """Copies the refined files of all shards below one folder; each is there complete or not at all.

    Args:
        plan: of the folder.
        folder: of the shards, refined.
        output: of the merged files; those of an earlier merge are replaced.

    Returns:
        The output.

    Raises:
        DatasetError: if a shard is not refined yet.
    """
    check_output(output, [folder, Path(plan.source), Path(plan.images)])
    for k in range(plan.count):
        for path in _files(folder / str(k) / "masks"):
            if not (folder / str(k) / REFINED / path).is_file():
                raise DatasetError(
                    f"{path} of shard {k} of {folder} is not refined yet; run the command that `samref shards split` "
                    "printed again, which goes on from there, and look at `failures` in that shard's report.json"
                )
    for k in range(plan.count):
        for path in _files(folder / str(k) / "masks"):
            copy_file(folder / str(k) / REFINED / path, output / path)
    return output


def _files(folder: Path) -> list[Path]:
    return sorted(Path(place, name).relative_to(folder) for place, _, names in os.walk(folder) for name in names)


def _link(path: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(path.resolve())
