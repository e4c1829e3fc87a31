"""A saved view of a sweep on Weights & Biases: its metrics against what was swept. It is built without the server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from samref.errors import ConfigError
from samref.loggers.wandb import has_key
from samref.report.plain import PlainTable
from samref.report.runs import MISSING, Run

PICTURES = ("worst", "best", "doubtful", "kept", "changed")
MOST_RUNS = 500


@dataclass(frozen=True)
class Sweep:
    """The runs of one group, as their reports have them.

    Attributes:
        project: on the server.
        entity: user or team; None is the account's own.
        group: of the runs.
        table: what was swept, and the metrics.
    """

    project: str
    entity: str | None
    group: str
    table: PlainTable

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Sweep:
        """The sweep that runs belong to; those that were logged elsewhere are left out.

        Raises:
            ConfigError: if none was logged, or they belong to several groups.
        """
        logged = [run for run in runs if run.config("logger.wandb.project") is not MISSING]
        places = {tuple(run.config(f"logger.wandb.{key}") for key in ("project", "entity", "group")) for run in logged}
        if not places:
            raise ConfigError(
                f"none of {len(runs)} finished runs there was logged to Weights & Biases; run the sweep with "
                "logger=wandb"
            )
        if len(places) > 1:
            groups = ", ".join(sorted(str(group) for *_, group in places))
            raise ConfigError(f"the runs there belong to {len(places)} groups ({groups}); give the folder of one sweep")
        project, entity, group = places.pop()
        return cls(str(project), entity, str(group), PlainTable.of(str(group), str(group), logged))

    @property
    def part(self) -> str:
        """Which metrics are shown: see `Run.part`."""
        return self.table.runs[0].part

    def is_number(self, key: str) -> bool:
        """Whether all values of a swept option are numbers, which have a place on an axis."""
        values = [run.config(key) for run in self.table.runs]
        return all(type(value) in (int, float) and math.isfinite(value) for value in values)


def workspace(sweep: Sweep, entity: str) -> Any:
    """The view: a section a metric with a panel a swept option, all together, and the pictures of the gallery.

    Args:
        sweep: what is shown.
        entity: user or team that it is saved under.

    Returns:
        `wandb_workspaces.workspaces.Workspace`, not saved yet.

    Raises:
        ConfigError: if the package wandb-workspaces is not installed.
    """
    workspaces, _ = _library()
    metrics, keys = sweep.table.metrics, sweep.table.keys
    columns = [*(f"summary:{sweep.part}/{metric}" for metric in metrics), *(f"config:{key}" for key in keys)]
    return workspaces.Workspace(
        entity=entity,
        project=sweep.project,
        name=sweep.group,
        sections=_sections(sweep),
        settings=workspaces.WorkspaceSettings(max_runs=MOST_RUNS),
        runset_settings=workspaces.RunsetSettings(
            filters=[workspaces.Metric("Group") == sweep.group], pinned_columns=columns
        ),
    )


def save(sweep: Sweep) -> str:
    """Saves the view of a sweep on the server.

    Returns:
        Its address.

    Raises:
        ConfigError: without a key, without the package, or if the server cannot be reached or refuses it.
    """
    if not has_key():
        raise ConfigError(
            "a dashboard lies on the server of Weights & Biases, and there is no key for it; set WANDB_API_KEY (or "
            "`wandb login`), send runs that were kept offline by `wandb sync`, and run the same command again; "
            "docs/dashboards.md has the steps by hand"
        )
    _library()
    import wandb

    try:
        made = workspace(sweep, sweep.entity or wandb.Api().default_entity)
        return str(made.save().url)
    except ConfigError:
        raise
    except Exception as error:  # of the library's transport, which has no class of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"Weights & Biases did not save the dashboard ({reason}); check the key and the connection, and run the "
            "same command again"
        ) from error


def _sections(sweep: Sweep) -> list[Any]:
    workspaces, panels = _library()
    sections = []
    for metric in sweep.table.metrics:
        shown = [_against(sweep, key, metric) for key in sweep.table.keys]
        sections.append(workspaces.Section(name=f"{sweep.part} {metric}", panels=shown, is_open=True))
    axes = [panels.Config(key) for key in sweep.table.keys]
    axes += [panels.SummaryMetric(f"{sweep.part}/{metric}") for metric in sweep.table.metrics]
    together = panels.ParallelCoordinatesPlot(
        title=sweep.group, columns=[panels.ParallelCoordinatesPlotColumn(metric=axis) for axis in axes]
    )
    pictures = panels.MediaBrowser(title="samples", media_keys=[f"pictures/{name}" for name in PICTURES])
    return [
        *sections,
        workspaces.Section(name="all options", panels=[together], is_open=True),
        workspaces.Section(name="pictures", panels=[pictures], is_open=False),
    ]


def _against(sweep: Sweep, key: str, metric: str) -> Any:
    _, panels = _library()
    option, value = panels.Config(key), panels.SummaryMetric(f"{sweep.part}/{metric}")
    title = f"{metric} by {key.rpartition('.')[2]}"
    if sweep.is_number(key):
        return panels.ScatterPlot(title=title, x=option, y=value)
    return panels.BarPlot(title=title, metrics=[value], groupby=option, orientation="h")


def _library() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise ConfigError(
            f"a dashboard needs the package {error.name or 'wandb-workspaces'}; pip install 'samref[wandb]'"
        ) from error
    return workspaces, panels
