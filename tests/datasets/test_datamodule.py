"""The loader: every sample exactly once, bad ones by `on_error`."""

import os
import signal
from itertools import chain
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning import LightningModule, Trainer
from torch.utils.data import Dataset

from samref.datasets.datamodule import SampleDataModule
from samref.datasets.dataset import MaskDataset
from samref.datasets.davis import Davis585
from samref.datasets.loader import Samples, _Loader
from samref.errors import ConfigError, InputError, WorkerError
from samref.structures import Failure, Idle
from tests.factories import make_davis585


class Numbers(MaskDataset):
    name = "numbers"

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.image_id(index)

    def image_id(self, index):
        return f"n{index}"

    def sample_files(self, index):
        return ()

    def writer(self, output):
        raise NotImplementedError


def data_module(dataset, num_workers=0, limit=None, on_error="raise", done=()):
    return SampleDataModule(Samples(dataset, limit, on_error), num_workers, done)


class Recorder(LightningModule):
    """Notes what reaches a step."""

    def __init__(self):
        super().__init__()
        self.seen, self.one = [], torch.nn.Linear(1, 1)

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        return batch

    def test_step(self, batch, index):
        self.seen.append(batch.reason if isinstance(batch, Failure) else batch.image_id)

    def predict_step(self, batch, index):
        self.test_step(batch, index)


@pytest.fixture
def davis(tmp_path):
    return Davis585(make_davis585(tmp_path / "davis", sequences=2, frames=2))


@pytest.fixture
def broken(davis):
    davis.frames[1].write_bytes(b"no jpeg")
    return davis


def trainer_of(rank, processes, done):
    """A process among others; what is done is known from the first of them alone."""
    strategy = SimpleNamespace(broadcast=lambda mine: done if rank else mine)
    return SimpleNamespace(global_rank=rank, world_size=processes, strategy=strategy)


def share(module, rank, processes):
    module.trainer = trainer_of(rank, processes, module.done)
    return [name for name in module.test_dataloader() if not isinstance(name, Idle)]


@given(count=st.integers(1, 12), processes=st.integers(1, 5), limit=st.none() | st.integers(1, 15))
def test_processes_share_out_every_sample_exactly_once_and_in_order(count, processes, limit):
    shares = [share(data_module(Numbers(count), limit=limit), rank, processes) for rank in range(processes)]
    expected = [f"n{k}" for k in range(min(count, limit or count))]
    assert sorted(chain(*shares)) == sorted(expected)
    assert all(part == [name for name in expected if name in part] for part in shares)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_finished_images_are_left_out_before_sharing_out():
    module = data_module(Numbers(6), done=["n1", "n4"])
    assert [share(module, rank, 2) for rank in range(2)] == [["n0", "n3"], ["n2", "n5"]]


def trainer(folder):
    return Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
    )


@pytest.mark.parametrize(("loop", "workers"), [("test", 0), ("predict", 0), ("test", 2)])
def test_lightning_sees_one_sample_a_batch(davis, tmp_path, workers, loop):
    module = Recorder()
    getattr(trainer(tmp_path), loop)(module, data_module(davis, num_workers=workers, limit=3))
    assert module.seen == ["seq0/00000", "seq0/00005", "seq1/00000"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_sample_is_skipped_as_a_failure_that_names_it(broken, tmp_path, workers):
    module = Recorder()
    trainer(tmp_path).test(module, data_module(broken, num_workers=workers, on_error="skip"))
    assert [module.seen[k] for k in (0, 2, 3)] == ["seq0/00000", "seq1/00000", "seq1/00005"]
    assert "00005.jpg is not an image" in module.seen[1]


@pytest.mark.parametrize(("loop", "workers"), [("test", 0), ("predict", 0), ("predict", 1)])
def test_a_bad_sample_raises_its_own_sentence_even_from_a_worker(broken, tmp_path, workers, loop):
    module = Recorder()
    with pytest.raises(InputError) as caught:
        getattr(trainer(tmp_path), loop)(module, data_module(broken, num_workers=workers))
    assert "\n" not in str(caught.value)
    assert "00005.jpg is not an image" in str(caught.value)
    assert module.seen == ["seq0/00000"]


@pytest.mark.parametrize("options", [{"limit": 0}, {"on_error": "ignore"}])
def test_options_out_of_range_are_named(davis, options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        data_module(davis, **options)


def test_a_process_without_samples_takes_one_idle_turn():
    module = data_module(Numbers(1))
    module.trainer = trainer_of(1, 2, module.done)
    assert list(module.test_dataloader()) == [Idle()]
    assert list(data_module(Numbers(2), done=["n0", "n1"]).test_dataloader()) == [Idle()]


class Deadly(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_the_system_ends_is_one_sentence():
    # Forked, because a spawned worker takes seconds to start; `make faults` kills spawned ones. Without a timeout,
    # PyTorch looks after its workers every five seconds.
    loader = _Loader(Deadly(), batch_size=None, num_workers=1, multiprocessing_context="fork", timeout=2)
    with pytest.raises(WorkerError, match="num_workers"):
        list(loader)
