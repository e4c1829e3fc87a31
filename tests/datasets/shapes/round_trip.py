"""What every format of shapes must do with files that its own library made."""

import numpy as np

from tests.factories_benchmarks import refined


def files_below(folder):
    """Content of all files by path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def write_all(data, output, change=lambda masks: masks, indices=None):
    """Runs a data set through its writer; returns the masks that the files should hold, by image."""
    writer, held = data.writer(output), {}
    for index in range(len(data)) if indices is None else indices:
        sample = data[index]
        refinement = refined(np.array([change(mask) for mask in sample.masks], bool).reshape(sample.masks.shape))
        data.settle(sample, refinement)
        writer.write(sample, refinement)
        held[sample.image_id] = dict(zip(sample.object_ids, refinement.masks, strict=True))
    writer.close()
    return held


def read_all(data):
    """The masks of a data set, by image and object."""
    samples = [data[index] for index in range(len(data))]
    return {sample.image_id: dict(zip(sample.object_ids, sample.masks, strict=True)) for sample in samples}


def assert_same(found, expected):
    assert {key: list(objects) for key, objects in found.items()} == {key: list(o) for key, o in expected.items()}
    for key, objects in expected.items():
        for name, mask in objects.items():
            assert (found[key][name] == mask).all(), (key, name)


def split_and_pierced(mask):
    """The mask in two parts with a hole in one of them, a pixel further to the right."""
    moved = np.roll(mask, 1, axis=1)
    moved[:, 0] = False
    rows, columns = np.nonzero(moved)
    middle = int(np.median(columns))
    moved[:, middle] = False
    moved[int(np.median(rows)), middle + 3] = False
    return moved
