"""Images refined in worker processes: the same results as without, whatever happens to the processes."""

import errno
import os
import signal
import subprocess
import sys
import time
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
import pytest
import torch

from samref.backbones.encoding import EncodingQueue
from samref.backbones.exchange import Exchange
from samref.backbones.served import Facts, ServedBackbone, Server
from samref.backbones.tiny import TinyHqSam, TinySam
from samref.callbacks.writer import Writer
from samref.config.compose import compose_config
from samref.datasets.folder.folder import Folder
from samref.engine import runner, workers
from samref.engine.workers import worker_count
from samref.errors import ConfigError, InputError, OutputError, WorkerError
from samref.structures import Prompts
from tests.factories import blob, make_folder, photo
from tests.factories_benchmarks import make_coco
from tests.robustness.undisturbed import contents, folder_config, run

# The first of them starts a process that imports PyTorch, from which all later workers are forked.
pytestmark = pytest.mark.xdist_group("workers")
SIZE = (60, 90)


@pytest.fixture
def data(tmp_path):
    return make_folder(tmp_path / "data", names=[f"image{k:02d}" for k in range(9)], size=SIZE)


def left(report, output):
    """What a run leaves, times aside."""
    folder = Path(report["folder"])
    pages = [(folder / "picture.png").read_bytes(), (folder / "gallery.html").read_text().count("<article")]
    return [contents(output, hidden=True), report["samples"], report["counts"], report["metrics"], pages]


ELASTIC = "prompts.box.lam=0.2"
SHOWN = ["callbacks.gallery.count=5", "callbacks.picture={_target_: samref.callbacks.picture.Picture, count: 3}"]


@pytest.mark.parametrize(
    ("counts", "overrides"),
    [
        ((0, 1, 2, 4), ["guard.enabled=true"]),
        ((0, 2), ["verdict.enabled=false", "refiner.cascade=box_then_logits", "refiner.iterations=2", ELASTIC]),
        ((0, 2), ["backbone._target_=samref.backbones.tiny.TinyHqSam", "save_candidates=true", "dataset.truth=TRUTH"]),
    ],
    ids=["defaults", "cascade with elastic boxes", "scored, HQ-SAM"],
)
def test_masks_tables_and_pictures_are_the_same_with_any_number_of_workers(tmp_path, data, counts, overrides):
    words = [*SHOWN, *(word.replace("TRUTH", f"{data}/masks") for word in overrides)]
    found = []
    for count in counts:
        folder = tmp_path / f"w{count}"
        found.append(left(run(folder_config(data, folder, f"num_workers={count}", *words)), folder / "masks"))
    assert len(found[0][0]) == 9
    assert found[1:] == found[:1] * (len(counts) - 1)


def test_masks_are_the_same_where_images_are_encoded_in_batches(tmp_path, data, monkeypatch):
    alone = run(folder_config(data, tmp_path / "w0"))
    monkeypatch.setattr(workers, "encoding_beside", lambda backbone, count: EncodingQueue(backbone, 2))
    together = run(folder_config(data, tmp_path / "w3", "num_workers=3"))
    assert contents(tmp_path / "w3/masks") == contents(tmp_path / "w0/masks")
    assert together["counts"] == alone["counts"]


def test_files_of_many_images_are_the_same(tmp_path):
    made = make_coco(tmp_path / "coco")
    written = []
    for count in (0, 2):
        cfg = compose_config(
            ["dataset=coco", f"dataset.images={made.images}", f"dataset.predictions={made.predictions}",
             f"paths.outputs={tmp_path}/w{count}", "backbone=tiny", "logger=none", "callbacks.progress=false",
             f"num_workers={count}", "backbone.device=cpu"]
        )  # fmt: skip
        written.append(contents(Path(run(cfg)["folder"]) / "masks", hidden=True))
    assert written[0] == written[1]
    assert list(written[0]) == ["predictions.json"]


def test_a_bad_file_fails_alone_or_ends_the_run_with_its_sentence(tmp_path, data):
    (data / "images" / "image04.jpg").write_bytes(b"no image")
    report = run(folder_config(data, tmp_path / "skip", "num_workers=2", "on_error=skip"))
    assert report["counts"]["failed"] == 1 and report["counts"]["images"] == 8
    assert "image04" in report["failures"][0]["reason"]
    with pytest.raises(InputError, match=r"image04\.jpg is not an image") as caught:
        run(folder_config(data, tmp_path / "raise", "num_workers=2", "on_error=raise", "verdict.enabled=false"))
    assert "\n" not in str(caught.value)
    assert len(contents(tmp_path / "raise" / "masks")) >= 4, "images before the bad one are kept"


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are listed on Linux alone")
def test_workers_share_out_the_cores_and_have_no_threads_of_their_own(tmp_path, data):
    program = (
        "from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        "    from tests.robustness.undisturbed import folder_config, run\n"
        f"    data, out = Path({str(data)!r}), Path({str(tmp_path / 'out')!r})\n"
        "    cfg = folder_config(data, out, 'num_workers=1', 'limit=1')\n"
        "    cfg.dataset._target_ = 'tests.engine.counting.Counting'\n"
        "    run(cfg)\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, script], check=True, env=environment, stdout=subprocess.DEVNULL)
    # Its own thread, and the one that watches the run.
    assert {path.read_text() for path in (data / "masks").glob(".threads*")} == {"2"}


class Deadly(Folder):
    """One of its images ends the process that reads it, as the system does for want of memory; once."""

    def __getitem__(self, index):
        once = self.masks / ".once"
        if index == 5 and parent_process() is not None and not once.exists():
            once.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_worker_that_the_system_ends_is_one_sentence_and_the_next_run_goes_on(tmp_path, data):
    whole = run(folder_config(data, tmp_path / "whole"))
    cfg = folder_config(data, tmp_path / "killed", "num_workers=2")
    cfg.dataset._target_ = f"{__name__}.Deadly"
    with pytest.raises(WorkerError, match="fewer num_workers") as caught:
        run(cfg)
    assert "\n" not in str(caught.value)
    report = run(cfg)
    assert report["taken_up"] < 9
    assert report["counts"]["images"] == 9
    assert contents(tmp_path / "killed/masks", hidden=True) == contents(tmp_path / "whole/masks", hidden=True)
    assert report["samples"] == whole["samples"]


def test_an_interrupt_ends_at_once_and_leaves_nothing_half_done(tmp_path, data, monkeypatch):
    cfg = folder_config(data, tmp_path / "out", "num_workers=2")
    heard, interrupts = workers.Workers._receive_from, []

    def interrupted(self, worker):
        if len(contents(tmp_path / "out/masks")) >= 3:
            interrupts.append(time.perf_counter())
            raise KeyboardInterrupt
        heard(self, worker)

    monkeypatch.setattr(workers.Workers, "_receive_from", interrupted)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(cfg)
    assert time.perf_counter() - interrupts[0] < 5 + workers.PATIENCE
    assert not [path for path in (tmp_path / "out/masks").iterdir() if path.name.startswith(".partial")]
    monkeypatch.setattr(workers.Workers, "_receive_from", heard)
    assert run(cfg)["counts"]["images"] == 9


class Full:
    def __call__(self, sample, outcome):
        raise OSError(errno.ENOSPC, "No space left on device", "a/mask.png")


def test_a_full_disk_is_one_sentence_whoever_meets_it(tmp_path, data, monkeypatch):
    class FullWriter(Writer):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.image_step = Full()

    monkeypatch.setattr(runner, "Writer", FullWriter)
    with pytest.raises(OutputError, match=r"a/mask\.png: No space left on device; make room"):
        run(folder_config(data, tmp_path / "out", "num_workers=1"))


@pytest.mark.parametrize("backbone", [TinySam(device="cpu"), TinyHqSam(device="cpu")], ids=["sam", "hq"])
def test_a_served_backbone_answers_as_the_backbone_does(backbone):
    exchange = Exchange()
    server = Server(backbone, exchange)
    served = ServedBackbone(Facts.of(backbone), exchange, server)
    image, mask = photo(SIZE, 0), blob(SIZE, 0)
    rows, columns = np.nonzero(mask)
    box = np.array([[columns.min(), rows.min(), columns.max(), rows.max()]], np.float32)
    heat = np.random.default_rng(0).normal(size=(1, 1, *backbone.mask_input_size)).astype(np.float32)
    near, far = backbone.encode(image), served.encode(image)
    assert torch.equal(near.features, far.features)
    assert (near.original_size, near.input_size) == (far.original_size, far.input_size)
    for prompts in (Prompts(boxes=box), Prompts(box[:, None, :2], np.ones((1, 1), np.int64), box, heat)):
        expected, found = backbone.decode(near, prompts), served.decode(far, prompts)
        assert torch.equal(expected.low_res_logits, found.low_res_logits)
        assert torch.equal(expected.iou_predictions, found.iou_predictions)
        part = served.decode(far, prompts, unpadded_only=True).low_res_logits
        height = -(-near.input_size[0] * backbone.mask_input_size[0] // backbone.img_size)
        assert torch.equal(part[..., :height, :], expected.low_res_logits[..., :height, :])
        assert not torch.equal(part, expected.low_res_logits), "what the image does not see stays where it is"
    assert len(server.embeddings) == 1
    del far
    served.encode(image)
    assert len(server.embeddings) == 1, "embeddings that nobody has are let go"


def test_arrays_lie_side_by_side_in_an_exchange():
    exchange = Exchange()
    parts = {"a": np.arange(7, dtype=np.uint8), "b": torch.randn(2, 3), "c": np.zeros((0, 4), np.int64)}
    places = exchange.write(parts, start=5)
    for name, part in parts.items():
        found = exchange.read(places[name])
        assert found.dtype == np.asarray(part).dtype
        assert np.array_equal(found, np.asarray(part)), name


@pytest.mark.parametrize(
    ("wanted", "device", "least", "most"), [(3, "cpu", 3, 3), ("auto", "cpu", 0, 0), ("auto", "cuda", 1, workers.MOST)]
)
def test_auto_is_none_beside_a_model_on_the_processor(wanted, device, least, most):
    assert least <= worker_count(wanted, torch.device(device)) <= most


def test_another_word_is_refused():
    with pytest.raises(ConfigError, match="num_workers is many; expected auto or a whole number"):
        worker_count("many", torch.device("cpu"))
