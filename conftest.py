"""What is collected where extras are not installed; `make test` installs all and leaves nothing out."""

import os
from importlib.util import find_spec
from shutil import which

# Module of an extra -> files that cannot be imported, or have nothing to test, without it.
NEEDS = {
    "cvat_sdk": ["tests/plugins/test_cvat_task.py"],
    "griffe": ["tests/docs/test_docstrings.py"],
    "hatchling": ["tests/integration/test_wheel.py"],
    "hydra_plugins.hydra_joblib_launcher": ["tests/integration/test_launchers.py"],
    "matplotlib": ["samref/report/plots.py", "tests/report/test_figures.py"],
    "mkdocs": ["tests/docs/test_site.py"],
    "nbclient": ["tests/docs/test_notebook.py"],
    "onnxruntime": ["tests/backbones/weights/test_onnx_conversion.py", "tests/benchmarks/test_encoders.py"],
    "playwright": ["tests/integration/test_browser_gallery.py", "tests/integration/test_browser_page.py"],
    "pydensecrf": ["tests/refiners/test_dense_crf.py"],
    "rasterio": [
        "tests/cli/test_refine.py",
        "tests/config/test_conf.py",
        "tests/datasets/geotiff",
        "tests/datasets/test_simulated.py",
        "tests/factories_scenes.py",
        "tests/integration/test_experiments.py",
        "tests/miniatures.py",
        "tests/robustness/test_matrix.py",
    ],
    "segmentation_refinement": ["tests/refiners/test_cascade_psp.py"],
    "supervision": ["tests/refiners/test_detections.py"],
    "tensorboard": ["tests/loggers/test_tensorboard.py"],
    "transformers": [
        "tests/backbones/hf",
        "tests/benchmarks/test_gpu.py",
        "tests/integration/test_transformers_run.py",
    ],
    "wandb": ["tests/loggers/test_wandb.py", "tests/loggers/wandb_files.py"],
}


def is_installed(module):
    """Whether it can be imported; nothing is imported to find out."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


# Programs that no extra installs -> files that test samref with them.
PROGRAMS = {"sbatch": ["tests/integration/test_slurm.py"]}

missing = [module for module in NEEDS if not is_installed(module)]
absent = [program for program in PROGRAMS if which(program) is None]
# Programs that make files with other packages, or read ours with them: see each.
collect_ignore_glob = ["tests/fixtures/*"]
collect_ignore = [path for module in missing for path in NEEDS[module]]
collect_ignore += [path for program in absent for path in PROGRAMS[program]]


def pytest_report_header():
    """Names what is left out."""
    if not missing + absent:
        return None
    # pydensecrf's sources end at Python 3.12.
    if os.environ.get("SAMREF_EXTRAS") == "all" and missing not in ([], ["pydensecrf"]):
        raise RuntimeError(f"SAMREF_EXTRAS=all, but {', '.join(missing)} cannot be imported")
    return f"not collected: {', '.join(sorted(set(collect_ignore)))}; install {', '.join(missing + absent)}"
