"""What `samref refine` reads: the paths of each format, and what stands at each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FOLDER, FILE = "InputFolder", "InputFile"
# Usage lines show what a file ends with.
WORDS = {"data": "data.yaml", "tasks": "TASKS.json", "annotations": "ANNOTATIONS.xml"}


@dataclass(frozen=True)
class Given:
    """A path on the command line.

    Attributes:
        option: of the data set.
        kind: `InputFolder` or `InputFile`.
        meaning: what is expected there.
    """

    option: str
    kind: str
    meaning: str

    @property
    def word(self) -> str:
        """What usage lines call it."""
        return WORDS.get(self.option, self.option.upper())


@dataclass(frozen=True)
class Format:
    """One way to keep masks.

    Attributes:
        dataset: option of the group `dataset`.
        about: what it is, for the help.
        paths: what is given before OUTPUT; several ways to give it differ in number.
        images: what `--images` means, where the format knows it.
        images_needed: whether it cannot do without.
    """

    dataset: str
    about: str
    paths: tuple[tuple[Given, ...], ...]
    images: Given | None = None
    images_needed: bool = field(default=False, kw_only=True)

    @property
    def usage(self) -> str:
        """The paths in words, OUTPUT the last."""
        ways = [" ".join(given.word for given in way) for way in self.paths]
        images = "" if self.images is None else "--images DIR " if self.images_needed else "[--images DIR] "
        return f"{'(' + ' | '.join(ways) + ')' if len(ways) > 1 else ways[0]} {images}OUTPUT"


IMAGES = Given("images", FOLDER, "the folder of the images")
FORMATS: Mapping[str, Format] = {
    "yolo": Format(
        "yolo",
        "YOLO-seg labels: data.yaml, or a folder of images and one of labels",
        (
            (Given("data", FILE, "a data.yaml that names images"),),
            (IMAGES, Given("labels", FOLDER, "the folder of the label files")),
        ),
    ),
    "labelme": Format(
        "labelme",
        "LabelMe's json files; --images where they are not where the files say",
        ((Given("labels", FOLDER, "a folder with LabelMe's json files"),),),
        IMAGES,
    ),
    "label-studio": Format(
        "label_studio",
        "Label Studio's tasks, exported as JSON",
        ((Given("tasks", FILE, "Label Studio's tasks, exported as JSON"),),),
        IMAGES,
        images_needed=True,
    ),
    "cvat": Format(
        "cvat",
        "CVAT's xml, exported as 'CVAT for images 1.1'",
        ((Given("annotations", FILE, "an xml file of CVAT, 'for images 1.1'"),),),
        IMAGES,
        images_needed=True,
    ),
    "voc-instances": Format(
        "voc_instances",
        "folders of PASCAL VOC: JPEGImages, SegmentationObject, SegmentationClass",
        ((Given("root", FOLDER, "a folder with JPEGImages and SegmentationObject"),),),
    ),
    "geotiff": Format(
        "geotiff",
        "GeoTIFF scenes and masks on the same grid, window by window",
        ((IMAGES, Given("masks", FOLDER, "the folder of the masks")),),
    ),
}
# Options of every data set that has them, for one check of what is typed.
COMMON: Mapping[str, Given] = {
    "images": IMAGES,
    "masks": Given("masks", FOLDER, "the folder of the coarse masks"),
    "annotations": Given("annotations", FILE, "a COCO json with the ground truth"),
    "predictions": Given("predictions", FILE, "a COCO json with the coarse masks"),
}


def givens(dataset: str) -> dict[str, Given]:
    """The paths that are read for a data set, by option.

    Args:
        dataset: option of the group `dataset`.
    """
    own = next((found for found in FORMATS.values() if found.dataset == dataset), None)
    if own is None:
        return dict(COMMON)
    images = [] if own.images is None else [own.images]
    return {given.option: given for way in (*own.paths, images) for given in way}
