"""Where each data set comes from: addresses, sizes, terms, and what must lie where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Archive:
    """A file that its publishers offer to everybody.

    Attributes:
        url: of the file.
        holds: what is in it.
        size: bytes, or None where only the server knows.
        md5: of the file, or None where none is published.
    """

    url: str
    holds: str
    size: int | None = None
    md5: str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def shown_size(self) -> str:
        """The size for people, in decimal units."""
        if self.size is None:
            return "size unknown"
        return f"{self.size / 1e9:.1f} GB" if self.size >= 1e9 else f"{self.size / 1e6:.0f} MB"


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        title: its name in the literature.
        page: its publishers' page.
        terms: license or conditions of use.
        layout: what must lie where, one line each.
        archives: what `--download` can fetch.
        by_hand: what it cannot, and how to get it.
        options: the options that name the parts, as after `--download`; `{folder}` stands for the folder.
    """

    title: str
    page: str
    terms: str
    layout: tuple[str, ...]
    archives: tuple[Archive, ...] = ()
    by_hand: tuple[str, ...] = ()
    options: str = "root={folder}"


_COCO = "http://images.cocodataset.org"
_LVIS = "https://dl.fbaipublicfiles.com/LVIS"
_AUTHORS = "https://github.com/user-attachments/files"
_COCO_TERMS = "annotations CC BY 4.0; images under the terms of use of Flickr, each with its own license"
_COARSE_VOC = (
    "coarse masks (dataset.coarse=DIR): label PNGs or CAM .npy of MaskCLIP, BECO or CLIP-ES; the paper's authors share "
    "theirs through issue 4 of github.com/linyq2117/SAMRefiner"
)
_CASCADE_LAYOUT = (
    "<root>/NAME_im.jpg   image (or .png)",
    "<root>/NAME_gt.png   truth, 0/255",
    "<root>/NAME_seg.png  coarse mask of one method, 0/255",
)
_CASCADE_PAGE = "https://github.com/hkchengrex/CascadePSP/blob/master/docs/dataset.md"
_CASCADE_TERMS = "images from Flickr, whose rights the authors do not hold; not for commercial use"

SOURCES = {
    "davis585": Source(
        "DAVIS-585 (FocalClick)",
        "https://github.com/alibaba/ClickSEG",
        "built on DAVIS, for research; see both projects' pages",
        (
            "<root>/SEQUENCE/00009.jpg                  image",
            "<root>/SEQUENCE/object1_00009.png          truth, 0/255 (several objects: object2_...)",
            "<root>/SEQUENCE/init_sp_object1_00009.png  coarse mask with super-pixel defects, 0/255",
        ),
        by_hand=(
            "DAVIS-585: the page links a cloud folder under `Datasets`; unpack it so that sequences lie in the root",
        ),
    ),
    "davis": Source(
        "DAVIS 2016 and 2017",
        "https://davischallenge.org",
        "for research; see the page",
        (
            "<root>/JPEGImages/480p/SEQUENCE/00000.jpg   image",
            "<root>/Annotations/480p/SEQUENCE/00000.png  truth (2017: palette index = object)",
            "<root>/ImageSets/2017/val.txt               sequences of the split (2016: ImageSets/2016 or 480p)",
        ),
        (
            Archive(
                "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip",
                "DAVIS 2017, train and val, 480p",
                size=None,
            ),
            Archive("https://graphics.ethz.ch/Downloads/Data/Davis/DAVIS-data.zip", "DAVIS 2016, about 2 GB"),
        ),
        options="root={folder}/DAVIS",
    ),
    "coco": Source(
        "COCO 2017",
        "https://cocodataset.org",
        _COCO_TERMS,
        (
            "<root>/val2017/000000000139.jpg               images (train2017 likewise)",
            "<root>/annotations/instances_val2017.json     ground truth",
            "dataset.predictions=FILE                      any detector's results json, or annotations",
        ),
        (
            Archive(f"{_COCO}/zips/val2017.zip", "val images", 815_585_330, "442b8da7639aecaf257c1dceb8ba8c80"),
            Archive(
                f"{_COCO}/annotations/annotations_trainval2017.zip",
                "train and val annotations",
                252_907_541,
                "f4bbac642086de4f52a3fdda2de5fa2c",
            ),
            Archive(f"{_COCO}/zips/train2017.zip", "train images", 19_336_861_798, "cced6f7f71b7629ddf16f17bbcfab6b2"),
        ),
        (
            "coarse masks (dataset.predictions=FILE): the output of the detector or weakly supervised method to refine",
            f"train5K (dataset.image_ids=FILE): {_AUTHORS}/19204211/instances_train2017_5K.json, or one of your own by "
            "samref datasets subset instances_train2017.json OUT.json --without LABELED",
        ),
    ),
    "lvis": Source(
        "LVIS v0.5 and v1",
        "https://www.lvisdataset.org",
        f"annotations CC BY 4.0; COCO's images: {_COCO_TERMS}",
        (
            "dataset.images=DIR        COCO's val2017, or the folder above train2017/ and val2017/",
            "dataset.annotations=FILE  lvis_v0.5_val.json, lvis_v1_val.json, or one with COCO's categories",
            "dataset.predictions=FILE  results or annotations with the same category ids",
        ),
        (
            Archive(f"{_LVIS}/lvis_v0.5_val.json.zip", "v0.5 val annotations"),
            Archive(f"{_LVIS}/lvis_v1_val.json.zip", "v1 val annotations"),
        ),
        (
            "images: samref datasets coco --download DIR --only val2017.zip (v1 also needs train2017.zip)",
            "COCO's categories (Tables 6 and 10): samref datasets cocofy lvis_v0.5_val.json OUT.json, or "
            f"{_AUTHORS}/19204217/lvis_v0.5_val_cocofied.json",
        ),
        options="images=COCO annotations={folder}/lvis_v0.5_val.json",
    ),
    "voc": Source(
        "PASCAL VOC 2012",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012",
        "images under the terms of use of Flickr; for research",
        (
            "<root>/JPEGImages/2007_000033.jpg             images",
            "<root>/SegmentationClass/2007_000033.png      truth: palette index = class, 255 = ignore",
            "<root>/ImageSets/Segmentation/val.txt         names of the split (train, trainval)",
            "dataset.coarse=DIR/2007_000033.png (or .npy)  coarse labels",
        ),
        (
            Archive(
                "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                "images, truth and splits",
                1_999_639_040,
                "6cd6e144f989b92b3379bac3b3de84fd",
            ),
            Archive(
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
                "SBD, whose labels make the augmented train set of 10,582 images",
                None,
                "82b4d87ceb2ed10f6038a1cba92111cb",
            ),
        ),
        (
            _COARSE_VOC,
            "augmented train set (dataset.split=trainaug dataset.truth=SegmentationClassAug): SBD's labels become PNGs "
            "by samref datasets trainaug VOC2012 benchmark_RELEASE/dataset",
        ),
        options="root={folder}/VOCdevkit/VOC2012 coarse=DIR",
    ),
    "big": Source(
        "BIG (CascadePSP)",
        _CASCADE_PAGE,
        _CASCADE_TERMS,
        _CASCADE_LAYOUT,
        by_hand=("images and truth, and each method's coarse masks: cloud folders linked on the page",),
    ),
    "relabeled_voc": Source(
        "Relabeled PASCAL VOC 2012 (CascadePSP)",
        _CASCADE_PAGE,
        f"VOC's images, under the terms of use of Flickr; {_CASCADE_TERMS}",
        _CASCADE_LAYOUT,
        by_hand=("images and truth, and each method's coarse masks: cloud folders linked on the page",),
    ),
}


def describe(name: str) -> str:
    """What is known of a data set's origin, as lines of text."""
    source = SOURCES[name]
    lines = [source.title, f"  page   {source.page}", f"  terms  {source.terms}", "  layout"]
    lines += [f"    {line}" for line in source.layout]
    if source.archives:
        lines.append(f"  open downloads (samref datasets {name} --download DIR [--only FILE ...])")
        lines += [f"    {one.name}: {one.holds}, {one.shown_size}\n      {one.url}" for one in source.archives]
    if source.by_hand:
        lines += ["  by hand", *(f"    {line}" for line in source.by_hand)]
    return "\n".join(lines)
