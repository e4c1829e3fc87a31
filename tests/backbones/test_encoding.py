"""Images encoded in batches of one size, whoever comes together."""

import pytest
import torch

from samref.backbones.encoding import EncodingQueue
from samref.backbones.tiny import TinySam
from samref.errors import DeviceError
from tests.factories import photo


def test_each_owner_gets_its_own_image_from_batches_of_one_size():
    backbone, sizes = TinySam(device="cpu"), []
    real = backbone.encode_batch
    backbone.encode_batch = lambda images: sizes.append(len(images)) or real(images)
    images = {name: photo((40 + 5 * k, 60), k) for k, name in enumerate("abc")}
    queue = EncodingQueue(backbone, 2)
    for name, image in images.items():
        queue.put(name, image)
    found = {}
    while len(found) < len(images):
        queue.start()
        queue.start()  # while a batch is at work: nothing
        assert queue.ready.poll(30)
        found |= {owner: embedding for owner, embedding, _ in queue.take()}
    queue.start()
    queue.close()
    assert sizes == [2, 2]
    for name, image in images.items():
        assert found[name].original_size == image.shape[:2]
        torch.testing.assert_close(found[name].features, backbone.encode(image).features, rtol=1e-4, atol=1e-5)


def test_what_fails_in_the_thread_is_raised_where_it_is_waited_for():
    backbone = TinySam(device="cpu")

    def full(images):
        raise DeviceError("the memory is too small")

    backbone.encode_batch = full
    queue = EncodingQueue(backbone, 2)
    queue.put("a", photo((40, 60), 0))
    queue.start()
    with pytest.raises(DeviceError, match="too small"):
        queue.take()
    queue.close()
