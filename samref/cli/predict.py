"""`samref predict IMAGES OUTPUT`: coarse masks of a folder of images, from a network, where there are none yet."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samref.config.paths import path_problem
from samref.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from samref.training.predictors import Predictor

DETAILS = """\
models:
  mask_rcnn    torchvision's, of COCO's 80 categories: OUTPUT/results.json, COCO results (default)
  mask2former  of transformers, likewise: pip install 'samref[hf]'
  deeplabv3    torchvision's, of PASCAL VOC's 21 classes: one label PNG an image
  FILE         network.safetensors of a training run: whichever of the two it was trained on

then, for example:
  samref predict photos/ coarse/
  samref refine --coco coarse/results.json --images photos/ refined/
"""
RESULTS = "results.json"


def main(words: Sequence[str]) -> int:
    """Writes what a network finds in images.

    Raises:
        SamrefError: when something is wrong.
    """
    options = _parser().parse_args(words)
    problems = [path_problem("", str(options.images), "InputFolder", "a folder with the images")]
    if options.annotations is not None:
        problems.append(
            path_problem("--annotations ", str(options.annotations), "InputFile", "a COCO annotations file")
        )
    found = [problem for problem in problems if problem is not None]
    if found:
        raise ConfigError("; ".join(found))
    print(f"loading {options.model} ...", flush=True)
    from samref.backbones.device import resolve_device
    from samref.training.predictors import predictor_of

    device = resolve_device(options.device)
    predictor = predictor_of(options.model, device)
    written = predict_folder(predictor, device, options.images, options.output, options.annotations, options.score)
    print(f"{written} in {options.output}")
    return 0


def predict_folder(
    predictor: Predictor, device: torch.device, images: Path, output: Path, annotations: Path | None, score: float
) -> str:
    """Writes what a network finds in a folder of images; a file that cannot be read is named and left out.

    Args:
        predictor: the network.
        device: where it computes.
        images: folder of the images.
        output: folder for `results.json` or label PNGs, made when needed.
        annotations: COCO file that names the images and their ids; None: all images, under their names.
        score: smallest score of an instance that is written.

    Returns:
        What was written, in words.

    Raises:
        DatasetError: where there is no image.
    """
    import numpy as np
    import torch

    from samref.datasets.voc.labels import write_labels
    from samref.errors import DatasetError, InputError
    from samref.io.atomic import write_text
    from samref.io.images import read_image

    places = _named(images, annotations)
    if not places:
        raise DatasetError(f"{images} holds none of the images; expected image files, or those of --annotations")
    results: list[dict[str, Any]] = []
    done = 0
    for image_id, path in places.items():
        try:
            pixels = read_image(path)
        except InputError as error:
            print(f"  left out: {error}")
            continue
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).to(device)
        with torch.inference_mode():
            found = predictor.predict(image)
        if predictor.kind == "semantic":
            labels = np.asarray(predictor.ids, np.uint8)[found.argmax(dim=0).cpu().numpy()]
            # A path that is no PNG: VOC's palette.
            write_labels(output / f"{path.stem}.png", labels, path)
        else:
            results += _records(predictor, found, image_id, score)
        done += 1
    if predictor.kind == "semantic":
        return f"{done} label PNGs"
    write_text(output / RESULTS, json.dumps(results) + "\n")
    return f"{len(results)} masks of {done} images, {RESULTS},"


def _records(predictor: Predictor, found: dict[str, Any], image_id: Any, score: float) -> list[dict[str, Any]]:
    from samref.io.coco_masks import area_and_box, encode_rle

    records = []
    masks, labels = found["masks"].cpu().numpy().astype(bool), found["labels"].tolist()
    for mask, label, value in zip(masks, labels, found["scores"].tolist(), strict=True):
        if value >= score and mask.any():
            record = {"image_id": image_id, "category_id": predictor.ids[label], "score": value}
            records.append({**record, "bbox": area_and_box(mask)[1], "segmentation": encode_rle(mask)})
    return records


def _named(images: Path, annotations: Path | None) -> dict[Any, Path]:
    """The image files by their ids: those of an annotations file, or numbers and names of the files themselves."""
    from samref.io.coco_files import image_names, read_coco
    from samref.io.image_folder import ImageFolder, is_number, list_images

    if annotations is not None:
        records = read_coco(annotations, "--annotations").images
        located = ImageFolder(images).locate({record["id"]: image_names(record) for record in records})
        for reason in located.missing.values():
            print(f"  left out: {reason}")
        return dict(located.paths)
    paths = [images / path for path in list_images(images)]
    return {int(path.stem) if is_number(path.stem) else path.stem: path for path in paths}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samref predict", description=__doc__, epilog=DETAILS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("images", type=Path, metavar="IMAGES", help="folder of the images")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="folder for the masks")
    parser.add_argument("--model", default="mask_rcnn", metavar="MODEL", help="see below (mask_rcnn)")
    parser.add_argument(
        "--annotations", type=Path, metavar="JSON", help="COCO file that names the images and their ids"
    )
    parser.add_argument(
        "--score", type=float, default=0.05, help="smallest score of an instance that is written (0.05)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    return parser
