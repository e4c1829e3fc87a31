"""What the Python API takes: tensors of every kind, lists, nothing; and one sentence for what it does not take."""

import numpy as np
import pytest
import torch
from PIL import Image

from samref.errors import InputError
from samref.io.inputs import as_image, as_image_and_masks, as_masks

SIZE = (12, 16)


@pytest.fixture
def masks():
    return np.random.default_rng(0).random((3, *SIZE)) > 0.5


FORMS = {
    "bool": lambda masks: masks,
    "0 and 255": lambda masks: masks * np.uint8(255),
    "0 and 128": lambda masks: masks * np.uint8(128),
    "fractions": lambda masks: masks.astype(np.float64),
    "tensor": torch.from_numpy,
    "tensor with gradient": lambda masks: torch.from_numpy(masks).float().requires_grad_(),
    "bfloat16": lambda masks: torch.from_numpy(masks).to(torch.bfloat16),
    "half": lambda masks: torch.from_numpy(masks).half(),
    "N x 1 x H x W": lambda masks: torch.from_numpy(masks)[:, None],
    "N x H x W x 1": lambda masks: masks[..., None],
    "list": list,
    "list of lists": lambda masks: masks.astype(int).tolist(),
    "list of tensors": lambda masks: [torch.from_numpy(mask) for mask in masks],
    "list of images": lambda masks: [Image.fromarray(mask) for mask in masks],
}


@pytest.mark.parametrize("form", FORMS)
def test_masks_come_in_many_forms(masks, form):
    found = as_masks(FORMS[form](masks), SIZE)
    assert found.dtype == bool and (found == masks).all()


@pytest.mark.parametrize(
    "nothing",
    [[], (), np.zeros((0, *SIZE)), np.zeros((0, 1, 7, 9)), torch.zeros(0), torch.zeros(0, 5, 5), np.array([])],
)
def test_no_detections_are_no_masks(nothing):
    assert as_masks(nothing, SIZE).shape == (0, *SIZE)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (None, "mask is None; expected an array"),
        ([np.zeros((2, 2)), np.zeros((3, 3))], r"the list of masks holds shapes \[\(2, 2\), \(3, 3\)\]"),
        ([torch.zeros(2, 2), torch.zeros(3, 3)], "the list of masks holds shapes"),
        (torch.zeros(2, 2, device="meta"), "mask is a Tensor that is no array"),
        (np.zeros((2, 3, *SIZE)), r"shape \(2, 3, 12, 16\); expected H x W or N x H x W"),
        (np.zeros((5, 5)), "size 5 x 5, expected the image's 12 x 16"),
        (np.full(SIZE, 0.3), r"values \{0\.3\}.*masks >= 0\.5"),
        (np.arange(192).reshape(SIZE), r"masks >= 128"),
        (np.full(SIZE, np.nan), "nan"),
        (np.full(SIZE, -1), r"\{-1\}"),
        ("mask.png", "mask is a str; expected an array"),
        (np.zeros(SIZE, complex), "dtype complex128"),
    ],
)
def test_what_is_no_mask_is_one_sentence(wrong, words):
    with pytest.raises(InputError, match=words) as caught:
        as_masks(wrong, SIZE)
    assert "\n" not in str(caught.value)


def test_images_may_be_tensors_with_channels_last():
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    assert (as_image(torch.from_numpy(pixels)) == pixels).all()
    with pytest.raises(InputError, match=r"channels go last: image\.transpose\(1, 2, 0\)"):
        as_image(torch.from_numpy(pixels).permute(2, 0, 1))
    with pytest.raises(InputError, match="image is None"):
        as_image(None)


def test_a_photo_is_turned_as_its_masks_were_drawn(tmp_path):
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[:4, :6] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    for size, expected in ((SIZE, pixels), (SIZE[::-1], np.rot90(pixels, -1))):
        found, drawn = as_image_and_masks(tmp_path / "a.png", np.ones(size, bool))
        assert (found == expected).all() and drawn.shape == (1, *size)
    with pytest.raises(InputError, match="expected the image's 16 x 12"):
        as_image_and_masks(tmp_path / "a.png", np.ones((3, 3), bool))
    exif[0x0112] = 3
    Image.fromarray(pixels * 0).save(tmp_path / "b.png", exif=exif)
    with pytest.raises(InputError, match="pass the image as an array instead"):
        as_image_and_masks(str(tmp_path / "b.png"), np.eye(*SIZE, dtype=bool))
