"""What `samref pictures` draws: masks of several runs of one data set, chosen by what the runs did to them."""

from __future__ import annotations

import csv
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from samref.config.compose import build, compose_config
from samref.datasets.dataset import MaskDataset
from samref.errors import ConfigError, InputError
from samref.geometry.masks import pair_iou
from samref.io.atomic import write_png
from samref.refiners.external import External
from samref.report.plain import differing_keys
from samref.report.runs import MISSING, Run, as_text, read_run
from samref.structures import BoolArray, Prompts, Sample
from samref.visualization.drawing import stack_rows
from samref.visualization.gallery_items import truth_of
from samref.visualization.side_by_side import Refined, draw_row

REFINER = "hydra_choices.refiner"


@dataclass(frozen=True)
class Masks:
    """A run, and where its masks lie."""

    run: Run
    name: str
    source: External
    prompts: dict[tuple[str, str], Prompts]


def draw(folders: Sequence[Path], by: str, limit: int, names: Sequence[str], prompts: bool, out: Path) -> None:
    """Writes the picture of several runs.

    Args:
        folders: of the runs.
        by: which masks are shown, one of `samref.cli.pictures.ORDERS`.
        limit: masks at most.
        names: only masks whose image and object contain one of these texts; all where there are none.
        prompts: whether points and boxes are drawn.
        out: the picture, PNG.

    Raises:
        SamrefError: for runs that cannot be compared, or without a mask to show.
    """
    runs = open_runs([read_run(folder / "report.json") for folder in folders], prompts)
    dataset = open_dataset(runs[0].run)
    rows = [_row(dataset[index], k, runs) for index, k in choose(dataset, runs, by, limit, names)]
    write_png(out, stack_rows(rows))


def open_runs(runs: Sequence[Run], prompts: bool) -> list[Masks]:
    """The masks of runs of one data set, named by what differs between the runs.

    Args:
        runs: the runs.
        prompts: whether their prompts are read, too.

    Raises:
        ConfigError: if they are of different data sets.
        InputError: if a run wrote no masks.
    """
    first = runs[0]
    for other in runs[1:]:
        if _place(other) != _place(first):
            raise ConfigError(
                f"{first.path.parent} and {other.path.parent} are runs of different data; expected runs of the same one"
            )
    return [
        Masks(run, name, _source(run), _read_prompts(run.path.with_name("samples.csv")) if prompts else {})
        for run, name in zip(runs, names_of(runs), strict=True)
    ]


def names_of(runs: Sequence[Run]) -> list[str]:
    """Names by which the runs differ: their refiners where these do, else the options in which they differ."""
    for keys in ((REFINER,), differing_keys(runs)):
        values = [[run.config(key) for key in keys] for run in runs]
        # A refiner without a backbone has none to be named by.
        names = [" ".join(as_text(value) for value in found if value is not MISSING) for found in values]
        if len(set(names)) == len(names):
            break
    return names


def open_dataset(run: Run) -> MaskDataset:
    """The data set of a run; label maps by whole categories, which every run has, whatever it refined them as."""
    config = OmegaConf.create({"dataset": run.config("dataset")})
    if "stm" in config.dataset:
        config.dataset.stm.enabled = False
    dataset: MaskDataset = build(config.dataset)
    return dataset


def choose(
    dataset: MaskDataset, runs: Sequence[Masks], by: str, limit: int, names: Sequence[str]
) -> list[tuple[int, int]]:
    """Which masks are shown, as indices of image and mask, those of the strongest effect first.

    Args:
        dataset: of the runs.
        runs: the runs.
        by: one of `samref.cli.pictures.ORDERS`.
        limit: masks at most.
        names: only masks whose image and object contain one of these texts.

    Raises:
        InputError: if there is none, or the order needs a ground truth or another run that is not there.
    """
    if by in ("lead", "lag") and len(runs) < 2:
        raise InputError(f"--by {by} compares with another run; give one, or --by gain")
    found = heapq.nlargest(limit, _scored(dataset, runs, by, names), key=lambda one: (one[0], -one[1], -one[2]))
    if not found:
        raise InputError("no mask of these runs fits; give other --names, or none")
    return [(index, k) for _, index, k in found]


def _scored(
    dataset: MaskDataset, runs: Sequence[Masks], by: str, names: Sequence[str]
) -> Iterator[tuple[float, int, int]]:
    limit = runs[0].run.config("limit")
    for index in range(min(len(dataset), limit if isinstance(limit, int) else len(dataset))):
        sample = dataset[index]
        refined: list[BoolArray] = []
        for k, name in enumerate(sample.object_ids):
            if not sample.masks[k].any() or not _is_named(f"{sample.image_id} {name}", names):
                continue
            refined = refined or [one.source.refine_sample(sample).masks for one in runs]
            yield _effect(sample, k, [masks[k] for masks in refined], by), index, k


def _effect(sample: Sample, k: int, refined: Sequence[BoolArray], by: str) -> float:
    if by == "change":
        return 1 - pair_iou(refined[0], sample.masks[k])
    truth = truth_of(sample, k)
    if truth is None:
        raise InputError(f"image {sample.image_id} has no ground truth, which --by {by} needs; give --by change")
    ious = [pair_iou(mask, truth) for mask in (sample.masks[k], *refined)]
    gain = ious[1] - ious[0]
    lead = ious[1] - max(ious[2:], default=ious[0])
    return {"gain": gain, "loss": -gain, "lead": lead, "lag": -lead}[by]


def _is_named(name: str, names: Sequence[str]) -> bool:
    return not names or any(text in name for text in names)


def _row(sample: Sample, k: int, runs: Sequence[Masks]) -> Any:
    key = str(sample.image_id), str(sample.object_ids[k])
    one = replace(sample, masks=sample.masks[k : k + 1], object_ids=(sample.object_ids[k],))
    columns = [
        Refined(run.name, run.source.refine_sample(sample).masks[k], run.prompts.get(key, Prompts())) for run in runs
    ]
    return draw_row(one.image, one.masks[0], columns, truth_of(sample, k), " ".join(key))


def _source(run: Run) -> External:
    masks = run.path.parent / "masks"
    if not masks.is_dir():
        raise InputError(f"{run.path.parent} holds no masks; run that job again with save_masks=true force=true")
    files = list(masks.glob("*.json"))
    choice = as_text(run.config("hydra_choices.dataset"))
    config = compose_config([f"dataset={choice}", "refiner=external"])
    config.dataset = run.config("dataset")
    config.refiner.masks = str(files[0] if len(files) == 1 else masks)
    source: External = build(config.refiner)
    return source


def _place(run: Run) -> dict[str, Any]:
    """What of a data set's options decides which images and coarse masks there are."""
    dataset = run.config("dataset")
    return {key: value for key, value in dataset.items() if key not in ("stm", "output", "cache")}


def _read_prompts(path: Path) -> dict[tuple[str, str], Prompts]:
    """The prompts of each mask by image and object, from a run's table of samples."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {(row["image"], row["object"]): _prompts(row) for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table of samples ({error}); run that job again") from error


def _prompts(row: dict[str, str]) -> Prompts:
    names = {1: "positive", 0: "negative"}
    points = [
        (float(row[f"{name}_x"]), float(row[f"{name}_y"]), label)
        for label, name in names.items()
        if row.get(f"{name}_x") and row.get(f"{name}_y")
    ]
    corners = [row.get(corner) for corner in ("x0", "y0", "x1", "y1")]
    table = np.array(points, np.float32).reshape(1, -1, 3)
    return Prompts(
        table[..., :2] if points else None,
        table[..., 2].astype(np.int64) if points else None,
        np.array([corners], np.float32) if all(corners) else None,
    )
