"""The command line: `python run.py [group=option ...] [key=value ...]`; see README.md and `--help`."""

import os
import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from samref.config.compose import in_a_sentence, with_choices
from samref.config.shipped import config_dir
from samref.errors import SamrefError
from samref.report.screen import print_report


@hydra.main(config_path=str(config_dir()), config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Runs one job and prints what came out."""
    # Threads that wait for each other awake take turns with whatever else runs, and wait longer for it.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # PyTorch and Lightning take seconds to import: neither `--help` nor a mistyped option should wait for them.
    from samref.engine.job import first_process
    from samref.engine.runner import run

    context = HydraConfig.get()
    command = " ".join(["python run.py", *context.overrides.task])
    sweep = context.mode == RunMode.MULTIRUN
    try:
        report = run(with_choices(cfg, context.runtime.choices), command)
        if not first_process():
            return
        print_report(report, brief=sweep)
        failed = len(report["failures"])
        said = f"{failed} image{'s' * (failed > 1)} failed, see above and `failures` in report.json" if failed else None
    except SamrefError as error:
        said = str(error)
    if said is not None and sweep:
        # The sweep's other jobs still run, and it ends with an exit code that says so.
        raise CompactHydraException(said)
    if said is not None:
        sys.exit(f"error: {said}")


if __name__ == "__main__":
    wanted = os.environ.get("HYDRA_FULL_ERROR")
    # With this set Hydra hands errors on in place of printing them in its own, longer way.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        if wanted:
            raise
        sys.exit(f"error: {in_a_sentence(error)}")
