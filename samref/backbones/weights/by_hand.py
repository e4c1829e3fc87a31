"""Checkpoints of other refiners: published where a browser or a person's consent is needed, so put in place by hand."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from samref.backbones.weights.checkpoint import StateDict, file_sha256, read_state_dict
from samref.backbones.weights.store import cache_folder
from samref.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

NOT_STATED = "not stated"
# What trainers wrap a state dict in, and what parallel training puts before its names.
WRAPPERS = ("state_dict", "model")
PARALLEL = "module."


@dataclass(frozen=True)
class Family:
    """The checkpoints of one method.

    Attributes:
        title: the method.
        option: what uses them on the command line.
        signature: names that only such a checkpoint has; a name ending in a dot begins some.
        unused: names that no result depends on; likewise.
    """

    title: str
    option: str
    signature: tuple[str, ...]
    unused: tuple[str, ...] = ()


SEGREFINER = Family("SegRefiner", "refiner=segrefiner", ("denoise_model.",), ("loss_texture.",))
CRM = Family("CRM", "refiner=crm", ("imnet.",), ("feats.layer4.",))
BPR = Family("BPR", "refiner=bpr", ("backbone.conv_mask.",))
SEGFIX = Family("SegFix", "refiner=segfix", ("dir_head.",))
FAMILIES = (
    SEGREFINER,
    CRM,
    BPR,
    SEGFIX,
    Family("CascadePSP", "refiner=cascade_psp", ("psp.stages.",)),
    Family("Segment Anything", "backbone=NAME", ("image_encoder.", "mask_decoder.")),
)


@dataclass(frozen=True)
class HandFetched:
    """A checkpoint that a person has to fetch.

    Attributes:
        name: what `samref weights` knows it by.
        family: whose it is.
        options: what it is used with beside the family's option; "" for none.
        trained_on: data sets.
        filename: as published; how the cache folder knows it.
        address: where it is.
        size: in bytes; None where nobody has published it.
        sha256: of the file, or how it begins; None where nobody has published it.
        reported: whether size and hash come from others than its authors.
        code_license: of the method's code.
        license: of the weights.
        credit: whom to cite.
        terms: what a user must know before using it; "" for nothing.
    """

    name: str
    family: Family
    options: str
    trained_on: str
    filename: str
    address: str
    size: int | None
    sha256: str | None
    code_license: str
    license: str
    credit: str
    terms: str = ""
    reported: bool = False

    @property
    def path(self) -> Path:
        """Where it is looked for."""
        return cache_folder() / "weights" / self.filename


_DRIVE = "https://drive.google.com/file/d"
_CLOUD = "https://cloud.tsinghua.edu.cn/f"
_SEGFIX = "https://github.com/hsfzxjy/models.storage/releases/download/segfix.pretrained"
_SEGREFINER_CREDIT = "Wang et al., SegRefiner, NeurIPS 2023, github.com/MengyuWang826/SegRefiner"
_BPR_CREDIT = "Tang et al., Look Closer to Segment Better, CVPR 2021, github.com/tinyalpha/BPR"
_SEGFIX_CREDIT = "Yuan et al., SegFix, ECCV 2020, github.com/openseg-group/openseg.pytorch"

_ENTRIES = (
    HandFetched(
        name="segrefiner_lr",
        family=SEGREFINER,
        options="refiner.mode=instance",
        trained_on="LVIS",
        filename="segrefiner_lr_latest.pth",
        address=f"{_DRIVE}/1FrhbdwNyTlQYNbF9IgFF2tY3iQXHFcau",
        size=474_603_251,
        sha256="d5806a41a4bff6f1e313d1a9dcf18d11dab28e3a8e1497871a156214cd8fe07a",
        reported=True,
        code_license="Apache-2.0",
        license=NOT_STATED,
        credit=_SEGREFINER_CREDIT,
    ),
    HandFetched(
        name="segrefiner_hr",
        family=SEGREFINER,
        options="refiner.mode=semantic",
        trained_on="DIS5K-TR, ThinObject-5K",
        filename="segrefiner_hr_latest.pth",
        address=f"{_DRIVE}/143kerk4WOerGZMqR-cAETb7rOcoQ0CQ_",
        size=None,
        sha256=None,
        code_license="Apache-2.0",
        license=NOT_STATED,
        credit=_SEGREFINER_CREDIT,
    ),
    HandFetched(
        name="crm",
        family=CRM,
        options="",
        trained_on="MSRA-10K, DUT-OMRON, ECSSD, FSS-1000",
        filename="model_45705",
        address="https://mycuhk-my.sharepoint.com/:u:/g/personal/1155154510_link_cuhk_edu_hk/"
        "EWdbUAf33ZlNvB2d1dkBv-QBwSnRA0ong9wFqig54I5Iyw?e=pcjp8y",
        size=None,
        sha256=None,
        code_license="CC-BY-NC-4.0",
        license="not stated, taken to be as the code",
        credit="Shen et al., High Quality Segmentation for Ultra High-resolution Images, CVPR 2022, "
        "github.com/dvlab-research/Entity",
        terms="CRM's authors publish their code, and so presumably these weights, under CC BY-NC 4.0: "
        "for non-commercial use only",
    ),
    HandFetched(
        name="bpr_hrnet18s",
        family=BPR,
        options="",
        trained_on="COCO",
        filename="hrnet18s_coco-c172955f.pth",
        address=f"{_CLOUD}/342fae1311b748a8b396/?dl=1",
        size=None,
        sha256="c172955f",
        code_license="Apache-2.0",
        license=NOT_STATED,
        credit=_BPR_CREDIT,
    ),
    HandFetched(
        name="bpr_hrnet48",
        family=BPR,
        options="refiner.architecture=hrnet48 refiner.iou_threshold=0.55",
        trained_on="Cityscapes",
        filename="hrnet48_256.pth",
        address=f"{_CLOUD}/54d7c737540444b38b18/?dl=1",
        size=None,
        sha256=None,
        code_license="Apache-2.0",
        license=NOT_STATED,
        credit=_BPR_CREDIT,
    ),
    HandFetched(
        name="segfix_hrnet48",
        family=SEGFIX,
        options="",
        trained_on="Cityscapes",
        filename="segfix_hrnet_hrnet48_segfix_loss_iter80000_1_latest.pth",
        address=f"{_SEGFIX}/segfix_hrnet_hrnet48_segfix_loss_iter80000_1_latest.pth",
        size=None,
        sha256=None,
        code_license="MIT",
        license=NOT_STATED,
        credit=_SEGFIX_CREDIT,
    ),
    HandFetched(
        name="segfix_hrnet2x20",
        family=SEGFIX,
        options="refiner.architecture=hrnet2x20",
        trained_on="Cityscapes",
        filename="segfix_hrnet_hrnext20_segfix_loss_1_latest.pth",
        address=f"{_SEGFIX}/segfix_hrnet_hrnext20_segfix_loss_1_latest.pth",
        size=None,
        sha256=None,
        code_license="MIT",
        license=NOT_STATED,
        credit=_SEGFIX_CREDIT,
    ),
)

HAND_FETCHED = {entry.name: entry for entry in _ENTRIES}


def find_by_hand(name: str, weights: str | Path | None, sha256: str | None = None) -> Path:
    """The user's file, or the one in the cache folder.

    Args:
        name: in `HAND_FETCHED`.
        weights: path of the user's own file, or None.
        sha256: accept only a file with this hash.

    Raises:
        WeightsError: naming where it was looked for, where it is published, and what to do.
    """
    entry = HAND_FETCHED[name]
    path = entry.path if weights is None else Path(weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"{entry.family.title} has no weights at {path}; download {entry.filename} from {entry.address} and put it "
            f"there, or give refiner.weights=FILE (samref weights {name} prints what is known of it)"
        )
    if sha256 is not None and (found := file_sha256(path)) != sha256.lower():
        raise WeightsError(
            f"{path} has sha256 {found}; expected {sha256}: download it again, or give refiner.sha256={found} if this "
            "is the file you mean"
        )
    return path


@cache
def show_terms(entry: HandFetched) -> None:
    """Prints what a user must know of a checkpoint, once a process."""
    if entry.terms:
        print(entry.terms, file=sys.stderr)


def finding(entry: HandFetched) -> tuple[bool, str]:
    """Whether the cache folder holds a checkpoint as far as is known of it, and what is found in words."""
    if not entry.path.is_file():
        return False, "no"
    found = file_sha256(entry.path)
    if entry.sha256 is None:
        return True, f"yes, sha256 {found}"
    right = found.startswith(entry.sha256)
    return right, f"yes, sha256 {found}, {'as expected' if right else f'not the known one, {entry.sha256}'}"


def read_for(family: Family, path: Path) -> StateDict:
    """The state dict of a checkpoint of a family, without wrappers, prefixes and unused tensors.

    Raises:
        WeightsError: for a damaged file, or one of another family, naming what uses that.
    """
    state = without_prefix(read_state_dict(path, WRAPPERS))
    found = recognize(state)
    if found is not family:
        if found is not None:
            raise WeightsError(
                f"{path} is a checkpoint of {found.title}; expected one of {family.title} for {family.option}, so give "
                f"another file or use {found.option}"
            )
        shown = ", ".join(list(state)[:3])
        raise WeightsError(
            f"{path} is no checkpoint of {family.title}: it begins with {shown or 'nothing'}; expected names such as "
            f"{family.signature[0]}*"
        )
    return {key: value for key, value in state.items() if not _among(key, family.unused)}


def without_prefix(state: Mapping[str, Tensor]) -> StateDict:
    """A state dict without the prefix that parallel training gives all of its names."""
    if not all(key.startswith(PARALLEL) for key in state):
        return dict(state)
    return {key.removeprefix(PARALLEL): value for key, value in state.items()}


def recognize(state: Mapping[str, Tensor]) -> Family | None:
    """Whose checkpoint a state dict is; None where that is not known."""
    for family in FAMILIES:
        if any(_among(key, family.signature) for key in state):
            return family
    return None


def _among(key: str, names: tuple[str, ...]) -> bool:
    return any(key.startswith(name) if name.endswith(".") else key == name for name in names)
