"""`logger=wandb`: configuration, metrics, curves and a table of samples, one Weights & Biases run a job.

Never prompts and never blocks: without a key, or when the server cannot be reached, the run is kept offline, and
`wandb sync` sends it later.
"""

from __future__ import annotations

import logging
import netrc
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from samref.errors import ConfigError
from samref.report.gallery import GalleryItem
from samref.visualization.gallery_items import decode_jpeg

MODES = ("auto", "online", "offline", "disabled")
HOST = "https://api.wandb.ai"
NUMBERS = (
    "coarse_iou",
    "refined_iou",
    "gain",
    "coarse_boundary_iou",
    "refined_boundary_iou",
    "agreement",
    "predicted_iou",
)
COLUMNS = ("image", "object", "groups", "flag", "picture", *NUMBERS)
GRAY = 128
TAGGED = ("dataset", "refiner", "prompts", "backbone", "adaption")
CLASSES = {"coarse": 1, "refined": 2, "truth": 3}


class WandbLog(WandbLogger):
    """A Weights & Biases run for each job; the trainers of one job (fit, then test) share it."""

    _begun: ClassVar[Any] = None
    # Remembered, so that the jobs of a sweep do not wait for an absent server one after the other.
    _unreachable: ClassVar[bool] = False

    def __init__(
        self,
        project: str,
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] | None = None,
        mode: str = "auto",
        job_folder: str | None = None,
        init_timeout: float = 20,
        finish_timeout: float = 120,
    ) -> None:
        """Chooses where to; nothing is started before something is logged.

        Args:
            project: on the server.
            entity: user or team; None takes the account's own.
            group: under which the runs of a sweep stand together.
            tags: of the run.
            mode: `online`, `offline`, `disabled`, or `auto`: that of WANDB_MODE, else online where there is a key.
            job_folder: of the job, which names the run; wandb's files lie beside it.
            init_timeout: seconds to wait for the server before the run is kept offline.
            finish_timeout: seconds to wait for uploads at the end; the rest stays on disk.
        """
        if mode not in MODES:
            raise ConfigError(f"logger.wandb.mode is '{mode}'; expected one of {', '.join(MODES)}")
        folder = Path(job_folder) if job_folder else Path("job")
        # The hash at the end of a job's folder says nothing to a reader of a list of runs.
        name = re.sub(r"-[0-9a-f]{8}$", "", folder.name)
        super().__init__(name=name, save_dir=folder.parent, project=project, group=group, entity=entity)
        # Lightning's default, of which wandb complains.
        self._wandb_init.pop("anonymous", None)
        self._wandb_init.update(tags=list(tags) if tags else None, mode=chosen_mode(mode), settings=None)
        self._timeouts = {"init_timeout": init_timeout, "finish_timeout": finish_timeout}

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run; started at first use."""
        if self._experiment is None:
            self._experiment = self._start()
        return self._experiment

    def log_config(self, config: Mapping[str, Any]) -> None:
        """Records the configuration before anything else; what it chose becomes the run's tags."""
        choices = config.get("hydra_choices") or {}
        chosen = [str(choices[group]) for group in TAGGED if choices.get(group) not in (None, "none")]
        self._wandb_init["tags"] = list(dict.fromkeys([*(self._wandb_init["tags"] or []), *chosen])) or None
        self.log_hyperparams(dict(config))

    @rank_zero_only
    def log_gallery_items(self, items: Sequence[GalleryItem]) -> None:
        """Logs the gallery's masks as the table `samples`, with overlays that can be switched on and off."""
        import wandb

        # wandb warns of lists of pictures of unequal sizes, which its pages show cut.
        size = tuple(max((item.size[axis] for item in items), default=0) for axis in (0, 1))
        pictures = [wandb_image(item, (size[0], size[1])) for item in items]
        rows = [
            [*_words(item), picture, *(item.numbers.get(name) for name in NUMBERS)]
            for item, picture in zip(items, pictures, strict=True)
        ]
        # Beside the table, because offline only these lie in the run's own folder.
        panels: dict[str, list[Any]] = {}
        for item, picture in zip(items, pictures, strict=True):
            panels.setdefault(f"pictures/{item.groups[0] if item.groups else 'samples'}", []).append(picture)
        self.experiment.log({"samples": wandb.Table(columns=list(COLUMNS), data=rows), **panels})

    @rank_zero_only
    def log_report(self, report: Mapping[str, Any]) -> None:
        """Puts the report's numbers into the run's summary: metrics, gains, counts, timing, memory, adaption."""
        self.experiment.summary.update(summary(report))

    @classmethod
    def close_job(cls, failed: bool) -> None:
        """Ends the run of the job, so that the next job of a sweep gets its own; a run of the caller's stays open."""
        run, WandbLog._begun = WandbLog._begun, None
        if run is not None:
            run.finish(exit_code=int(failed))

    def _start(self) -> Any:
        import wandb

        if wandb.run is not None:
            return wandb.run
        Path(self._wandb_init["dir"]).mkdir(parents=True, exist_ok=True)
        if self._wandb_init["mode"] == "online" and WandbLog._unreachable:
            self._wandb_init["mode"] = "offline"
        try:
            run = wandb.init(**{**self._wandb_init, "settings": self._settings(wandb)})
        except (wandb.errors.Error, TimeoutError, ValueError) as error:
            if self._wandb_init["mode"] != "online":
                raise
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            logging.getLogger(__name__).warning("wandb cannot be reached, runs are kept offline: %s", reason)
            WandbLog._unreachable = True
            wandb.teardown()
            run = wandb.init(**{**self._wandb_init, "mode": "offline", "settings": self._settings(wandb)})
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        WandbLog._begun = run
        return run

    def _settings(self, wandb: Any) -> Any:
        quiet = {"silent": True, "console": "off", "disable_code": True}
        known = {key: value for key, value in self._timeouts.items() if key in wandb.Settings.model_fields}
        return wandb.Settings(**quiet, **known)


def chosen_mode(mode: str) -> str:
    """`online`, `offline` or `disabled` for a mode of the configuration; see `WandbLog`."""
    wanted = os.environ.get("WANDB_MODE", "")
    if mode == "auto":
        if wanted:
            return {"dryrun": "offline", "run": "online"}.get(wanted, wanted)
        return "online" if has_key() else "offline"
    # Online without a key would prompt for one on a terminal.
    return "offline" if mode == "online" and not has_key() else mode


def has_key() -> bool:
    """Whether Weights & Biases could log in by itself: by environment variable or by netrc. The key is never kept."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", HOST)).netloc
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            entry = netrc.netrc(path).authenticators(host)
        except (OSError, netrc.NetrcParseError):
            continue
        if entry is not None and entry[2]:
            return True
    return False


def wandb_image(item: GalleryItem, size: tuple[int, int] | None = None) -> Any:
    """The picture of a gallery item with its masks and its box as overlays.

    Args:
        item: with a picture.
        size: (h, w) that the picture is filled up to in gray, at its right and at its bottom; None: its own.
    """
    import wandb

    layers = ((name, item.mask(name)) for name in CLASSES)
    height, width = size or item.size
    room = ((0, height - item.size[0]), (0, width - item.size[1]))
    masks = {
        name: {"mask_data": np.pad(mask, room).astype("uint8") * CLASSES[name], "class_labels": {CLASSES[name]: name}}
        for name, mask in layers
        if mask is not None
    }
    caption = " ".join([item.image_id, item.object_id, *_change(item)])
    picture = np.pad(decode_jpeg(item.picture), (*room, (0, 0)), constant_values=GRAY)
    return wandb.Image(picture, caption=caption, masks=masks, boxes=_boxes(item), file_type="jpg")


def summary(report: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a report under flat names: `refined/iou`, `gain/iou`, `timing/total`, ..."""
    metrics = report["metrics"]
    flat = {f"{part}/{name}": value for part, values in metrics.items() for name, value in values.items()}
    coarse, refined = metrics.get("coarse", {}), metrics.get("refined", {})
    flat |= {f"gain/{name}": refined[name] - coarse[name] for name in refined if name in coarse}
    for part in ("counts", "timing"):
        flat |= {f"{part}/{name}": value for name, value in report[part].items() if value is not None}
    adaption = report.get("adaption") or {}
    flat |= {f"adaption/{name}": value for name, value in adaption.items() if isinstance(value, (int, float))}
    return {**flat, "peak_memory_mb": report["peak_memory_mb"]}


def _change(item: GalleryItem) -> list[str]:
    numbers = item.numbers
    return [f"IoU {numbers['coarse_iou']:.3f} to {numbers['refined_iou']:.3f}"] if "gain" in numbers else []


def _words(item: GalleryItem) -> list[str]:
    return [item.image_id, item.object_id, " ".join(item.groups), item.flag]


def _boxes(item: GalleryItem) -> dict[str, Any] | None:
    if item.box is None:
        return None
    position = dict(zip(("minX", "minY", "maxX", "maxY"), item.box, strict=True))
    box = {"position": position, "domain": "pixel", "class_id": 1, "box_caption": "box prompt"}
    return {"prompts": {"box_data": [box], "class_labels": {1: "box prompt"}}}
