"""Every command that an experiment file or a table prints runs as it stands, on miniature data and a tiny model."""

import shlex
from functools import lru_cache
from importlib.util import find_spec

import cv2
import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import open_dict

from samref.backbones.open import open_backbone
from samref.backbones.tiny import TinySam
from samref.config.compose import compose_config
from samref.config.shipped import config_dir
from samref.engine import parts, runner
from samref.report.comparison import compare
from samref.report.published import read_tables
from samref.report.runs import find_reports, read_runs
from samref.report.tables import EXPERIMENTS
from samref.training.networks.backbone_aspp import BackboneAspp
from samref.training.networks.solov2.network import SoloV2
from tests.miniatures import make_miniature
from tests.refiners.networks import patch_networks

FILES = sorted((config_dir() / "experiment").glob("*.yaml"))
TABLES = read_tables(EXPERIMENTS)
METRICS = {
    "davis585": {"iou", "iou_mean", "boundary_iou"},
    "scenes": {"iou", "iou_mean", "boundary_iou"},
    "coco": {"ap_box", "ap_mask", "ap_boundary"},
    "lvis": {"ap_box", "ap_mask", "ap_boundary"},
    "voc": {"miou"},
    "folder": {"miou"},
    "big": {"iou", "mba"},
    "relabeled_voc": {"iou", "mba"},
}
# Said last, so that it wins; all else of a command stays as it is printed.
SMALL = ["limit=1", "callbacks.progress=false", "callbacks.picture=0", "callbacks.gallery=0", "logger=none"]
NAMES = ("row.", "dataset.predictions=", "dataset.annotations=")


def header_commands(path):
    """The words of each command in a file's header; `...` stands for those of the first."""
    lines = [line.removeprefix("#").strip() for line in path.read_text().splitlines() if line.startswith("#")]
    found = [shlex.split(line)[2:] for line in lines if line.startswith("python run.py")]
    return [spelled_out(words, found[0]) for words in found]


def spelled_out(words, first):
    if "..." not in words:
        return words
    said = {word.split("=")[0] for word in words}
    return [word for word in words if word != "..."] + [word for word in first if word.split("=")[0] not in said]


@lru_cache
def settings(experiment):
    """The mode that Hydra runs an experiment in, and the experiment's own grid."""
    with initialize_config_dir(config_dir=str(config_dir()), version_base="1.3"):
        cfg = compose("config", overrides=[experiment], return_hydra_config=True)
    return cfg.hydra.mode, [f"{key}={value}" for key, value in (cfg.hydra.sweeper.params or {}).items()]


def jobs_of(words):
    """What Hydra makes of a command: the overrides of each job."""
    (experiment,) = [word for word in words if word.startswith("+experiment=")]
    mode, grid = settings(experiment)
    own = [word for word in words if word != "-m"]
    (jobs,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides([*grid, *own]), None)
    assert mode == RunMode.MULTIRUN or "-m" in words or len(jobs) == 1, "Hydra would refuse to sweep"
    return [list(job) for job in jobs]


class SmoothingNetwork:
    """Stands in for CascadePSP's network, whose weights lie elsewhere."""

    device = "cpu"

    def refine(self, image, mask, fast, L):
        return cv2.blur(mask, (3, 3))


@pytest.fixture(scope="module", autouse=True)
def models_without_weights():
    """Whatever backbone or network a command names, a small one is run."""
    with pytest.MonkeyPatch.context() as patch:
        tiny = compose_config(["backbone=tiny"]).backbone
        patch.setattr(parts, "open_backbone", lambda cfg: open_backbone(tiny))
        patch.setattr("samref.refiners.cascade_psp.load_network", lambda device, model_folder: SmoothingNetwork())
        patch_networks(patch)
        patch.setattr("samref.engine.training.build_network", small_network)
        if find_spec("pydensecrf") is None:
            patch.setattr("samref.refiners.dense_crf._import_package", lambda: None)
            patch.setattr("samref.refiners.dense_crf.DenseCrf._pairwise", lambda self, image: None)
            patch.setattr("samref.refiners.dense_crf.DenseCrf._infer", lambda self, crf, mask: 2 * mask - 1.0)
        parts.load_backbone.cache_clear()
        yield
    parts.load_backbone.cache_clear()


def small_network(part, backbone, classes, images=None):
    """What any network is for a run: losses to follow, label maps or instances to score."""
    if part._target_.endswith(("BackboneAspp", "DeepLabV2")):
        return BackboneAspp(classes, TinySam(device="cpu"), width=8, dilations=[1], dropout=0.0, flip=0.0)
    ranges = [[1, 24], [12, 48], [24, 96], [48, 192], [96, 512]]
    return SoloV2(classes, "resnet18", 64, 96, False, 5, [8, 6, 4, 3, 2], ranges, width=16, kernel=16)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs a job in the folder of its data set; reports go below `run.base / "outputs"`, where each is made once."""
    base = tmp_path_factory.mktemp("experiments")
    made = {}

    def go(job):
        cfg = compose_config([*job, *SMALL, f"paths.outputs={base / 'outputs'}"])
        dataset = cfg.hydra_choices.dataset
        if dataset not in made:
            made[dataset] = base / dataset
            make_miniature(dataset, made[dataset])
        if dataset == "scenes":
            cfg.dataset.size = [64, 80]
        if "points_per_side" in cfg.refiner:
            cfg.refiner.points_per_side = 4
        if "network" in cfg:
            with open_dict(cfg):
                cfg.trainer.max_steps, cfg.trainer.accelerator, cfg.schedule.batch_size = 1, "cpu", 1
        if "min_area" in cfg.refiner:
            # Miniature masks are smaller than what SegRefiner's instance mode refines.
            cfg.refiner.min_area = 1
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(made[dataset])
            return runner.run(cfg)

    go.base = base
    return go


HEADERS = [
    pytest.param(path.stem, words, id=f"{path.stem}-{k}")
    for path in FILES
    for k, words in enumerate(header_commands(path))
]


def test_every_experiment_says_how_it_is_run():
    assert {case.values[0] for case in HEADERS} | {"demo"} == {path.stem for path in FILES}


@pytest.mark.parametrize(("experiment", "words"), [*HEADERS, ("demo", ["+experiment=demo"])])
def test_the_commands_of_an_experiment_run(experiment, words, run):
    jobs = jobs_of(words)
    assert f"+experiment={experiment}" in words
    report = run(jobs[0])
    choices = report["config"]["hydra_choices"]
    for part in ("trained",) if "network" in choices else ("coarse", "refined"):
        assert METRICS[choices["dataset"]] <= set(report["metrics"][part])
    assert report["counts"]["images" if "network" in choices else "masks"] > 0
    assert choices["refiner"] == "external" or report["timing"]["total"] > 0


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_commands_of_a_table_fill_its_rows(table, run):
    shown, seen = [], set()
    for row in table.rows:
        words = shlex.split(table.command_for(row, row.runs))[2:] if row.runs else []
        kind = (*row.metrics.values(), *(word for word in words if not word.startswith(NAMES)))
        # Rows that differ in names of masks alone are run once.
        if words and kind not in seen:
            seen.add(kind)
            shown.append(row)
            for job in jobs_of(words):
                run(job)
    runs, problems = read_runs(find_reports([run.base / "outputs"]))
    assert not problems
    for measured in compare(table, runs):
        if measured.row in shown:
            assert not measured.missing, measured.row.labels
            wanted = {column for column, value in measured.row.paper.items() if value is not None}
            assert wanted <= {column for column, value in measured.ours.items() if value is not None}
