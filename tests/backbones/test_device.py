import pytest
import torch

from samref.backbones.device import resolve_device
from samref.errors import ConfigError


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ConfigError, match=r"'gpu'.*auto, cpu"):
        resolve_device("gpu")
    with pytest.raises(ConfigError, match="cuda:99"):
        resolve_device("cuda:99")
