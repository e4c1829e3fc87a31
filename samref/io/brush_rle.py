"""Label Studio's brush masks: run lengths of a picture's bytes (red, green, blue, alpha), packed bit by bit.

A head of 32 bits for the number of bytes, 5 for the word size less 1, and 4 for each of four lengths of run counts less
1. Then groups: a bit (1: one word that is repeated, 0: as many words), 2 bits for which length of count, the count less
1, and the word or words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from samref.errors import InputError
from samref.io.coco_masks import run_lengths
from samref.structures import BoolArray

CHANNELS, ALPHA = 4, 3
WORD = 8
SIZES = (3, 4, 8, 16)
ON = 255


def decode_brush(rle: Sequence[int], size: tuple[int, int]) -> BoolArray:
    """The pixels that a brush has painted, in any degree.

    Args:
        rle: bytes of the run lengths, 0 to 255.
        size: (H, W) of the image.

    Returns:
        H x W bool.

    Raises:
        InputError: for run lengths that are cut off or not of this size.
    """
    try:
        packed = np.array(rle, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        raise InputError("its run lengths hold something else than bytes") from None
    if packed.ndim != 1 or not packed.size or packed.min() < 0 or packed.max() > 255:
        raise InputError("its run lengths hold something else than bytes")
    bits = _Bits("".join(f"{value:08b}" for value in packed.tolist()))
    count, word = bits.take(32), bits.take(5) + 1
    sizes = [bits.take(4) + 1 for _ in range(4)]
    if count != size[0] * size[1] * CHANNELS:
        raise InputError(f"its run lengths are of {count // CHANNELS} pixels; expected {size[0]} x {size[1]}")
    values = np.zeros(count, np.uint32)
    done = 0
    while done < count:
        repeated = bits.take(1)
        end = done + bits.take(sizes[bits.take(2)]) + 1
        if end > count:
            raise InputError("its run lengths are longer than the image")
        if repeated:
            values[done:end] = bits.take(word)
        else:
            values[done:end] = [bits.take(word) for _ in range(end - done)]
        done = end
    return np.asarray(values.reshape(*size, CHANNELS)[..., ALPHA] > 0)


def encode_brush(mask: BoolArray) -> list[int]:
    """Run lengths of an H x W mask, white on nothing."""
    bits = [f"{mask.size * CHANNELS:032b}{WORD - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    # Row by row, where COCO counts column by column.
    for k, length in enumerate(run_lengths(mask.T)):
        bits += _repeated(ON if k % 2 else 0, length * CHANNELS)
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[k : k + 8], 2) for k in range(0, len(text), 8)]


class _Bits:
    """Bits, read one number after another."""

    def __init__(self, text: str) -> None:
        self.text, self.place = text, 0

    def take(self, count: int) -> int:
        end = self.place + count
        if end > len(self.text):
            raise InputError("its run lengths are cut off")
        number = int(self.text[self.place : end], 2)
        self.place = end
        return number


def _repeated(value: int, length: int) -> list[str]:
    groups = []
    while length:
        taken = min(length, 1 << SIZES[-1])
        index = next(k for k, size in enumerate(SIZES) if taken <= 1 << size)
        groups.append(f"1{index:02b}{taken - 1:0{SIZES[index]}b}{value:0{WORD}b}")
        length -= taken
    return groups
