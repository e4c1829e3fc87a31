"""A second device on a machine without one: its tensors live on the processor and say that they do not.

`torch` knows the device type `lazy` and has nothing behind it here. A `Remote` is a tensor on it around one of the
processor's; operations compute on the latter, and fail, as on a GPU, where tensors of both devices meet.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from unittest.mock import patch

import torch
from lightning.pytorch.accelerators import Accelerator, AcceleratorRegistry
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.trainer.connectors import accelerator_connector
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "lazy"
DEVICE = torch.device(NAME, 0)
ops = torch.ops.aten
# A GPU takes the processor's tensors as source or target of a copy, and as indices.
CROSSING = {ops.copy_.default, ops._to_copy.default, ops.index.Tensor, ops.index_put_.default, ops.index_put.default}


class Remote(torch.Tensor):
    """A tensor on the second device.

    Attributes:
        near: the processor's tensor with its numbers.
    """

    near: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, near: torch.Tensor):
        layout = {"strides": near.stride(), "storage_offset": near.storage_offset(), "dtype": near.dtype}
        # What was made outside inference mode may be trained on, and so may its views.
        with torch.inference_mode(near.is_inference()):
            self = torch.Tensor._make_wrapper_subclass(cls, near.shape, **layout, device=DEVICE)
        self.near = near
        return self

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return run(function, args, kwargs or {})

    def data_ptr(self) -> int:
        return self.near.data_ptr()

    def __reduce_ex__(self, protocol):
        return self.near.detach().__reduce_ex__(protocol)

    def __deepcopy__(self, memo):
        return torch.nn.Parameter(Remote(self.near.clone()), self.requires_grad)


class SecondDevice(TorchDispatchMode):
    """Sees what is made on the second device without any tensor of it."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return run(function, args, kwargs or {})


def run(function, args, kwargs):
    """Computes on the processor.

    Raises:
        RuntimeError: where tensors of both devices meet; numbers without an axis may.
    """
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    remote = [tensor for tensor in tensors if isinstance(tensor, Remote)]
    named = [leaf for leaf in leaves if isinstance(leaf, torch.device)]
    if remote and not (named or function in CROSSING) and any(t.dim() for t in tensors if not isinstance(t, Remote)):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {DEVICE} and cpu! "
            f"({function})"
        )
    moved = {id(tensor.near): tensor for tensor in remote}
    near_args, near_kwargs = tree_map(_nearby, (args, kwargs))
    found = function(*near_args, **near_kwargs)
    if function is ops.copy_.default:
        return args[0]
    stays = named[-1].type != NAME if named else not remote

    def placed(leaf):
        if not isinstance(leaf, torch.Tensor) or stays:
            return leaf
        return moved.get(id(leaf)) if id(leaf) in moved else Remote(leaf)

    return tree_map(placed, found)


def _nearby(leaf):
    if isinstance(leaf, torch.device):
        return torch.device("cpu")
    return leaf.near if isinstance(leaf, Remote) else leaf


class SecondAccelerator(Accelerator):
    """Lightning's view of the device."""

    def setup_device(self, device):
        assert device.type == NAME

    def teardown(self):
        pass

    @staticmethod
    def parse_devices(devices):
        return int(devices)

    @staticmethod
    def get_parallel_devices(devices):
        return [DEVICE] * devices

    @staticmethod
    def auto_device_count():
        return 1

    @staticmethod
    def is_available():
        return True

    @staticmethod
    def name():
        return NAME

    def get_device_stats(self, device):
        return {}


@contextmanager
def second_device() -> Iterator[torch.device]:
    """The device is there: for `torch`, for `backbone.device=lazy`, and for Lightning's trainer."""
    with ExitStack() as stack:
        AcceleratorRegistry.register(NAME, SecondAccelerator)
        stack.callback(AcceleratorRegistry.pop, NAME)
        # Lightning computes on the processor for accelerators that it does not know.
        on_it = partial(SingleDeviceStrategy, DEVICE)
        stack.enter_context(patch.object(accelerator_connector, "SingleDeviceStrategy", lambda device: on_it()))
        # Or torch.tensor(..., device=...) would look for the device behind the mode's back.
        stack.callback(torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)
        stack.enter_context(SecondDevice())
        yield DEVICE
