import numpy as np
import pytest
import torch

from samref.errors import ConfigError
from samref.training.evaluation import Evaluation, dense_crf
from samref.training.networks.network import Network


class Brightness(Network):
    """Scores each pixel by its red and blue channel."""

    kind = "semantic"

    def losses(self, images, targets):
        return {}

    def predict(self, image):
        return image.float()[[0, 2]] / 10


def test_scales_and_mirrors_of_a_network_that_sees_pixels_alone_change_nothing():
    image = torch.zeros(3, 20, 30, dtype=torch.uint8)
    image[0, :, :15], image[2, :, 15:] = 200, 200
    plain = Evaluation([1.0], flip=False, crf=False).labels(Brightness(), image)
    several = Evaluation([0.5, 1.0, 2.0], flip=True, crf=False).labels(Brightness(), image)
    assert (plain == several).mean() > 0.97
    assert plain[:, :15].max() == 0 and plain[:, 15:].min() == 1


def test_probabilities_are_means_of_softmax():
    image = torch.randint(0, 255, (3, 6, 8), dtype=torch.uint8)
    found = Evaluation([1.0], flip=True, crf=False).probabilities(Brightness(), image)
    torch.testing.assert_close(found, Brightness().predict(image).softmax(dim=0))


def test_dense_crf_follows_colors():
    pytest.importorskip("pydensecrf")
    image = np.zeros((24, 24, 3), np.uint8)
    image[:, 12:] = 255
    truth = (image[..., 0] > 0).astype(int)
    rough = np.where(np.arange(24)[None] >= 15, 0.7, 0.3) * np.ones((24, 1))
    probabilities = np.stack([1 - rough, rough]).astype(np.float32)
    found = dense_crf(image, probabilities)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-4)
    assert (found.argmax(axis=0) == truth).mean() > (probabilities.argmax(axis=0) == truth).mean()


def test_no_scale_is_refused():
    with pytest.raises(ConfigError, match="scales"):
        Evaluation([], False, False)
