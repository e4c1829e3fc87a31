"""What is fuzzed: each target has whole files to start from, a way to damage them, and the code that must cope."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from samref.adaption.checkpoint import load_adaptor, save_adaptor
from samref.adaption.lora import adapt_head, original_head
from samref.backbones.cache.entry import write_entry
from samref.backbones.cache.store import EmbeddingStore
from samref.backbones.tiny import TinySam
from samref.backbones.weights.checkpoint import read_state_dict
from samref.config.compose import build, compose_config, plain
from samref.datasets.coco.coco import CocoDataset
from samref.datasets.coco.cocofied import cocofy_file
from samref.datasets.coco.lvis import LvisDataset
from samref.datasets.folder.folder import Folder
from samref.datasets.voc.labels import read_labels, read_npy_labels
from samref.errors import InputError, SamrefError
from samref.io import images, masks
from samref.io.coco_files import read_image_ids
from samref.refiners.external_records import RecordMasks
from samref.report.runs import read_runs
from tests.factories import blob, make_folder, photo
from tests.factories_benchmarks import make_coco, make_lvis, refined
from tests.robustness.mutations import ODD_VALUES, mutate_bytes, mutate_json, mutate_png

Mutation = Callable[[bytes, Random, bytes], bytes]


@dataclass(frozen=True)
class Target:
    """Code that reads files of strangers.

    Attributes:
        name: for the report.
        share: of the inputs.
        seeds: whole files, made in a folder: contents by name.
        mutate: damages one of them.
        read: reads the damaged file; errors of `samref.errors` are what it should raise.
    """

    name: str
    share: int
    seeds: Callable[[Path], dict[str, bytes]]
    mutate: Mutation
    read: Callable[[Path], None]


def tolerant(*calls: Callable[[], Any]) -> None:
    """Makes all calls; each may end in one of our own errors, whose text must be one line."""
    for call in calls:
        try:
            call()
        except SamrefError as error:
            text = str(error)
            assert text, "an error without a word"
            assert "\n" not in text, f"an error of several lines: {text!r}"
            text.encode()


# Images and masks --------------------------------------------------------------------------------------------------


def image_seeds(_: Path) -> dict[str, bytes]:
    """Small images in every format and mode."""
    rgb, gray = photo((13, 17), 0), blob((13, 17), 0).astype(np.uint8) * 255
    palette = Image.fromarray(gray // 255)
    palette.putpalette([0, 0, 0, 128, 0, 0, *[0] * 762])
    pictures = {
        "rgb.png": Image.fromarray(rgb),
        "rgba.png": Image.fromarray(np.dstack([rgb, gray])),
        "gray.png": Image.fromarray(gray),
        "bits.png": Image.fromarray(gray > 0),
        "sixteen.png": Image.fromarray(rgb[..., 0].astype(np.uint16) * 16),
        "palette.png": palette,
        "mask.png": Image.fromarray(gray),
        "photo.jpg": Image.fromarray(rgb),
        "photo.webp": Image.fromarray(rgb),
        "photo.bmp": Image.fromarray(rgb),
        "photo.tif": Image.fromarray(rgb),
        "mask.gif": palette,
    }
    found = {}
    for name, picture in pictures.items():
        data = io.BytesIO()
        suffix = Path(name).suffix[1:]
        picture.save(data, {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
        found[name] = data.getvalue()
    return found


def mutate_image(data: bytes, random: Random, partner: bytes) -> bytes:
    """PNGs by their chunks, the others blindly."""
    return (mutate_png if data.startswith(b"\x89PNG") else mutate_bytes)(data, random, partner)


def read_images(path: Path) -> None:
    """As image, as mask, as label map, as VOC labels."""
    tolerant(
        lambda: images.read_image(path),
        lambda: images.image_size(path),
        lambda: masks.read_mask(path),
        lambda: masks.read_labels(path),
        lambda: read_labels(path),
    )


def folder_seeds(folder: Path) -> dict[str, bytes]:
    """Masks for a folder run."""
    make_folder(folder / "folder", names=("a",), size=(13, 17))
    return {name: data for name, data in image_seeds(folder).items() if name in MASKS}


MASKS = ("gray.png", "bits.png", "palette.png", "sixteen.png", "mask.gif")


def read_folder(path: Path) -> None:
    """A folder's sample of a good image and a damaged mask, written back inverted."""
    root = path.parent / "folder"
    for old in (root / "masks").iterdir():
        old.unlink()
    (root / "masks" / f"a{path.suffix}").write_bytes(path.read_bytes())

    def go(label_maps: Any) -> None:
        dataset = Folder(root / "images", root / "masks", path.parent / "out", label_maps=label_maps)
        sample = dataset[0]
        dataset.writer(path.parent / "out").write(sample, refined(~sample.masks))

    tolerant(lambda: go("auto"), lambda: go(True))


# JSON --------------------------------------------------------------------------------------------------------------


def coco_seeds(folder: Path) -> dict[str, bytes]:
    """Annotations and results of COCO and LVIS."""
    coco, lvis = make_coco(folder / "coco"), make_lvis(folder / "lvis")
    return {
        "truth.json": coco.annotations.read_bytes(),
        "results.json": coco.predictions.read_bytes(),
        "lvis_truth.json": lvis.annotations.read_bytes(),
        "lvis_results.json": lvis.predictions.read_bytes(),
    }


def read_coco(path: Path) -> None:
    """As coarse masks, as ground truth, as list of images, as another tool's masks; refined, scored and written."""
    lvis = path.name.startswith("lvis")
    made = path.parent / ("lvis" if lvis else "coco")
    kind = LvisDataset if lvis else CocoDataset
    truth = next((made / "annotations").iterdir())

    def whole(**files: Path) -> None:
        dataset = kind(made / "val2017", **files)
        scorer = dataset.scorer()
        writer = dataset.writer(path.parent / "out")
        other = RecordMasks(path)
        for index in range(len(dataset)):
            try:
                sample = dataset[index]
            except InputError:
                continue
            refinement = refined(~sample.masks)
            if scorer is not None:
                scorer.update(sample, refinement)
            writer.write(sample, refinement)
            if len(sample.masks):
                tolerant(lambda sample=sample: other.open(sample)(0))
        writer.close()
        json.dumps([[str(problem.image_id), problem.reason] for problem in dataset.problems]).encode()
        if scorer is not None:
            scorer.compute()

    if "results" in path.name:
        tolerant(lambda: whole(predictions=path), lambda: whole(annotations=truth, predictions=path))
    else:
        tolerant(lambda: whole(annotations=path), lambda: whole(annotations=truth, predictions=path))
    tolerant(lambda: read_image_ids(path), lambda: cocofy_file(path, path.parent / "cocofied.json"))


def text_seeds(_: Path) -> dict[str, bytes]:
    """A list of image ids and a report."""
    report = {"experiment": "x", "metrics": {"coarse": {"iou": 0.5}, "refined": {"iou": 0.75}}, "config": {"seed": 0}}
    report |= {"finished": "2026-01-01T00:00:00+00:00", "timing": {"total": 1.0}}
    return {"ids.txt": b"1\n17\nname\n", "report.json": json.dumps(report).encode()}


def mutate_text(data: bytes, random: Random, partner: bytes) -> bytes:
    """JSON by its values, text blindly."""
    return (mutate_json if data.startswith(b"{") else mutate_bytes)(data, random, partner)


def read_texts(path: Path) -> None:
    """Lists of ids, and reports as the tables read them."""
    if path.suffix == ".txt":
        tolerant(lambda: read_image_ids(path))
        return
    for run in read_runs([path])[0]:
        for metric in ("iou", "minutes"):
            run.value(metric, "refined")
        run.matches({"seed": 0, "prompts.mask.omega": 15})


# Arrays and weights ------------------------------------------------------------------------------------------------


def cam_seeds(_: Path) -> dict[str, bytes]:
    """Class activation maps in each pickle protocol that numpy has used, and by class."""
    maps = np.random.default_rng(0).random((2, 5, 6)).astype(np.float16)
    forms = {"clip_es": {"keys": np.array([3, 11]), "attn_highres": maps}, "classes": {3: maps[0], 11: maps[1]}}
    found = {}
    for name, content in forms.items():
        for protocol in (2, 3, 4):
            file = io.BytesIO()
            np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
            pickle.dump(np.array(content, dtype=object), file, protocol=protocol)
            found[f"{name}{protocol}.npy"] = file.getvalue()
    plain_array = io.BytesIO()
    np.save(plain_array, maps)
    found["plain.npy"] = plain_array.getvalue()
    return found


def read_cams(path: Path) -> None:
    """As VOC's coarse masks."""
    tolerant(lambda: read_npy_labels(path, (13, 17), None))


@lru_cache(maxsize=1)
def backbone() -> TinySam:
    """The tiny model, once."""
    return TinySam(device="cpu")


KEY = "ab" * 20


def tensor_seeds(folder: Path) -> dict[str, bytes]:
    """A checkpoint in both formats, an adaptor, a cached embedding."""
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2, dtype=torch.float16)}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "new.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    write_entry(folder / "entry.safetensors", KEY, {"features": torch.rand(1, 2, 3, 3)})
    with original_head(backbone().iou_head):
        adapt_head(backbone().iou_head, 4, 4.0, "last", seed=0)
        save_adaptor(folder / "adaptor.safetensors", backbone(), 4, 4.0, "last")
    names = ("new.pth", "old.pth", "entry.safetensors", "adaptor.safetensors")
    return {"state.safetensors": save(state), **{name: (folder / name).read_bytes() for name in names}}


def mutate_tensors(data: bytes, random: Random, partner: bytes) -> bytes:
    """Half of the safetensors by the JSON of their header, all else blindly."""
    size = int.from_bytes(data[:8], "little")
    if size < len(data) and data[8:9] == b"{" and random.random() < 0.5:
        header = mutate_json(data[8 : 8 + size], random)
        return len(header).to_bytes(8, "little") + header + data[8 + size :]
    return mutate_bytes(data, random, partner)


def read_tensors(path: Path) -> None:
    """As checkpoint, as adaptor, as cached embedding (which is then a miss, never an error)."""
    store = EmbeddingStore(path.parent / "store", max_gb=1)
    entry = store.path("tiny", KEY)
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_bytes(path.read_bytes())
    found = store.read("tiny", KEY)
    assert found is None or set(found) == {"features"}, f"a damaged entry was taken: {found}"
    with original_head(backbone().iou_head):
        tolerant(lambda: read_state_dict(path), lambda: load_adaptor(path, backbone()))


# Configurations ----------------------------------------------------------------------------------------------------


def config_seeds(_: Path) -> dict[str, bytes]:
    """Command lines, one override a line."""
    keys = [
        "prompts.mask.omega", "prompts.mask.gamma", "prompts.mask.form", "prompts.mask.background", "prompts.box.lam",
        "prompts.box.max_pixels", "prompts.box.steps", "prompts.point.strategy", "prompts.point.negative",
        "prompts.use", "refiner.iterations", "refiner.selection", "refiner.cascade", "refiner.chunk_size", "limit",
        "guard.min_agreement", "guard.enabled", "dataset.length", "dataset.size", "dataset.objects", "dataset.seed",
        "on_error", "num_workers", "seed", "backbone.img_size", "backbone.device", "backbone.cache", "trainer.devices",
        "adaption.rank", "adaption.lr", "adaption.margin", "adaption.placement", "paths.outputs",
        "callbacks.gallery.count", "callbacks.gallery", "logger",
        "name", "form", "dataset.root", "dataset.images", "dataset.masks", "dataset.stm.mu", "dataset.stm.rule",
    ]  # fmt: skip
    groups = ["prompts=box", "dataset=voc", "dataset=folder", "dataset=davis", "dataset=coco", "adaption=iou_lora",
              "refiner=grid_merge", "refiner=external", "+preset=released", "+experiment=demo"]  # fmt: skip
    return {f"{k}.txt": line.encode() for k, line in enumerate([*(f"{key}=1" for key in keys), *groups])}


def mutate_config(data: bytes, random: Random, partner: bytes) -> bytes:
    """Another value, two overrides, or damaged text."""
    key, _, value = data.decode().partition("=")
    if random.random() < 0.2:
        return mutate_bytes(data, random, partner)
    values = [
        *(json.dumps(odd) for odd in ODD_VALUES), "null", "nan", "inf", "-inf", "1e999", "abc", "[1,2", "{a:1}", "'x'",
        "${seed}", "${nothing}", "${oc.env:NOTHING}", "1_000", "0x10", "[1,2,3]", "[-1,5]", "[0,0]", "true",
    ]  # fmt: skip
    line = f"{key}={value if random.random() < 0.1 else random.choice(values)}"
    return line.encode(errors="replace") + (b"\n" + partner if random.random() < 0.3 else b"")


def read_config(path: Path) -> None:
    """Composed and resolved, and everything built that reads no files of its own."""
    overrides = [line for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if line]

    def go() -> None:
        cfg = compose_config(["backbone=tiny", *overrides])
        plain(cfg)
        prompts = build(cfg.prompts)
        tolerant(lambda: build(cfg.refiner, backbone=backbone(), prompts=prompts), lambda: build(cfg.guard))
        tolerant(lambda: build(cfg.dataset))
        if cfg.adaption.get("_target_"):
            tolerant(lambda: build(cfg.adaption))

    tolerant(go)


TARGETS = (
    Target("images", 36, image_seeds, mutate_image, read_images),
    Target("folder", 12, folder_seeds, mutate_image, read_folder),
    Target("coco", 20, coco_seeds, mutate_json, read_coco),
    Target("texts", 4, text_seeds, mutate_text, read_texts),
    Target("npy", 14, cam_seeds, mutate_bytes, read_cams),
    Target("tensors", 12, tensor_seeds, mutate_tensors, read_tensors),
    Target("configs", 2, config_seeds, mutate_config, read_config),
)
