"""Refines the polygons and masks of a task on a CVAT server, in place: `python -m samref.plugins.cvat_task --help`.

CVAT's own functions for automatic annotation see pictures alone; this reads the shapes that are there.
"""

from __future__ import annotations

import argparse
import getpass
import io
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from samref.errors import ConfigError, InputError, SamrefError
from samref.geometry.polygons import one_ring, shared_out
from samref.io.coco_masks import decode
from samref.plugins.refiner import MaskRefiner
from samref.structures import REFINED, BoolArray

POLYGON, MASK = "polygon", "mask"
# Coordinates as CVAT itself stores them.
DECIMALS = 2
TOKEN, PASSWORD = "CVAT_ACCESS_TOKEN", "CVAT_PASSWORD"


def refine_task(task: Any, refiner: MaskRefiner, tolerance: float = 0.0) -> Counter[str]:
    """Refines the shapes of a task, frame by frame; each frame is saved when it is done.

    Shapes of one label and group are one object. Label, group, attributes, z-order and occlusion stay, and so do boxes,
    points, lines, tags and tracks. A shape of a group of which no part is left is deleted.

    Args:
        task: of `cvat_sdk`: `client.tasks.retrieve(ID)`.
        refiner: what refines.
        tolerance: px by which outlines may deviate to have fewer points; 0: pixel for pixel.

    Returns:
        How many objects came out with each flag: `refined`, `kept`, `fallback`, `empty`; and `broken`, shapes that
        could not be read and stay as they are.
    """
    from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction

    counts: Counter[str] = Counter()
    frames: dict[int, list[Any]] = defaultdict(list)
    for shape in task.get_annotations().shapes:
        if str(shape.type) in (POLYGON, MASK):
            frames[shape.frame].append(shape)
    for frame, shapes in sorted(frames.items()):
        image = _frame(task, frame)
        objects, masks = _objects(shapes, (image.shape[0], image.shape[1]), counts)
        if not objects:
            continue
        result = refiner.refine(image, np.stack(masks))
        counts.update(result.flags)
        changed: list[Any] = []
        gone: list[Any] = []
        for members, mask, flag in zip(objects, result.masks, result.flags, strict=True):
            if flag == REFINED:
                shares = shared_out(mask, [_mask(shape, mask.shape) for shape in members])
                for shape, share in zip(members, shares, strict=True):
                    (changed if share.any() else gone).append((shape, share))
        for action, found in ((AnnotationUpdateAction.UPDATE, changed), (AnnotationUpdateAction.DELETE, gone)):
            if found:
                task.update_annotations(_request(found, tolerance), action=action)
    return counts


def main(words: Sequence[str] | None = None) -> int:
    """The command line; 0 when all went well, 1 with a sentence for anything the user can fix."""
    arguments = _parser().parse_args(words)
    try:
        client = _client(arguments.host, arguments.user)
        from samref import SAMRefiner

        refiner = SAMRefiner.from_pretrained(arguments.backbone, device=arguments.device, verdict=True, zoom=True)
        with client:
            counts = refine_task(client.tasks.retrieve(arguments.task), refiner, arguments.tolerance)
    except SamrefError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(", ".join(f"{count} {flag}" for flag, count in sorted(counts.items())) or "no polygons or masks in the task")
    return 0


def _frame(task: Any, frame: int) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(task.get_frame(frame, quality="original").read())) as image:
        return np.array(image.convert("RGB"))


def _objects(
    shapes: Sequence[Any], size: tuple[int, int], counts: Counter[str]
) -> tuple[list[list[Any]], list[BoolArray]]:
    """Shapes by object, and each object's mask."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for shape in shapes:
        groups[(shape.label_id, shape.group) if shape.group else ("shape", shape.id)].append(shape)
    objects, masks = [], []
    for members in groups.values():
        try:
            masks.append(np.logical_or.reduce([_mask(shape, size) for shape in members]))
        except InputError:
            counts["broken"] += len(members)
            continue
        objects.append(members)
    return objects, masks


def _mask(shape: Any, size: Sequence[int]) -> BoolArray:
    height, width = size[0], size[1]
    if str(shape.type) == POLYGON:
        return decode([list(shape.points)], (height, width))
    from cvat_sdk.masks import decode_mask

    try:
        return np.asarray(decode_mask(shape.points, image_width=width, image_height=height))
    except ValueError as error:
        raise InputError(f"mask {shape.id}: {error}") from None


def _request(found: Sequence[tuple[Any, BoolArray]], tolerance: float) -> Any:
    from cvat_sdk import models

    shapes = [models.LabeledShapeRequest(**_fields(shape), **_points(shape, mask, tolerance)) for shape, mask in found]
    return models.PatchedLabeledDataRequest(shapes=shapes)


def _fields(shape: Any) -> Mapping[str, Any]:
    return {key: value for key, value in shape.to_dict().items() if key != "points"}


def _points(shape: Any, mask: BoolArray, tolerance: float) -> Mapping[str, Any]:
    from cvat_sdk.masks import encode_mask

    if not mask.any():
        return {"points": list(shape.points)}
    if str(shape.type) == MASK:
        return {"points": [float(value) for value in encode_mask(mask)]}
    return {"points": np.round(one_ring(mask, tolerance), DECIMALS).reshape(-1).tolist()}


def _client(host: str, user: str | None) -> Any:
    try:
        from cvat_sdk import make_client
    except ImportError:
        raise ConfigError("cvat-sdk is not installed; expected pip install 'samref[cvat]'") from None
    token = os.environ.get(TOKEN)
    if user is None and token is None:
        raise ConfigError(f"nobody is logged in; give --user NAME, or a token in the environment variable {TOKEN}")
    try:
        if user is None:
            return make_client(host, access_token=token)
        password = os.environ.get(PASSWORD) or getpass.getpass(f"password of {user} at {host}: ")
        return make_client(host, credentials=(user, password))
    except Exception as error:
        raise ConfigError(
            f"{host} cannot be reached or refuses the login ({' '.join(str(error).split())[:120]})"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m samref.plugins.cvat_task", description="Refines polygons and masks of a CVAT task in place."
    )
    parser.add_argument("host", help="address of the server, as https://app.cvat.ai")
    parser.add_argument("task", type=int, help="number of the task")
    parser.add_argument("--user", help=f"who logs in; the password is prompted for, or taken from {PASSWORD}")
    parser.add_argument("--backbone", default="mobile_sam", help="mobile_sam, vit_b, vit_l, vit_h, ...")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--tolerance", type=float, default=0.0, help="px by which outlines may deviate; 0: none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
