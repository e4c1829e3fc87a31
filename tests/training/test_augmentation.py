import pytest
import torch

from samref.errors import ConfigError
from samref.training.augmentation import Augmentation
from tests.training.pictures import COLORS, labeled, with_instances


def test_image_and_labels_stay_together():
    images, maps = labeled(count=4)
    augmentation = Augmentation(scale=(0.5, 1.5), crop=40, flip=0.5)
    for seed, (image, labels) in enumerate(zip(images, maps, strict=True)):
        torch.manual_seed(seed)
        seen, target = augmentation(image, labels)
        assert seen.shape == (3, 40, 40) and target.shape == (40, 40)
        for label, color in COLORS.items():
            inside = seen[:, target == label].float()
            if inside.shape[1] > 20:
                assert (inside.median(dim=1).values - torch.tensor(color)).abs().max() < 30


def test_pixels_beyond_the_image_are_ignored():
    image, labels = torch.zeros(3, 10, 12, dtype=torch.uint8), torch.zeros(10, 12, dtype=torch.int64)
    _, target = Augmentation(scale=None, crop=16, flip=0)(image, labels)
    assert (target[10:] == 255).all() and (target[:, 12:] == 255).all() and (target[:10, :12] == 0).all()


def test_boxes_follow_their_masks_and_what_is_cut_off_is_gone():
    (image,), (target,) = with_instances(count=1)
    _, flipped = Augmentation(None, None, flip=1.0)(image, target)
    width = image.shape[-1]
    assert torch.equal(flipped["boxes"][:, [2, 0]], width - target["boxes"][:, [0, 2]])
    assert torch.equal(flipped["masks"], target["masks"].flip(-1))
    counts = set()
    for seed in range(8):
        torch.manual_seed(seed)
        _, cut = Augmentation(None, 12, 0)(image, target)
        counts.add(len(cut["labels"]))
        assert len(cut["labels"]) == len(cut["masks"]) == len(cut["boxes"])
    assert 0 in counts or 1 in counts


@pytest.mark.parametrize("options", [{"scale": (2, 1)}, {"crop": 0}, {"flip": 2}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match=r"schedule\.augmentation"):
        Augmentation(**{"scale": None, "crop": None, "flip": 0, **options})
