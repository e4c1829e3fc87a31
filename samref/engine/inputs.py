"""What goes into a run: options, and the content of every file that is read."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hydra.utils import get_object

from samref.callbacks.resume import Wanted
from samref.datasets.dataset import MaskDataset
from samref.io.manifest import Manifest

# Groups that read nothing which changes a mask, and the data set, which names its files itself.
ASIDE = ("dataset", "logger", "callbacks", "trainer", "paths", "hydra_choices")


@dataclass(frozen=True)
class Inputs:
    """Hashes of what goes into a run.

    Attributes:
        common: of the options, of the files that they name (weights, another tool's masks), and of samref's results.
        dataset: of the files that the data set as one is made of, and of what it found wrong or decided in them.
        samples: of each sample's files and records, by its id and in the data set's order; empty for ids that several
            samples have, which are refined every time.
        names: of each sample's objects, where they are places in a file of the data set.
    """

    common: str
    dataset: str
    samples: Mapping[Hashable, str]
    names: Mapping[Hashable, Sequence[Any] | None]

    @property
    def identity(self) -> str:
        """Hash of everything: two runs of one identity leave the same masks and numbers."""
        return digest([self.common, self.dataset, list(self.samples.items()), list(self.names.values())])

    def wanted(self, *more: str) -> dict[Hashable, Wanted]:
        """What the result of each sample must be known by.

        Args:
            more: what decides the results beside options and inputs, such as a trained adaptor.
        """
        return {
            image_id: Wanted(digest([self.common, *more, sample]) if sample else "", self.names[image_id])
            for image_id, sample in self.samples.items()
        }


def read_inputs(
    options: Mapping[str, Any], config: Mapping[str, Any], dataset: MaskDataset, count: int, manifest: Manifest
) -> Inputs:
    """Hashes what goes into a run; files that did not move since an earlier run are not read again.

    Args:
        options: those that can change a result, and the version of the results.
        config: the resolved configuration.
        dataset: what is refined.
        count: samples of it that the run is limited to.
        manifest: of the run.
    """
    named = {option: manifest.digest(path) for option, path in named_files(config)}
    listed = [manifest.digest(path) for path in dataset.input_files()]
    problems = [[problem.image_id, problem.reason] for problem in dataset.problems]
    ids: list[Hashable] = [dataset.image_id(index) for index in range(count)]
    repeated = {image_id for image_id, times in Counter(ids).items() if times > 1}
    samples = {
        image_id: "" if image_id in repeated else sample_digest(dataset, index, manifest)
        for index, image_id in enumerate(ids)
    }
    names = {image_id: dataset.object_ids(index) for index, image_id in enumerate(ids)}
    return Inputs(digest([options, named]), digest([listed, problems, list(dataset.warnings)]), samples, names)


def sample_digest(dataset: MaskDataset, index: int, manifest: Manifest) -> str:
    """Hash of all that a sample is made of."""
    files = [[str(path), manifest.digest(path)] for path in dataset.sample_files(index)]
    return digest([dataset.image_id(index), files, dataset.sample_content(index)])


def named_files(config: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """Files and folders that options name: those whose constructor takes a `Path` there, by the option's key."""
    for group, node in config.items():
        if group not in ASIDE:
            yield from _named(str(group), node)


def digest(value: Any) -> str:
    """Hash of JSON values, 32 characters."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _named(key: str, node: Any) -> Iterator[tuple[str, Path]]:
    if isinstance(node, Mapping):
        paths = _path_arguments(node.get("_target_"))
        for name, value in node.items():
            if name in paths and isinstance(value, str):
                yield f"{key}.{name}", Path(value).expanduser()
            yield from _named(f"{key}.{name}", value)
    elif isinstance(node, (list, tuple)):
        for place, value in enumerate(node):
            yield from _named(f"{key}.{place}", value)


def _path_arguments(target: Any) -> set[str]:
    if not isinstance(target, str):
        return set()
    try:
        made_by = get_object(target)
        hints = get_type_hints(inspect.getattr_static(made_by, "__init__") if isinstance(made_by, type) else made_by)
    except Exception:  # building the part says what is wrong with it
        return set()
    return {name for name, hint in hints.items() if hint is Path or Path in get_args(hint)}
