"""What tests of folders share."""

import hashlib

from PIL import Image

from samref.datasets.folder.folder import Folder
from tests.factories import PALETTE
from tests.factories_benchmarks import refined

SIZE = (48, 80)


def folder(root, **options):
    return Folder(root / "images", root / "masks", **options)


def fingerprints(root):
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in root.rglob("*") if path.is_file()}


def write(dataset, output, change):
    """Writes all samples with masks changed by a function of the sample."""
    writer = dataset.writer(output)
    for k in range(len(dataset)):
        sample = dataset[k]
        writer.write(sample, refined(change(sample)))
    writer.close()


def opposite(sample):
    return ~sample.masks


def same(sample):
    return sample.masks.copy()


def save_labels(path, values, palette=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image.putpalette(PALETTE)
    image.save(path)
