import multiprocessing
import os
import threading
import time
import warnings

import pytest
import torch

from samref.backbones.cache import store as store_module
from samref.backbones.cache.entry import write_entry
from samref.backbones.cache.store import EmbeddingStore

ENTRY_BYTES = 4000


def tensors(value=0.0):
    return {"features": torch.full((ENTRY_BYTES // 4,), float(value))}


def aged(store, key, seconds):
    moment = time.time() - seconds
    os.utime(store.path("m", key), (moment, moment))


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore(tmp_path / "embeddings", max_gb=1)


def test_what_was_written_is_read(store):
    written = {"features": torch.rand(1, 3, 4, 5), "interm.0": torch.rand(2, 2).half()}
    assert store.read("m", "ab") is None
    store.write("m", "ab", written)
    found = store.read("m", "ab")
    assert found.keys() == written.keys()
    assert all(torch.equal(found[name], written[name]) and found[name].dtype == written[name].dtype for name in found)
    assert store.read("other", "ab") is None


def flip(data):
    data[-100] ^= 1


def truncate(data):
    del data[-10:]


def zero(data):
    data[:] = bytes(len(data))


def empty(data):
    data.clear()


@pytest.mark.parametrize("damage", [flip, truncate, zero, empty])
def test_a_broken_entry_is_a_miss_and_is_removed(store, damage):
    store.write("m", "ab", tensors())
    path = store.path("m", "ab")
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    assert store.read("m", "ab") is None
    assert not path.exists()
    store.write("m", "ab", tensors(1))
    assert torch.equal(store.read("m", "ab")["features"], tensors(1)["features"])


def test_an_entry_under_another_name_is_not_used(store):
    store.write("m", "ab", tensors())
    store.path("m", "ab").rename(store.path("m", "cd"))
    assert store.read("m", "cd") is None


def test_the_least_recently_used_entries_make_room(tmp_path):
    store = EmbeddingStore(tmp_path, max_gb=5.5 * ENTRY_BYTES / 1e9)
    for index in range(4):
        store.write("m", f"k{index}", tensors(index))
        aged(store, f"k{index}", 1000 - index)
    store.read("m", "k0")
    for index in range(4, 7):
        store.write("m", f"k{index}", tensors(index))
        aged(store, f"k{index}", 500 - index)
    kept = {file.path.stem for file in store.files()}
    assert {"k0", "k6"} <= kept
    assert "k1" not in kept
    assert sum(file.size for file in store.files()) <= store.max_bytes


def test_other_processes_entries_count_too(tmp_path):
    first, second = (EmbeddingStore(tmp_path, max_gb=5.5 * ENTRY_BYTES / 1e9) for _ in range(2))
    for index in range(4):
        first.write("m", f"a{index}", tensors())
    for index in range(4):
        second.write("m", f"b{index}", tensors())
    assert sum(file.size for file in first.files()) <= first.max_bytes


def test_a_killed_writers_leftovers_go_when_they_are_old(store):
    folder = store.path("m", "ab").parent
    folder.mkdir(parents=True)
    old, new = folder / ".partial-old.safetensors", folder / ".partial-new.safetensors"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (1, 1))
    store.write("m", "ab", tensors())
    assert not old.exists()
    assert new.exists()
    assert [file.path.stem for file in store.files()] == ["ab"]


def test_a_full_disk_costs_one_warning_and_no_more(store, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    store.write("m", "ab", tensors())
    monkeypatch.setattr("samref.backbones.cache.entry.save_file", full)
    with pytest.warns(RuntimeWarning, match=r"No space left.*SAMREF_CACHE.*backbone\.cache=false"):
        store.write("m", "cd", tensors())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.write("m", "ef", tensors())
    assert store.read("m", "ab") is not None
    assert [path.name for path in store.path("m", "ab").parent.iterdir()] == ["ab.safetensors"]


def test_a_folder_that_cannot_be_made_costs_a_warning(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = EmbeddingStore(tmp_path / "file" / "embeddings", max_gb=1)
    with store.encoding("ab"), pytest.warns(RuntimeWarning, match="cannot be written"):
        store.write("m", "ab", tensors())
    assert store.read("m", "ab") is None


def write_until_killed(path, started):
    index = 0
    while True:
        write_entry(path, "ab", {"features": torch.full((2_000_000,), float(index))})
        started.set()
        index += 1


def test_a_killed_writer_leaves_a_whole_entry(store):
    path = store.path("m", "ab")
    context = multiprocessing.get_context("fork")
    started = context.Event()
    writer = context.Process(target=write_until_killed, args=(path, started))
    writer.start()
    assert started.wait(60)
    time.sleep(0.05)
    writer.kill()
    writer.join()
    features = store.read("m", "ab")["features"]
    assert (features == features[0]).all()


def test_jobs_side_by_side_encode_one_after_the_other(store):
    inside = []

    def encode():
        with store.encoding("ab"):
            inside.append("in")
            time.sleep(0.05)
            inside.append("out")

    threads = [threading.Thread(target=encode) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == ["in", "out"] * 3


def test_nobody_waits_for_ever(store, monkeypatch):
    monkeypatch.setattr(store_module, "PATIENCE_SECONDS", 0.1)
    waited = []
    with store.encoding("ab"):
        thread = threading.Thread(target=lambda: store.encoding("ab").__enter__() or waited.append(True))
        thread.start()
        thread.join(30)
    assert waited


def test_clearing_deletes_entries_and_leftovers(store):
    for key in ("ab", "cd"):
        store.write("m", key, tensors())
    count, size = store.clear()
    assert count == 2
    assert size > 2 * ENTRY_BYTES
    assert store.files() == []
    assert store.clear() == (0, 0)
