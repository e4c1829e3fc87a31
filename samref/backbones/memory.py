"""An accelerator whose memory does not hold so many at once works on fewer."""

from __future__ import annotations

from collections.abc import Callable

import torch

from samref.errors import DeviceError


def in_fitting_groups(count: int, size: int, work: Callable[[slice], None], device: torch.device, what: str) -> int:
    """Works through `count` things group by group; where the memory is too small, groups are halved.

    Args:
        count: of all things.
        size: of a group, at first.
        work: does some of them; may be called again for those that did not fit.
        device: whose memory is meant.
        what: one of the things, for the message.

    Returns:
        The size of a group that fitted, to begin with the next time.

    Raises:
        DeviceError: when not even one fits.
    """
    start = 0
    while start < count:
        group = slice(start, min(start + size, count))
        if _fits(work, group):
            start = group.stop
        elif size > 1:
            size = max(1, min(size, count - start) // 2)
        else:
            raise DeviceError(
                f"the memory of {device} is too small for {what} at a time{_free(device)}; use a smaller backbone, "
                "backbone.precision=bf16, a device with more memory, or backbone.device=cpu; run the same command "
                "again to go on from here"
            )
    return size


def _fits(work: Callable[[slice], None], group: slice) -> bool:
    try:
        work(group)
    except torch.cuda.OutOfMemoryError:
        # Tried again by the caller: until the error is gone, its frames hold what they had made.
        pass
    else:
        return True
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False


def _free(device: torch.device) -> str:
    if device.type != "cuda":
        return ""
    free, total = torch.cuda.mem_get_info(device)
    return f" ({free / 2**30:.1f} of {total / 2**30:.1f} GB are free)"
