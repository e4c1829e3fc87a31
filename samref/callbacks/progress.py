"""A progress line on a terminal: images done, images per second, time left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text


def label_of(config: Mapping[str, Any]) -> str:
    """What a run is called while it runs: its data by their own name, and its prompts.

    >>> label_of({"hydra_choices": {"dataset": "folder"}, "dataset": {"images": "/data/horses/images"}})
    'horses/images'
    >>> label_of({"hydra_choices": {"dataset": "davis585", "prompts": "box"}, "dataset": {"root": "/data/d"}})
    'davis585 prompts=box'
    """
    choices = config["hydra_choices"]
    data = str(choices["dataset"])
    if data == "folder":
        data = "/".join(Path(config["dataset"]["images"]).absolute().parts[-2:])
    return f"{data} prompts={choices['prompts']}" if "prompts" in choices else data


class Speed(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        """The column's text."""
        return Text(f"{task.speed:.2f} img/s" if task.speed else "- img/s")


class ProgressLine(Callback):
    """Shows how far a run is; silent where the output is not a terminal."""

    def __init__(self, label: str, total: int) -> None:
        """Prepares the line.

        Args:
            label: what runs.
            total: images of the run.
        """
        self.label, self.total = label, total
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
        console = Console(stderr=True)
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the line."""
        if trainer.is_global_zero:
            self.progress.start()
            self.task = self.progress.add_task(self.label, total=self.total)

    on_predict_start = on_test_start

    def on_test_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Moves it on; each process works on its share."""
        if trainer.is_global_zero:
            self.progress.advance(self.task, trainer.world_size)

    on_predict_batch_end = on_test_batch_end  # type: ignore[assignment]  # Lightning passes all by position

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the finished line on the screen."""
        self.progress.stop()

    on_predict_end = on_test_end

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Gives the terminal back before an error is printed."""
        self.progress.stop()


class TrainingLine(Callback):
    """Shows how far a fit is, with its loss; silent where the output is not a terminal."""

    def __init__(self, label: str, total: int) -> None:
        """Prepares the line.

        Args:
            label: what is trained.
            total: optimizer steps.
        """
        self.label, self.total = label, total
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self.progress = Progress(*columns, console=console, disable=not console.is_terminal)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the line; a resumed fit is as far as it was."""
        if trainer.is_global_zero:
            self.progress.start()
            self.task = self.progress.add_task(self.label, total=self.total, completed=trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Moves it on."""
        if trainer.is_global_zero and not self.progress.disable:
            loss = float(trainer.callback_metrics.get("train/loss", float("nan")))
            self.progress.update(self.task, completed=trainer.global_step, description=f"{self.label}, loss {loss:.3f}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leaves the finished line on the screen."""
        self.progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Gives the terminal back before an error is printed."""
        self.progress.stop()
