"""What the page's script requests: photos, masks and folders are opened, refined, saved and accepted."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from samref.cli.page.desk import PRESETS, Desk, chosen_masks, described, drawn_url, mask_of, photo_url, saved, stem_of
from samref.cli.page.review import Review
from samref.cli.trial import default_settings
from samref.errors import InputError, SamrefError
from samref.io.images import read_image
from samref.io.masks import read_mask
from samref.structures import BoolArray, Refinement, Sample
from samref.visualization.drawing import Canvas
from samref.visualization.example_photo import example

PHOTOS = 4  # that are kept; a browser that comes back for an older one opens it again

Answer = Mapping[str, Any]


@dataclass
class Opened:
    """A photo that is on the page.

    Attributes:
        image: H x W x 3 uint8 RGB.
        name: of its file.
        sample: of the folder that it is from, or None.
        masks: N x H x W bool, those that were refined last.
        result: of them.
    """

    image: Canvas
    name: str
    sample: Sample | None = None
    masks: BoolArray | None = None
    result: Refinement | None = None


class Page:
    """What the page's buttons do; all values are JSON's."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.review: Review | None = None
        self.photos: OrderedDict[str, Opened] = OrderedDict()
        self.actions: dict[str, Callable[[Any], Answer]] = {
            "example": self.example, "photo": self.photo, "mask": self.mask, "refine": self.refine,
            "settings": self.settings, "save": self.save, "folder": self.folder, "item": self.item,
            "accept": self.accept, "keep": self.keep,
        }  # fmt: skip

    def example(self, given: Any) -> Answer:
        """The photo that is there before any other is opened."""
        image, masks = example()
        return self._shown(Opened(image, "astronaut.jpg"), masks)

    def photo(self, given: Any) -> Answer:
        """Opens a photo: `name`, `content` (base64)."""
        return self._shown(Opened(_decoded(given, read_image), str(given["name"])), None)

    def mask(self, given: Any) -> Answer:
        """Reads a mask file for a photo: `photo`, `name`, `content` (base64)."""
        mask, photo = _decoded(given, read_mask), self._photo(given)
        if mask.shape != photo.image.shape[:2]:
            raise InputError(
                f"the mask file is {mask.shape} (H, W); expected the photo's {photo.image.shape[:2]}: open one that "
                "fits, or draw"
            )
        return {"mask": drawn_url(mask)}

    def refine(self, given: Any) -> Answer:
        """Refines masks: `photo`, `masks` (data URLs), `settings`, `preset`."""
        photo, preset = self._photo(given), str(given["preset"])
        size = photo.image.shape[0], photo.image.shape[1]
        masks = np.array([mask_of(str(url), size) for url in given["masks"]], dtype=bool).reshape(-1, *size)
        photo.result = self.desk.refine(photo.image, masks, given["settings"], preset)
        photo.masks = masks
        seconds = {stage: round(value, 3) for stage, value in photo.result.timing.items()}
        command = self.desk.command(given["settings"], preset)
        return {"objects": described(masks, photo.result), "seconds": seconds, "command": command}

    def settings(self, given: Any) -> Answer:
        """What the controls say under a preset: `preset`."""
        return default_settings(PRESETS[str(given["preset"])])

    def save(self, given: Any) -> Answer:
        """The masks that were chosen, as a file: `photo`, `chosen`, `form`."""
        photo = self._photo(given)
        if photo.masks is None or photo.result is None:
            raise InputError("nothing is refined yet; draw a mask first")
        masks = chosen_masks(photo.masks, photo.result, given["chosen"])
        name, content = saved(masks, stem_of(photo.name), str(given["form"]))
        return {"name": name, "content": base64.b64encode(content).decode("ascii")}

    def folder(self, given: Any) -> Answer:
        """Opens a folder: `images`, `masks`, `output`."""
        self.review = Review(*(Path(given[key]).expanduser() for key in ("images", "masks", "output")))
        names = [self.review.data.image_id(k) for k in range(len(self.review))]
        return {"names": names, "written": [self.review.written(k) for k in range(len(names))]}

    def item(self, given: Any) -> Answer:
        """One image of the folder with its masks: `index`."""
        sample = self._review().sample(int(given["index"]))
        return self._shown(Opened(sample.image, f"{sample.image_id}.png", sample), sample.masks)

    def accept(self, given: Any) -> Answer:
        """Writes the masks of one image as they were chosen: `photo`, `chosen`."""
        photo = self._photo(given)
        if photo.sample is None or photo.result is None:
            raise InputError("this photo is of no folder; open one, and wait until its masks are refined")
        assert photo.masks is not None
        files = self._review().write(photo.sample, photo.masks, photo.result, given["chosen"])
        return {"files": [str(path) for path in files]}

    def keep(self, given: Any) -> Answer:
        """Copies the masks of one image of the folder as they are: `photo`."""
        sample = self._photo(given).sample
        if sample is None:
            raise InputError("this photo is of no folder; open one")
        return {"files": [str(path) for path in self._review().keep(sample)]}

    def _shown(self, photo: Opened, masks: BoolArray | None) -> Answer:
        key = blake2b(photo.image.tobytes() + photo.name.encode("utf-8", "replace"), digest_size=12).hexdigest()
        self.photos[key] = photo
        while len(self.photos) > PHOTOS:
            self.photos.popitem(last=False)
        size = [photo.image.shape[1], photo.image.shape[0]]
        drawn = [] if masks is None else [drawn_url(mask) for mask in masks]
        return {"photo": key, "name": photo.name, "size": size, "picture": photo_url(photo.image), "masks": drawn}

    def _photo(self, given: Any) -> Opened:
        try:
            return self.photos[str(given["photo"])]
        except KeyError:
            raise InputError("the photo is not open any more; open it again") from None

    def _review(self) -> Review:
        if self.review is None:
            raise InputError("no folder is open")
        return self.review


def _decoded(given: Any, read: Callable[[str], Any]) -> Any:
    """What a reader makes of a file that was sent: `name`, `content` (base64)."""
    name = Path(str(given["name"])).name or "file"
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"sent{Path(name).suffix[:10]}"
        path.write_bytes(base64.b64decode(str(given["content"])))
        try:
            return read(str(path))
        except SamrefError as error:
            raise InputError(str(error).replace(str(path), name)) from None
