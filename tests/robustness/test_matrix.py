"""Every loader against every kind of bad file: one sentence that names the file, and the rest goes on.

Kinds that `tests/test_images.py`, `tests/datasets` and `tests/backbones/weights` hold for a single reader (bombs, 30
megapixels, wrong values, other sizes, hashes) are not repeated for each loader here.
"""

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from samref.adaption.checkpoint import load_adaptor
from samref.backbones.weights.checkpoint import read_state_dict
from samref.backbones.weights.fetch import find_weights
from samref.config.compose import build, compose_config
from samref.datasets.loader import Samples
from samref.engine import runner
from samref.errors import DatasetError, SamrefError, WeightsError
from samref.structures import Failure, Sample
from tests.factories import blob, make_davis585, make_folder, photo, save_mask
from tests.factories_benchmarks import make_big, make_voc
from tests.miniatures import make_miniature
from tests.robustness.targets import backbone
from tests.robustness.undisturbed import folder_config, in_child


def emptied(path):
    path.write_bytes(b"")


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scrambled(path):
    data = bytearray(path.read_bytes())
    data[10:60] = b"\xa5" * 50
    path.write_bytes(data)


def text(path):
    path.write_text("not what its name promises")


def a_folder(path):
    """Stands for a file without permission, too: root may read everything, but no folder as a file."""
    path.unlink()
    path.mkdir()


def looped(path):
    path.unlink()
    path.symlink_to(path.name)


def dangling(path):
    path.unlink()
    path.symlink_to("nowhere")


def gone(path):
    path.unlink()


KINDS = (emptied, truncated, scrambled, text, a_folder, looped, dangling, gone)


def restore(path, data):
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def outcome(cfg):
    """Sentences that name what is wrong, and the samples that are right."""
    try:
        dataset = build(cfg)
    except DatasetError as error:
        return [str(error)], None
    samples = Samples(dataset, None, "skip")
    found = [samples[index] for index in range(len(samples))]
    reasons = [
        failure.reason for failure in (*getattr(dataset, "problems", ()), *found) if isinstance(failure, Failure)
    ]
    return reasons, [sample for sample in found if isinstance(sample, Sample)]


# The overrides, and how many samples there are when nothing is wrong.
LOADERS = {
    "davis585": 1,
    "davis": 1,
    "coco": 2,
    "lvis": 2,
    "voc": 3,
    "cams": 3,
    "big": 2,
    "relabeled_voc": 2,
    "folder": 2,
}


@pytest.mark.parametrize("loader", LOADERS)
def test_a_bad_file_costs_itself_and_is_named(tmp_path, monkeypatch, loader):
    monkeypatch.chdir(tmp_path)
    if loader == "cams":
        made = make_voc(tmp_path / "DIR", cams=True)
        overrides = ["dataset=voc", "dataset.root=DIR", f"dataset.coarse={made.coarse}", "dataset.allow_pickle=true"]
    else:
        overrides = [f"dataset={loader}", *make_miniature(loader, tmp_path)]
    cfg = compose_config(overrides).dataset
    reasons, samples = outcome(cfg)
    assert not reasons and len(samples) == LOADERS[loader]
    used = [path for path in sorted(tmp_path.rglob("*")) if path.is_file() and not is_spare(path, loader)]
    firsts = {(path.parent, path.suffix, kind_of(path)): path for path in used}
    assert len(firsts) >= 2
    for path in firsts.values():
        data = path.read_bytes()
        for spoil in KINDS:
            spoil(path)
            reasons, left = outcome(cfg)
            harmless = left is not None and len(left) == LOADERS[loader]
            # A sentence names the file, or the folder that lacks it.
            names = {path.stem, *path.relative_to(tmp_path).parts}
            assert harmless or any(name in sentence for name in names for sentence in reasons), (path, spoil, reasons)
            assert all("\n" not in sentence for sentence in reasons)
            if left is not None:
                assert len(left) >= LOADERS[loader] - 1, (path, spoil, reasons)
            if not harmless and path.suffix != ".txt":
                assert reasons, (path, spoil)
            restore(path, data)
    assert outcome(cfg)[0] == []


def kind_of(path):
    return "".join(letter for letter in path.stem if letter.isalpha())


def is_spare(path, loader):
    """Files of the miniature that this loader does not read."""
    spare = {"CRM", "SEGREFINER", "SEGFIX", "BPR", "annotations"}
    names = {"PRED.json", "GT.json"} if loader in ("coco", "lvis") else set()
    return bool(spare & set(path.parts)) or (path.suffix == ".json" and path.name not in names)


def test_good_files_of_odd_sizes_and_names_are_refined(tmp_path):
    shapes = {
        "one": (1, 1),
        "thin": (1, 20000),
        "Ünïcödé 日本 🎈": (20, 30),
        "n" * 240: (20, 30),
        'with, comma; "quotes" & <tags>': (20, 30),
    }
    data = tmp_path / "data"
    for name, size in shapes.items():
        (data / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(size, 0)).save(data / "images" / f"{name}.png")
        mask = np.zeros(size, bool)
        mask[: max(1, size[0] // 2), : max(1, size[1] // 2)] = True
        save_mask(data / "masks" / f"{name}.png", mask)
    report = runner.run(folder_config(data, tmp_path / "run", "callbacks.gallery.count=10"))
    assert report["counts"]["failed"] == 0
    assert {path.stem for path in (tmp_path / "run" / "masks").glob("*.png")} == set(shapes)
    page = next((tmp_path / "run").rglob("gallery.html")).read_text()
    assert "<tags>" not in page and "\\u003ctags\\u003e" in page


BAD_MASKS = {
    "colors": lambda path: Image.fromarray(photo((24, 32), 0)).save(path),
    "other size": lambda path: save_mask(path, blob((10, 10), 0)),
    "one pixel": lambda path: save_mask(path, np.ones((1, 1), bool)),
    "not finite": lambda path: Image.fromarray(np.full((24, 32), np.nan, np.float32)).save(path, "TIFF"),
    "many values": lambda path: Image.fromarray(np.arange(24 * 32, dtype=np.uint16).reshape(24, 32)).save(path),
}


def test_a_run_goes_on_past_bad_files_and_says_so(tmp_path):
    data = make_folder(tmp_path / "data", names=[f"good{k}" for k in range(3)], size=(24, 32))
    whole = runner.run(folder_config(data, tmp_path / "whole"))
    names = [f"bad {name}" for name in (*BAD_MASKS, "truncated", "loop")]
    bad = make_folder(tmp_path / "bad", names=names, size=(24, 32))
    for name, spoil in BAD_MASKS.items():
        spoil(bad / "masks" / f"bad {name}.png")
    truncated(bad / "masks" / "bad truncated.png")
    looped(bad / "images" / "bad loop.jpg")
    for path in [*bad.rglob("*.png"), *bad.rglob("*.jpg")]:
        shutil.copy(path, data / path.parent.name, follow_symlinks=False)
    report = runner.run(folder_config(data, tmp_path / "run"))
    assert report["counts"]["images"] == whole["counts"]["images"] == 3
    named = {failure["image"] for failure in json.loads(Path(report["folder"], "report.json").read_text())["failures"]}
    assert named == set(names)
    for path in (tmp_path / "whole" / "masks").glob("[!.]*"):
        assert (tmp_path / "run" / "masks" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "run" / "masks").glob("[!.]*"))) == 3
    with pytest.raises(SamrefError, match="bad "):
        runner.run(folder_config(data, tmp_path / "strict", "on_error=raise"))


@pytest.mark.parametrize(("spoiled", "code"), [(False, 0), (True, 1)])
def test_the_exit_code_says_whether_images_failed(tmp_path, spoiled, code):
    data = make_folder(tmp_path / "data", size=(24, 32))
    if spoiled:
        truncated(data / "masks" / "a.png")
    cfg = folder_config(data, tmp_path / "run")
    arguments = [
        "dataset=folder", f"dataset.images={cfg.dataset.images}", f"dataset.masks={cfg.dataset.masks}",
        f"dataset.output={cfg.dataset.output}", f"paths.outputs={cfg.paths.outputs}", "backbone=tiny", "logger=none",
    ]  # fmt: skip

    def command():
        sys.argv = ["run.py", *arguments]
        try:
            runpy.run_path(str(Path(__file__).parents[2] / "run.py"), run_name="__main__")
        except SystemExit as error:
            return error.code
        return None

    done = in_child(command)
    assert done[0] == "done", done[1]
    assert (1 if isinstance(done[1], str) else done[1] or 0) == code


@pytest.mark.parametrize("spoil", KINDS, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "adaptor.safetensors"])
def test_bad_weights_are_one_sentence(tmp_path, name, spoil):
    path = tmp_path / name
    path.write_bytes(os.urandom(500))
    spoil(path)

    def load():
        if name.startswith("adaptor"):
            load_adaptor(path, backbone())
        else:
            read_state_dict(find_weights("tiny", str(path)).path)

    with pytest.raises(WeightsError, match=name) as caught:
        load()
    assert "\n" not in str(caught.value)


def test_a_file_that_others_speak_of_is_missed(tmp_path):
    for make, path in ((make_davis585, "seq0/00000.jpg"), (make_big, "object0_gt.png"), (make_big, "object1_seg.png")):
        root = tmp_path / path.replace("/", "-")
        make(root)
        (root / path).unlink()
        loader = "davis585" if make is make_davis585 else "big"
        reasons, samples = outcome(compose_config([f"dataset={loader}", f"dataset.root={root}"]).dataset)
        assert samples is None
        assert Path(path).name in reasons[0]
