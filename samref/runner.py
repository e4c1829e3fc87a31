"""`samref.runner.run(cfg)`: the name that scripts rely on for `samref.engine.runner.run`."""

from samref.engine.runner import Report, run

__all__ = ["Report", "run"]
