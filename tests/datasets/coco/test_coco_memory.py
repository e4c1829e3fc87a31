"""What is in memory hardly grows with the masks of a COCO file: not their records, nor what becomes of them."""

import json
import tracemalloc

import cv2
import numpy as np

from samref.datasets.coco.coco import CocoDataset
from samref.io import json_stream
from samref.refiners.external_records import RecordMasks

IMAGES = 2
BYTES = 100  # a mask; as dicts the records alone took 1700


def make(folder, count):
    (folder / "images").mkdir(parents=True)
    for k in range(IMAGES):
        cv2.imwrite(str(folder / "images" / f"{k}.png"), np.zeros((40, 60, 3), np.uint8))
    corners = [[5.0, 5.0, 25.0, 5.0, 25.0, 20.0, 5.0, 20.0]]
    masks = [
        {"id": k, "image_id": k % IMAGES, "category_id": 1, "area": 300, "bbox": [5, 5, 20, 15], "iscrowd": 0,
         "segmentation": corners}
        for k in range(count)
    ]  # fmt: skip
    images = [{"id": k, "file_name": f"{k}.png", "height": 40, "width": 60} for k in range(IMAGES)]
    content = {"images": images, "annotations": masks, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "masks.json").write_text(json.dumps(content))
    return folder


def most(folder, count):
    """Bytes at most while a file is opened as coarse masks and as another tool's, and results of it are written."""
    tracemalloc.start()
    try:
        data = CocoDataset(images=folder / "images", predictions=folder / "masks.json")
        RecordMasks(folder / "masks.json")
        writer = data.writer(folder / "out")
        fields = {"segmentation": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]], "area": 5, "bbox": [1.0, 2.0, 3.0, 4.0]}
        for image in range(IMAGES):
            for place in range(count // IMAGES):
                writer.restore(image, [(place, fields)])
        writer.close()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_hardly_grows_with_the_masks(tmp_path, monkeypatch):
    # Less than the files, of which no more is held at a time.
    monkeypatch.setattr(json_stream, "CHUNK", 1 << 14)
    few, many = (most(make(tmp_path / str(count), count), count) for count in (100, 1100))
    assert many - few < 1000 * BYTES
