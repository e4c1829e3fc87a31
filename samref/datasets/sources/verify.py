"""Checks that a data set lies on disk as it should, and lists what was found or is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from samref.config.compose import build, compose_config
from samref.datasets.dataset import MaskDataset
from samref.errors import ConfigError, InputError
from samref.structures import Failure

SHOWN = 10


def configured(name: str, settings: Sequence[str]) -> MaskDataset:
    """The data set that `python run.py dataset=NAME dataset.KEY=VALUE ...` would use.

    Args:
        name: option of the group `dataset`.
        settings: `KEY=VALUE`, with or without `dataset.` before it.

    Raises:
        ConfigError: for an unknown name or key.
        DatasetError: naming what is missing.
    """
    cfg = compose_config([f"dataset={name}"])
    for setting in settings:
        key, separator, value = setting.removeprefix("dataset.").partition("=")
        if not separator:
            raise ConfigError(f"{setting} is no setting; expected KEY=VALUE, such as root=DIR")
        try:
            # The dot list's own parser: numbers, booleans and null as on the command line, paths as they are.
            parsed = OmegaConf.select(OmegaConf.from_dotlist([f"value={value}"]), "value")
            OmegaConf.update(cfg.dataset, key, parsed)
        except OmegaConfBaseException:
            known = ", ".join(str(known) for known in cfg.dataset if known != "_target_")
            raise ConfigError(f"data set {name} has no option {key}; expected one of {known}") from None
    dataset: MaskDataset = build(cfg.dataset)
    return dataset


def findings(dataset: MaskDataset, everything: bool) -> tuple[str, bool]:
    """Reads samples and lists what was found.

    Args:
        dataset: whose constructor found no fault.
        everything: read all samples; else the first, the middle and the last.

    Returns:
        Lines of text, and whether no sample read was at fault.
    """
    count = len(dataset)
    chosen: Sequence[int] = range(count) if everything else sorted({0, count // 2, count - 1} & {*range(count)})
    masks, failures = 0, list[Failure]()
    for index in chosen:
        try:
            sample = dataset[index]
        except InputError as error:
            failures.append(Failure(dataset.image_id(index), str(error)))
            continue
        masks += len(sample.masks)
        failures += sample.meta.get("problems", ())
    lines = [f"{dataset.name}: {count} images with coarse masks, scored by {dataset.protocol}"]
    lines += _listed("known before reading", list(dataset.problems))
    lines.append(f"  {len(chosen)} images read, {masks} masks")
    lines += _listed("found in reading", failures)
    if not everything and len(chosen) < count:
        lines.append("  --all reads every image")
    return "\n".join(lines), not failures


def _listed(title: str, failures: Sequence[Failure]) -> Iterator[str]:
    if not failures:
        return
    kinds: Counter[Any] = Counter(failure.reason.rpartition(": ")[2] for failure in failures)
    yield f"  {len(failures)} problems {title}; they are left as they are and reported"
    for failure in failures[:SHOWN]:
        yield f"    {failure.reason}"
    if len(failures) > SHOWN:
        yield "    ... in all: " + ", ".join(f"{number} x {kind}" for kind, number in kinds.most_common(SHOWN))
