"""Ways to damage a file: blind ones on its bytes, and ones that know PNG's chunks or JSON's values.

All are functions of the random state they are given, so that an input can be made again from its number.
"""

from __future__ import annotations

import json
import struct
import zlib
from copy import deepcopy
from random import Random
from typing import Any

EDGES = (0, 1, 0x7F, 0x80, 0xFF)
NUMBERS = (0, 1, -1, 2, 255, 256, 65535, 2**31 - 1, 2**31, 2**32, 2**63, 10**400, -(2**63), 0.5, 1e308, -0.0)
ODD_VALUES: tuple[Any, ...] = (
    *NUMBERS, float("nan"), float("inf"), None, True, False, "", "0", "²", "\x00", "a" * 300, "../../x", "/etc/hosts",
    "\ud800", "日本", [], {}, [[]], [None], [[1, 2, 3, 4, 5, 6]], {"size": [1, 1], "counts": "0"}, [0] * 7,
)  # fmt: skip


def mutate_bytes(data: bytes, random: Random, partner: bytes = b"") -> bytes:
    """One to four blind changes: bits, bytes, cuts, repeats, swaps, numbers of edge value, parts of another file."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        kind = random.randrange(9)
        at = random.randrange(len(changed) + 1)
        end = min(len(changed), at + random.choice((1, 2, 4, 16, 64, 1024)))
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = random.choice(EDGES)
        elif kind == 2:
            del changed[at:]
        elif kind == 3:
            del changed[at:end]
        elif kind == 4:
            changed[at:at] = changed[at:end] * random.choice((1, 2, 50))
        elif kind == 5:
            changed[at:end] = random.randbytes(end - at)
        elif kind == 6:
            number = random.choice((0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, random.getrandbits(32)))
            changed[at : at + 4] = number.to_bytes(4, random.choice(("big", "little")))
        elif kind == 7 and partner:
            begin = random.randrange(len(partner))
            changed[at:end] = partner[begin : begin + end - at]
        elif kind == 8:
            changed[at:at] = random.randbytes(random.randint(1, 8))
    return bytes(changed)


def mutate_png(data: bytes, random: Random, partner: bytes = b"") -> bytes:
    """Changes chunks of a PNG and corrects their checksums, so that decoders see more than a wrong checksum."""
    chunks = png_chunks(data)
    if not chunks or random.random() < 0.3:
        return mutate_bytes(data, random, partner)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(chunks))
        kind, body = chunks[at]
        action = random.randrange(6)
        if kind == b"IHDR" and action < 4 and len(body) == 13:
            width, height, depth, color, *rest = struct.unpack(">IIBBBBB", body)
            sides = (0, 1, 2, 100, 20000, 40000, 2**31 - 1, 2**32 - 1)
            field = random.randrange(5)
            width = random.choice(sides) if field in (0, 4) else width
            height = random.choice(sides) if field in (1, 4) else height
            depth = random.choice((1, 2, 4, 8, 16, random.randrange(256))) if field == 2 else depth
            color = random.choice((0, 2, 3, 4, 6, random.randrange(256))) if field == 3 else color
            chunks[at] = kind, struct.pack(">IIBBBBB", width, height, depth, color, *rest)
        elif kind == b"IDAT" and action < 3:
            try:
                raw = zlib.decompress(body)
            except zlib.error:
                raw = body
            chunks[at] = kind, zlib.compress(mutate_bytes(raw, random))
        elif action == 3:
            chunks[at] = kind, mutate_bytes(body, random, partner)
        elif action == 4:
            chunks.insert(random.randrange(len(chunks) + 1), chunks[at])
        elif action == 5 and len(chunks) > 1:
            del chunks[at]
        else:
            name = random.choice((b"tRNS", b"PLTE", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"acTL", b"gAMA"))
            chunks.insert(random.randrange(len(chunks) + 1), (name, random.randbytes(random.choice((0, 1, 6, 40)))))
        if not chunks:
            break
    return data[:8] + b"".join(png_chunk(kind, body) for kind, body in chunks)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and body of a PNG's chunks, as far as they are whole."""
    found, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def mutate_json(data: bytes, random: Random, partner: bytes = b"") -> bytes:
    """Mostly JSON with values, keys or items exchanged, doubled or taken out; else blind changes of the text."""
    if random.random() < 0.15:
        return mutate_bytes(data, random, partner)
    content = json.loads(data)
    for _ in range(random.randint(1, 4)):
        places = list(_places(content))
        if not places:
            break
        holder, key = random.choice(places)
        action = random.randrange(6)
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, list):
            holder.insert(random.randrange(len(holder) + 1), deepcopy(holder[key]))
        elif action == 2:
            other, name = random.choice(places)
            holder[key] = deepcopy(other[name])
        elif action == 3 and isinstance(holder, dict):
            holder[random.choice(("id", "size", "counts", "x", "iscrowd", "segmentation"))] = deepcopy(
                random.choice(ODD_VALUES)
            )
        elif action == 4 and isinstance(holder[key], (int, float)):
            holder[key] = random.choice(NUMBERS)
        elif action == 4 and isinstance(holder[key], str):
            text = mutate_bytes(holder[key].encode(errors="replace"), random)
            holder[key] = text.decode("latin1")
        else:
            holder[key] = deepcopy(random.choice(ODD_VALUES))
    return json.dumps(content).encode()


def _places(content: Any) -> Any:
    """Every (holder, key) of nested lists and dictionaries."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in list(entries):
        yield content, key
        yield from _places(value)
