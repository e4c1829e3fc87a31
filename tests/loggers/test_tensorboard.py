"""`logger=tensorboard`: what the event files hold when read back; and loggers whose package is missing."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from samref.config.compose import compose_config
from samref.engine import runner
from samref.errors import ConfigError
from tests.factories import make_davis585


@pytest.fixture
def run(tmp_path):
    root = make_davis585(tmp_path / "davis", sequences=1, frames=2)
    words = ["dataset=davis585", f"dataset.root={root}", "backbone=tiny", "callbacks.progress=false"]

    def go(*more):
        return runner.run(compose_config([*words, f"paths.outputs={tmp_path / 'out'}", *more]))

    return go


def events(folder):
    return [found for path in sorted(folder.rglob("events.out.*")) if (found := EventAccumulator(str(path)).Reload())]


def test_event_files_hold_metrics_pictures_curves_and_hyperparameters(run, tmp_path):
    report = run("logger=tensorboard", "adaption=iou_lora", "adaption.min_steps=3", "adaption.batch_size=1")
    own = events(tmp_path / "out" / report["folder"])
    scalars = {tag: found.Scalars(tag)[-1].value for found in own for tag in found.Tags()["scalars"]}
    assert scalars["refined/iou"] == pytest.approx(report["metrics"]["refined"]["iou"])
    assert sum(len(found.Tags()["images"]) for found in own) == 2
    plugins = {name for found in own for name in found.summary_metadata}
    assert "_hparams_/session_start_info" in plugins
    fitted = {tag for found in events(tmp_path / "out" / "adaptors") for tag in found.Tags()["scalars"]}
    assert {"adaption/loss_step", "lr-SGD"} <= fitted


def test_a_logger_whose_package_is_missing_is_one_sentence(run, monkeypatch):
    for name in ("_TENSORBOARD_AVAILABLE", "_TENSORBOARDX_AVAILABLE"):
        monkeypatch.setattr(f"lightning.fabric.loggers.tensorboard.{name}", False)
    with pytest.raises(ConfigError, match=r"logger=tensorboard needs .* pip install 'samref\[tensorboard\]'"):
        run("logger=tensorboard")
