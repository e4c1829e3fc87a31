"""What a run refines: its samples, and what their files hold."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from samref.callbacks.resume import Wanted
from samref.config.compose import build
from samref.datasets.dataset import MaskDataset
from samref.datasets.loader import Samples
from samref.engine.identity import RESULTS_VERSION, material
from samref.engine.inputs import Inputs, read_inputs
from samref.engine.job import first_process
from samref.engine.run_config import RunConfig
from samref.io.manifest import Manifest

INPUTS = ".inputs.json"


@dataclass(frozen=True)
class Data:
    """What is refined, and what is known of its files.

    Attributes:
        samples: of the data set, as many as the run is limited to.
        inputs: hashes of all that goes into the run.
        manifest: of the files that were hashed.
    """

    samples: Samples
    inputs: Inputs
    manifest: Manifest

    @classmethod
    def of(cls, config: RunConfig) -> Data:
        """Builds the data set and hashes what goes into the run.

        Raises:
            DatasetError: if files of the data set are missing.
            ConfigError: for a data set that cannot be built.
        """
        dataset: MaskDataset = build(config.dataset)
        samples = Samples(dataset, config.limit, config.on_error)
        manifest = Manifest(config.folder / INPUTS)
        options = {"options": material(config.resolved), "results": RESULTS_VERSION}
        inputs = read_inputs(options, config.resolved, dataset, len(samples), manifest)
        if first_process():
            manifest.save()
        return cls(samples, inputs, manifest)

    @property
    def dataset(self) -> MaskDataset:
        """Whose samples they are."""
        return self.samples.dataset

    def keys(self, wanted: Mapping[Hashable, Wanted]) -> Callable[[Hashable], Wanted]:
        """What each image's result is recorded under: no key if its files were written while it was refined.

        Args:
            wanted: key of each image, in the order of samples.
        """
        places = {image_id: place for place, image_id in enumerate(wanted)}

        def key(image_id: Hashable) -> Wanted:
            files = self.dataset.sample_files(places[image_id])
            moved = any(self.manifest.moved(path) for path in files)
            return Wanted("", wanted[image_id].names) if moved else wanted[image_id]

        return key
