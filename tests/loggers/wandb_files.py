"""Reads the file of an offline wandb run: a LevelDB log (32 KiB blocks, records in fragments) of protocol buffers."""

import json
import struct

import wandb
from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER, PREAMBLE = 32768, 7, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path):
    """The records of a `run-ID.wandb` file."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    place, parts = PREAMBLE, []
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        if kind == 0:
            break
        parts.append(data[place + HEADER : place + HEADER + length])
        place += HEADER + length
        if kind in (FULL, LAST):
            yield Record.FromString(b"".join(parts))
            parts = []


class OfflineRun:
    """What one offline run holds: `run` (name, group, ...), `config`, `history` rows, `summary`, `exit_code`."""

    def __init__(self, path):
        self.config, self.history, self.summary, self.exit_code = {}, [], {}, None
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self.config |= values(record.run.config.update)
            elif kind == "config":
                self.config |= values(record.config.update)
            elif kind == "history":
                self.history.append(values(record.history.item))
            elif kind == "summary":
                self.summary |= values(record.summary.update)
            elif kind == "exit":
                self.exit_code = record.exit.exit_code


def values(items):
    """Values by name; what is nested stands as a dictionary below its first name."""
    found = {}
    for item in items:
        name, *rest = [item.key] if item.key else item.nested_key
        place = found
        for part in rest:
            place, name = place.setdefault(name, {}), part
        place[name] = json.loads(item.value_json)
    return found


def offline_runs(folder):
    """The offline runs below a folder, in the order in which they were begun."""
    # wandb's own process may still be writing.
    wandb.teardown()
    return [OfflineRun(path) for path in sorted(folder.rglob("offline-run-*/run-*.wandb"), key=lambda p: p.parent.name)]
