"""The tables of the paper: published numbers, and which run stands for which row.

A table is a folder of `experiments/` with two files. `paper.csv` holds the published numbers, one row of the table a
line. `table.yaml` defines how runs meet those rows:

    title: Table 1. ...
    experiment: davis_ablation            # `experiment` of the reports that count
    data: what must lie on disk
    paper: ../voc/paper.csv               # where the numbers are, if they stand in another folder's paper.csv
    command: python run.py +experiment=davis_ablation dataset.root=DIR
    when:                                 # config keys that rows require besides (all rows without a `where`)
      - {where: {...}, prompts.point.negative: true}
    keys:                                 # columns of paper.csv that identify a run ...
      prompts: hydra_choices.prompts      # ... by the config key that has the same value, or
      box: {cebox: {prompts.box.lam: 0.1}}  # ... by what each value requires of the config
    arguments:                            # more of the command
      - {where: {method: CRM}, say: refiner.masks=DIR}
    part: trained                         # metrics that fill the rows: refined, or trained for networks
    coarse: {where: {prompts: coarse}, keys: []}  # rows about the coarse masks; the keys that still identify the run
    means:                                # rows that are means over several runs
      - {where: {source: NB}, over: row.annotations, values: [...]}
    unmeasured: [{source: ...}]           # rows that no run of this project can fill
    columns: {iou: iou, hours: hours}     # columns with numbers: their metric; `{metric}` takes a column's value
    omit: [val_miou]                      # columns of paper.csv that no run here can fill
    costs: true                           # seconds an image and peak memory stand beside the numbers
    ratios: [{metric: hours, per: {method: ours}}]  # of times, each row's to that of the row that differs by `per`
    setting:                              # what the paper measured with: a run that differs is marked
      - {where: {...}, hydra_choices.backbone: vit_h, counts.masks: 585}
    notes: [...]

Columns that are in none of `keys`, `columns` and `omit` only describe.
"""

from __future__ import annotations

import csv
import math
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from samref.errors import ConfigError
from samref.report.runs import COARSE, REFINED, Conditions, as_text, same

REQUIRED = ("title", "experiment", "data", "command", "columns")
OPTIONAL = (
    "paper", "when", "keys", "arguments", "part", "coarse", "means", "unmeasured", "omit", "costs", "ratios", "setting",
    "notes",
)  # fmt: skip
CHOICES = "hydra_choices."
COUNTS = "counts."


@dataclass(frozen=True)
class Row:
    """One row of a published table.

    Attributes:
        labels: the columns that name it, in order.
        paper: number column -> published value in percent (or hours, minutes), None where the paper has none.
        metrics: number column -> metric of the report.
        part: `coarse`, `refined` or `trained`: which metrics of a run fill it.
        runs: what each run that fills it has in its configuration; several where the paper prints a mean,
            none where no run can.
        setting: what the paper measured with, by config key, or by `counts.` and a count.
        arguments: more of the command.
    """

    labels: dict[str, str]
    paper: dict[str, float | None]
    metrics: dict[str, str]
    part: str
    runs: tuple[Conditions, ...]
    setting: Conditions
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class RatioRule:
    """Of which metric ratios are given, and to which row: the one of the same labels but for `per`."""

    metric: str
    per: dict[str, str]


@dataclass(frozen=True)
class PublishedTable:
    """One table of the paper, see the module's docstring."""

    name: str
    title: str
    experiment: str
    data: str
    command: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    ratios: tuple[RatioRule, ...] = ()
    costs: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns with numbers."""
        return tuple(self.rows[0].paper)

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns that name a row."""
        return tuple(self.rows[0].labels)

    def command_for(self, row: Row, runs: Sequence[Conditions]) -> str:
        """The command for some of the runs that fill a row; a key in which they differ is swept."""
        wanted = {key: ",".join(dict.fromkeys(_argument(run[key]) for run in runs)) for key in runs[0]}
        overrides = [shlex.quote(f"{key.removeprefix(CHOICES)}={value}") for key, value in wanted.items()]
        return " ".join([self.command, *row.arguments, *overrides])


def read_tables(experiments: Path) -> list[PublishedTable]:
    """The tables in the folders of `experiments`: the paper's in its order, then those of other papers.

    Raises:
        ConfigError: if a table's files do not fit together; the message names file and key.
    """
    return sorted((read_table(path.parent) for path in experiments.glob("*/table.yaml")), key=_place)


def read_table(folder: Path) -> PublishedTable:
    """Reads `paper.csv` and `table.yaml` of one folder.

    Raises:
        ConfigError: as `read_tables`.
    """
    spec = read_spec(folder / "table.yaml", REQUIRED, OPTIONAL)
    lines = read_csv(folder / spec.get("paper", "paper.csv"))
    try:
        rows = tuple(row for line in lines if (row := _row(line, spec)) is not None)
    except KeyError as error:
        raise ConfigError(f"{folder / 'table.yaml'} names the column {error}, which paper.csv does not have") from error
    except ValueError as error:
        raise ConfigError(f"{folder / 'paper.csv'} has text where a number should be: {error}") from error
    if not rows:
        raise ConfigError(f"{folder / 'paper.csv'} has no number in the columns {', '.join(spec['columns'])}")
    return PublishedTable(
        name=folder.name,
        rows=rows,
        notes=tuple(spec.get("notes", ())),
        ratios=tuple(RatioRule(rule["metric"], rule["per"]) for rule in spec.get("ratios", ())),
        costs=bool(spec.get("costs", False)),
        **{key: str(spec[key]) for key in ("title", "experiment", "data", "command")},
    )


def _row(line: dict[str, str], spec: dict[str, Any]) -> Row | None:
    columns: dict[str, str] = spec["columns"]
    paper = {column: float(line[column]) if line[column] else None for column in columns}
    if all(value is None for value in paper.values()):
        return None
    coarse = spec.get("coarse", {})
    is_coarse = "where" in coarse and _fits(line, coarse["where"])
    keys = [key for key in spec.get("keys", {}) if not is_coarse or key in coarse.get("keys", ())]
    wanted = {} if is_coarse else _where(line, spec.get("when", ()))
    for key in keys:
        wanted |= _conditions(spec["keys"][key], line[key], key)
    unmeasured = any(_fits(line, where) for where in spec.get("unmeasured", ()))
    arguments = [entry["say"] for entry in spec.get("arguments", ()) if _fits(line, entry["where"])]
    return Row(
        labels={key: line[key] for key in line if key not in columns and key not in spec.get("omit", ())},
        paper=paper,
        metrics={column: metric.format_map(line) for column, metric in columns.items()},
        part=COARSE if is_coarse else str(spec.get("part", REFINED)),
        runs=() if unmeasured else tuple({**wanted, **more} for more in _means(line, spec.get("means", ()))),
        setting=_setting(line, spec.get("setting", ()), is_coarse),
        arguments=tuple(arguments),
    )


def _conditions(rule: Any, value: str, column: str) -> dict[str, Any]:
    if isinstance(rule, str):
        return {rule: value}
    if value not in rule:
        raise ConfigError(f"a table.yaml does not define what '{value}' in the column '{column}' requires of a run")
    return dict(rule[value])


def _means(line: dict[str, str], means: Any) -> Iterator[dict[str, Any]]:
    for mean in means:
        if _fits(line, mean["where"]):
            yield from ({mean["over"]: value} for value in mean["values"])
            return
    yield {}


def _setting(line: dict[str, str], settings: Any, is_coarse: bool) -> dict[str, Any]:
    found = _where(line, settings)
    # Whatever refined them, the coarse masks are the same; only how many of them were measured matters.
    return {key: value for key, value in found.items() if not is_coarse or key.startswith(COUNTS)}


def _where(line: dict[str, str], entries: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry in entries:
        if _fits(line, entry.get("where", {})):
            found |= {key: value for key, value in entry.items() if key != "where"}
    return found


def _fits(line: dict[str, str], where: dict[str, Any]) -> bool:
    return all(same(line[key], value) for key, value in where.items())


def _argument(wanted: Any) -> str:
    return as_text(wanted[0] if isinstance(wanted, list) else wanted)


def read_spec(path: Path, required: Sequence[str], optional: Sequence[str]) -> dict[str, Any]:
    """A yaml file with known keys; keys of mappings below come as text.

    Raises:
        ConfigError: if it cannot be read, lacks a key or has an unknown one.
    """
    try:
        spec = _text_keys(OmegaConf.to_container(OmegaConf.load(path)))
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    for key in required:
        if key not in spec:
            raise ConfigError(f"{path} lacks '{key}'")
    for key in spec:
        if key not in (*required, *optional):
            raise ConfigError(f"{path} has the unknown key '{key}'; known are {', '.join((*required, *optional))}")
    return dict(spec)


def _text_keys(node: Any) -> Any:
    # YAML reads the keys true and 1 as what they look like; paper.csv only has text.
    if isinstance(node, dict):
        return {as_text(key): _text_keys(value) for key, value in node.items()}
    return [_text_keys(value) for value in node] if isinstance(node, list) else node


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a csv file by its header.

    Raises:
        ConfigError: if it cannot be read or holds none.
    """
    try:
        lines = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not lines:
        raise ConfigError(f"{path} holds no rows")
    return lines


def _place(table: PublishedTable) -> tuple[float, str]:
    """A table's number in the paper, which its title begins with; others come last."""
    number = re.match(r"Table (\d+)", table.title)
    return (int(number[1]) if number else math.inf, table.title)
