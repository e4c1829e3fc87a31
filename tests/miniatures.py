"""Miniature data sets under the very names that the commands of `conf/experiment` and `experiments/` use.

`make_miniature("coco", folder)` leaves IMAGES, GT.json, PRED.json and the others there, in the official layouts; run
from that folder, a command works as it is printed. What other tools would have made of the coarse masks is a copy of
these.
"""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from samref.datasets.coco.cocofied import cocofy_file
from tests.factories import blob, make_davis, make_davis585, save_mask, save_photo
from tests.factories_benchmarks import annotation, image_record, make_big, make_coco, make_lvis, make_voc, result
from tests.factories_benchmarks import write_json as write
from tests.factories_scenes import make_scenes

TRAINED_WITH = {
    "NB": ("F1%+U99%", "F5%+U95%", "F10%+U90%"),
    "PointWSSIS": ("F1%+P99%", "F5%+P95%", "F10%+P90%"),
}
DETECTORS = (
    "MaskRCNN-RN50",
    "MaskRCNN-RN101",
    "PointRend",
    "RefineMask",
    "MaskTransfiner",
    "SOLO",
    "CondInst",
    "Mask2Former",
)
FIXTURES = Path(__file__).parent / "fixtures"
TOOLS = ("CRM", "SEGREFINER", "SEGFIX", "BPR")
# What names a miniature on the command line.
ARGUMENTS = {
    "scenes": ["dataset.length=1", "dataset.size=[64,80]"],
    "coco": ["dataset.images=IMAGES", "dataset.annotations=GT.json", "dataset.predictions=PRED.json"],
    "lvis": ["dataset.images=IMAGES", "dataset.annotations=GT.json", "dataset.predictions=PRED.json"],
    "voc": ["dataset.root=DIR", "dataset.coarse=MASKS"],
    "folder": ["dataset.images=IMAGES", "dataset.masks=MASKS", "dataset.output=OUTPUT"],
    "yolo": ["dataset.data=yolo/data.yaml"],
    "labelme": ["dataset.labels=labelme"],
    "geotiff": ["dataset.images=IMAGES", "dataset.masks=MASKS", "dataset.window=64", "dataset.margin=16"],
    "voc_instances": ["dataset.root=voc_instances"],
    "cvat": ["dataset.annotations=cvat/annotations.xml", "dataset.images=cvat/images"],
    "label_studio": ["dataset.tasks=label_studio/tasks.json", "dataset.images=label_studio/images"],
}


def make_miniature(dataset: str, folder: Path) -> list[str]:
    """Makes the files of a data set in a folder; returns the overrides that name them from there."""
    folder.mkdir(parents=True, exist_ok=True)
    if dataset in MAKERS:
        MAKERS[dataset](folder)
    for tool in TOOLS:
        _copy_coarse(folder, tool)
    return ARGUMENTS.get(dataset, ["dataset.root=DIR"])


def _copy_coarse(folder, tool):
    if (folder / "PRED.json").is_file():
        shutil.copy(folder / "PRED.json", folder / f"{tool}.json")
    elif (folder / "MASKS").is_dir():
        shutil.copytree(folder / "MASKS", folder / tool)
    else:
        root = folder / "DIR"
        for mask in [*root.rglob("*_seg.png"), *root.rglob("init_sp_*.png")]:
            save_mask(folder / tool / mask.relative_to(root), np.array(Image.open(mask)) > 127)


def _coco(folder):
    made = make_coco(folder)
    made.images.rename(folder / "IMAGES")
    shutil.copytree(folder / "IMAGES", folder / "VAL")
    for name in ("GT.json", "instances_train2017_5K.json", "instances_val2017.json"):
        shutil.copy(made.annotations, folder / name)
    for name in ["PRED.json", *(f"{method}_{share}.json" for method, all_ in TRAINED_WITH.items() for share in all_)]:
        write(folder / name, made.results)


def _lvis(folder):
    made = make_lvis(folder)
    made.images.rename(folder / "IMAGES")
    cocofy_file(made.annotations, folder / "GT.json")
    shutil.copy(folder / "GT.json", folder / "lvis_v0.5_val_cocofied.json")
    dog, person = (5, 5, 23, 30), (12, 8, 40, 33)
    for path in ("PRED.json", *(f"DIR/{model}.json" for model in DETECTORS)):
        write(folder / path, [result(11, 18, dog), result(12, 1, person)])
    own = {
        "images": [image_record(11), image_record(12)],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        "annotations": [annotation(1, 11, 18, dog), annotation(2, 12, 1, person)],
    }
    write(folder / "instances_val2017.json", own)


def _voc(folder):
    made = make_voc(folder / "DIR")
    made.coarse.rename(folder / "MASKS")
    lists = folder / "DIR" / "ImageSets" / "Segmentation"
    for split in ("train", "trainaug"):
        shutil.copy(lists / "val.txt", lists / f"{split}.txt")


def _folder(folder):
    for number in ("", "2"):
        for k in range(2):
            save_photo(folder / f"IMAGES{number}" / f"photo{k}.png", (48, 64), k)
            save_mask(folder / f"MASKS{number}" / f"photo{k}.png", blob((48, 64), k))


MAKERS = {
    "davis585": lambda folder: make_davis585(folder / "DIR", sequences=1, frames=1),
    "davis": lambda folder: make_davis(folder / "DIR", frames=1),
    "coco": _coco,
    "lvis": _lvis,
    "voc": _voc,
    "big": lambda folder: make_big(folder / "DIR"),
    "relabeled_voc": lambda folder: make_big(folder / "DIR"),
    "folder": _folder,
    "label_studio": lambda folder: shutil.copytree(FIXTURES / "label_studio", folder / "label_studio"),
    "cvat": lambda folder: shutil.copytree(FIXTURES / "cvat", folder / "cvat"),
    "voc_instances": lambda folder: shutil.copytree(FIXTURES / "voc_instances", folder / "voc_instances"),
    "geotiff": make_scenes,
    "labelme": lambda folder: shutil.copytree(FIXTURES / "labelme", folder / "labelme"),
    "yolo": lambda folder: shutil.copytree(FIXTURES / "yolo", folder / "yolo"),
}
