"""The command line: `python run.py [group=option ...] [key=value ...]`; see README.md and `--help`."""

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from samref.configs import config_dir, with_choices
from samref.errors import SamrefError
from samref.report.screen import print_report
from samref.runner import run


@hydra.main(config_path=str(config_dir()), config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Runs one job and prints what came out."""
    context = HydraConfig.get()
    command = " ".join(["python run.py", *context.overrides.task])
    try:
        report = run(with_choices(cfg, context.runtime.choices), command)
    except SamrefError as error:
        # The exception class that Hydra prints as its message alone, without a traceback.
        raise CompactHydraException(f"error: {error}") from None
    print_report(report, brief=context.mode == RunMode.MULTIRUN)
    if report["failures"]:
        raise CompactHydraException(f"error: {len(report['failures'])} images failed, see failures in report.json")


if __name__ == "__main__":
    sys.exit(main())
