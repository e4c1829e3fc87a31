"""Composing needs nothing of Hydra's global state, and leaves it as it was."""

import asyncio
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from hydra import compose, initialize_config_dir, version
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import Hydra14MigrationWarning
from omegaconf import OmegaConf

from samref import SAMRefiner
from samref.config.compose import compose_config, plain
from samref.config.shipped import config_dir, shipped_folder
from tests.processes import forked, python

# A Hydra application of somebody else's, with options that have the names of ours.
APPLICATION = """
import sys
import hydra, numpy as np
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from samref import SAMRefiner

@hydra.main(config_path="conf", config_name="main", version_base={version_base})
def main(cfg):
    before = GlobalHydra.instance().hydra
    masks = np.zeros((1, 64, 80), bool)
    masks[0, 20:40, 20:60] = True
    found = []
    for omega in (cfg.omega, 2 * cfg.omega):
        refiner = SAMRefiner.from_pretrained("tiny", device="cpu", overrides=[f"prompts.mask.omega={{omega}}"])
        refiner.refine(np.full((64, 80, 3), 90, np.uint8), masks)
        found.append(refiner.prompts.mask.omega)
    job = HydraConfig.get().job
    assert GlobalHydra.instance().hydra is before
    print(job.name, job.num if "num" in job else 0, job.config_name, instantiate(cfg.part), cfg.dataset, *found)

main()
"""


@pytest.fixture
def application(tmp_path):
    (tmp_path / "conf").mkdir()
    main = "omega: 3\ndataset: theirs\npart:\n  _target_: builtins.complex\n  real: 1\n  imag: 2\n"
    (tmp_path / "conf" / "main.yaml").write_text(main)

    def run(*words, version_base="None"):
        (tmp_path / "theirs.py").write_text(textwrap.dedent(APPLICATION).format(version_base=version_base))
        return forked(tmp_path / "theirs.py", *words, cwd=tmp_path)

    return run


@pytest.mark.parametrize("version_base", ["None", '"1.1"'])
def test_inside_another_hydra_application(application, version_base):
    done = application("omega=4", version_base=version_base)
    assert done.stdout.splitlines() == ["theirs 0 main (1+2j) theirs 4 8"], done.stderr


def test_inside_another_hydra_applications_sweep(application):
    done = application("-m", "omega=4,5")
    lines = [line for line in done.stdout.splitlines() if line.startswith("theirs")]
    assert lines == ["theirs 0 main (1+2j) theirs 4 8", "theirs 1 main (1+2j) theirs 5 10"], done.stderr


def test_twice_with_different_options():
    first = SAMRefiner.from_pretrained("tiny", device="cpu", prompts="box", iterations=2)
    second = SAMRefiner.from_pretrained("tiny", device="cpu", preset="released", selection="coarse")
    assert (set(first.prompts.use), first.iterations, first.selection) == ({"box"}, 2, "predicted")
    assert (set(second.prompts.use), second.iterations, second.selection) == ({"point", "box", "mask"}, 5, "coarse")
    assert (first.prompts.mask.form, second.prompts.mask.form) == ("center", "edt")


def test_in_threads():
    def composed(number):
        return plain(compose_config(["dataset=folder", f"prompts.mask.omega={number}", f"dataset.images=d{number}"]))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(composed, range(1, 17)))
    assert [(cfg["prompts"]["mask"]["omega"], cfg["dataset"]["images"]) for cfg in found] == [
        (number, f"d{number}") for number in range(1, 17)
    ]


def test_inside_a_notebook_that_composes_itself(tmp_path):
    """Notebooks call `initialize` once, compose again and again, and their cells run inside an event loop."""
    (tmp_path / "mine.yaml").write_text("a: 1\n")

    async def cell():
        return SAMRefiner.from_pretrained("tiny", device="cpu", prompts="point")

    with initialize_config_dir(config_dir=str(tmp_path), version_base="1.2"):
        assert asyncio.run(cell()).prompts.use == {"point"}
        assert compose("mine", ["a=2"]) == OmegaConf.create({"a": 2})
        assert version.getbase() == version.Version("1.2")


def test_nothing_global_is_left(monkeypatch):
    monkeypatch.setattr(version.VersionBase.instance(), "version_base", version._UNSPECIFIED_)
    compose_config(["prompts=box"])
    assert not GlobalHydra.instance().is_initialized()
    assert not HydraConfig.initialized()
    with pytest.warns(Hydra14MigrationWarning, match="version_base"):
        version.setbase(version._UNSPECIFIED_)


def test_composing_imports_nothing_heavy(tmp_path):
    program = "import sys; from samref.config.compose import compose_config; compose_config(['dataset=coco']); "
    program += "print(sorted({'torch', 'numpy', 'lightning', 'rich', 'scipy'} & set(sys.modules)))"
    done = python("-c", program, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_folders_that_are_shipped_are_found():
    assert (config_dir() / "config.yaml").is_file()
    assert (shipped_folder("experiments") / "davis_ablation" / "table.yaml").is_file()
