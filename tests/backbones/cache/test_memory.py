"""One image that is prompted again and again is encoded once."""

import numpy as np

from samref.backbones.cache import CachedBackbone, LastEmbedding
from samref.refiners.samrefiner import SAMRefiner
from tests.factories import blob, photo


def test_only_another_image_is_encoded_again(monkeypatch):
    refiner = SAMRefiner.from_pretrained("tiny", device="cpu")
    encoded, plain = [], refiner.backbone
    encode = plain.encode
    monkeypatch.setattr(plain, "encode", lambda image: encoded.append(1) or encode(image))
    image, mask = photo((40, 60), 0), blob((40, 60), 0)
    expected = refiner.refine(image, mask)
    refiner.backbone = CachedBackbone(plain, LastEmbedding())
    for _ in range(3):
        result = refiner.refine(image.copy(), mask)
        assert (result.masks == expected.masks).all()
        assert (result.iou_predictions == expected.iou_predictions).all()
    assert len(encoded) == 2
    image[0, 0] += 1
    refiner.refine(image, mask)
    refiner.refine(np.ascontiguousarray(image[:, ::-1]), mask)
    assert len(encoded) == 4
    assert refiner.backbone.img_size == plain.img_size
