"""The wheel, installed into a folder of its own and used from an empty one, does what the checkout does."""

import json
import os
import subprocess
import sys
import zipfile
from email import message_from_bytes

import pytest
from omegaconf import OmegaConf

from samref.config.shipped import config_dir, shipped_folder
from tests.factories import blob, rough, save_mask, save_photo
from tests.factories_benchmarks import make_coco
from tests.processes import ROOT

pytestmark = pytest.mark.xdist_group("wheel")


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run([*pip, "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)])
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def outside(wheel, tmp_path_factory):
    """Runs a command of the installed package in an empty folder, where nothing of the checkout can be found."""
    site, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run([*pip, "install", "--no-deps", "--no-compile", "--target", str(site), str(wheel)])
    script = site / "bin" / "samref"

    def go(*words):
        command = [sys.executable, *words] if words[0] == "-c" else [str(script), *words]
        return run(command, cwd=empty, env={**os.environ, "PYTHONPATH": str(site)})

    go.folder, go.site = empty, site
    return go


# One process for all that needs PyTorch: most of the time goes into importing it.
PROGRAM = """
import json, sys
import numpy as np
from samref import SAMRefiner, __version__
import samref

assert samref.__file__.startswith({site!r}), samref.__file__
image = np.full((60, 80, 3), 90, np.uint8)
image[20:40, 20:60] = 200
masks = np.zeros((60, 80), bool)
masks[22:44, 24:60] = True

result = SAMRefiner.from_pretrained("mobile_sam", device="cpu").refine(image, masks)

truth = image[..., 0] == 200
iou = lambda a: (a & truth).sum() / (a | truth).sum()
from samref.cli.main import main
quick = ["backbone=tiny", "backbone.device=cpu", "callbacks.progress=false", "verdict.enabled=false"]
codes = [
    main(["refine", "images", "masks", "refined", *quick]),
    main(["refine", "--coco", "gt.json", "pred.json", "--images", "coco", "refined_coco", *quick]),
]
import samref.cli.page
print("\\n" + json.dumps([__version__, iou(masks), iou(result.masks[0]), codes]))
"""


@pytest.mark.weights
def test_two_lines_the_folder_tool_the_coco_tool_and_the_page(outside):
    folder = outside.folder
    save_photo(folder / "images" / "a.jpg", (48, 80), 0)
    save_mask(folder / "masks" / "a.png", rough(blob((48, 80), 0), 0))
    coco = make_coco(folder / "made")
    for made, name in ((coco.images, "coco"), (coco.annotations, "gt.json"), (coco.predictions, "pred.json")):
        made.rename(folder / name)
    version, before, after, codes = json.loads(outside("-c", PROGRAM.format(site=str(outside.site))).splitlines()[-1])
    assert f'\nversion = "{version}"\n' in (ROOT / "pyproject.toml").read_text()
    assert after > before
    assert codes == [0, 0]
    assert [path.name for path in (folder / "refined").glob("[!.]*")] == ["a.png"]
    assert len(json.loads((folder / "refined_coco" / "pred.json").read_text())) == len(
        json.loads((folder / "pred.json").read_text())
    )
    assert {path.name for path in folder.glob("outputs/refine/*/*")} >= {"report.json", "gallery.html", "samples.csv"}


def test_an_experiment_is_composed(outside):
    cfg = OmegaConf.create(outside("run", "experiment=davis_ablation", "--cfg", "job"))
    assert (cfg.name, cfg.dataset._target_) == ("davis_ablation", "samref.datasets.davis.Davis585")


def test_tables_have_the_published_numbers_and_the_measured_ones(outside):
    text = outside("tables")
    assert "Table 1" in text
    assert (outside.folder / "outputs" / "tables" / "tables.md").is_file()


def test_help_and_data_sets(outside):
    assert "davis585" in outside("run", "--help")
    assert "samref refine" in outside("--help")
    assert "DAVIS-585" in outside("datasets", "davis585")


def test_the_wheel_holds_the_configuration_the_experiments_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("conf", "experiments"):
        shipped = {path.relative_to(ROOT) for path in shipped_folder(folder).rglob("*") if path.is_file()}
        assert {f"samref/{path.as_posix()}" for path in shipped} <= names
    assert config_dir() == ROOT / "conf"
    assert {"samref/py.typed", *(f"samref/report/gallery.{kind}" for kind in ("html", "css", "js"))} <= names
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"samref"}
    assert not [name for name in names if name.startswith("samref/tests") or name.endswith((".pyc", ".safetensors"))]


def test_its_metadata_are_complete(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = message_from_bytes(archive.read(name))
    assert metadata["License-Expression"] == "MIT"
    assert {"Homepage", "Issues", "Paper"} <= {url.split(",")[0] for url in metadata.get_all("Project-URL")}
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    assert "](docs/" not in "".join(line for line in metadata.get_payload().splitlines() if line.startswith("!["))
    (name,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "samref = samref.cli.main:main" in archive.read(name).decode()


def test_an_editable_install_is_the_checkout_itself(tmp_path):
    program = "from hatchling.build import build_editable; import sys; print(build_editable(sys.argv[1]))"
    name = run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT).strip()
    archive = zipfile.ZipFile(tmp_path / name)
    own = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert own == ["_samref.pth"]
    assert archive.read("_samref.pth").decode().strip() == str(ROOT)
