"""A COCO file of any length split by images, and the refined shards put together in the order of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from samref.datasets.shards.plan import REFINED, Plan, check_output, shard_of
from samref.errors import DatasetError
from samref.io.atomic import atomic_path
from samref.io.json_stream import Element, ElementWriter, open_for, read_elements, write_elements

LISTS = ("images", "annotations")


def split_coco(source: Path, count: int, folder: Path) -> None:
    """Writes `folder/K/NAME.json` for each shard K: all masks of an image are in one, in the order of the source.

    Every shard has what is neither an image nor a mask. What is there already is left as it is.

    Args:
        source: results or annotations.
        count: of shards, at least 1.
        folder: made when needed.

    Raises:
        DatasetError: if the source is not JSON, or the folder holds other shards.
    """
    plan = Plan.of("coco", source, None, count)
    if not plan.begin(folder):
        return
    with ExitStack() as stack:
        writers = []
        for k in range(count):
            path = stack.enter_context(atomic_path(folder / str(k) / f"{source.stem}.json"))
            writers.append(ElementWriter(stack.enter_context(open_for(path))))
        masks = [0] * count
        for element in read_elements(source, LISTS):
            if element.kind == "entry":
                shard = _shard(element, count)
                masks[shard] += _is_mask(element)
                writers[shard].write(element)
            else:
                for writer in writers:
                    writer.write(element)
        if not all(masks):
            raise DatasetError(
                f"{source} has {sum(masks)} masks, and {masks.count(0)} of {count} shards would have none; choose "
                "fewer shards"
            )
        for writer in writers:
            writer.close()
    plan.end(folder)


def merge_coco(plan: Plan, folder: Path, output: Path) -> Path:
    """Writes `output/NAME.json`: the source with every mask as its shard has refined it.

    Args:
        plan: of the folder.
        folder: of the shards, refined.
        output: folder of the merged file.

    Returns:
        The file.

    Raises:
        DatasetError: if a shard is not refined yet, or holds other masks than the source.
    """
    source = Path(plan.source)
    check_output(output, [folder])
    target = output / f"{source.stem}.json"
    if target.resolve() == source.resolve():
        raise DatasetError(f"{target} is what was split; choose another folder for the merged masks")
    paths = [folder / str(k) / REFINED / f"{source.stem}.json" for k in range(plan.count)]
    missing = [str(k) for k, path in enumerate(paths) if not path.is_file()]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {plan.count} shards of {folder} are not refined yet: {', '.join(missing[:10])}; run "
            "the command that `samref shards split` printed again, which goes on from there"
        )
    write_elements(target, _merged(source, paths, plan.count))
    return target


def _merged(source: Path, paths: list[Path], count: int) -> Iterator[Element]:
    refined = [(element for element in read_elements(path, LISTS) if _is_mask(element)) for path in paths]
    for element in read_elements(source, LISTS):
        if not _is_mask(element):
            yield element
            continue
        shard = _shard(element, count)
        found = next(refined[shard], None)
        if found is None or _image(found.value) != _image(element.value):
            raise DatasetError(f"{paths[shard]} holds other masks than {source}; refine that shard again")
        yield found
    for path, rest in zip(paths, refined, strict=True):
        if next(rest, None) is not None:
            raise DatasetError(f"{path} holds more masks than {source}; refine that shard again")


def _is_mask(element: Element) -> bool:
    return element.kind == "entry" and element.key != "images"


def _shard(element: Element, count: int) -> int:
    if not isinstance(element.value, dict):
        return 0
    return shard_of(element.value.get("id" if element.key == "images" else "image_id"), count)


def _image(record: Any) -> Any:
    return record.get("image_id") if isinstance(record, dict) else None
