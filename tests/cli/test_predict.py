"""`samref predict`: what a network finds comes out as files that the data sets read."""

import json

import numpy as np
import pytest
import torch

from samref.cli.main import main
from samref.cli.predict import predict_folder
from samref.datasets.coco.coco import CocoDataset
from samref.datasets.voc.labels import read_labels
from samref.training.networks.solov2.network import SoloV2
from samref.training.networks.weights import save_network
from samref.training.predictors import Predictor
from tests.factories import save_photo

CPU = torch.device("cpu")
SIZE = (40, 56)


@pytest.fixture
def images(tmp_path):
    for number in (7, 12):
        save_photo(tmp_path / "images" / f"{number}.jpg", SIZE, number)
    return tmp_path / "images"


def square(image):
    masks = torch.zeros(2, *image.shape[-2:], dtype=torch.bool)
    masks[0, 5:20, 5:25], masks[1, 2:9, 2:9] = True, True
    return {"masks": masks, "labels": torch.tensor([1, 2]), "scores": torch.tensor([0.9, 0.01])}


def test_instances_are_coco_results_that_refine_reads(images, tmp_path, capsys):
    (images / "13.jpg").write_bytes(b"no image")
    found = Predictor("instance", (0, 1, 18), square)
    assert predict_folder(found, CPU, images, tmp_path / "out", None, 0.05).startswith("2 masks of 2 images")
    assert "left out:" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [(one["image_id"], one["category_id"]) for one in results] == [(7, 1), (12, 1)]
    dataset = CocoDataset(images=images, predictions=tmp_path / "out" / "results.json")
    assert len(dataset) == 2
    assert np.array_equal(dataset[0].masks[0], square(torch.zeros(3, *SIZE))["masks"][0].numpy())


def test_ids_are_those_of_annotations(images, tmp_path):
    listed = {"images": [{"id": 99, "file_name": "7.jpg"}], "annotations": [], "categories": []}
    (tmp_path / "gt.json").write_text(json.dumps(listed))
    predict_folder(Predictor("instance", (0, 1, 2), square), CPU, images, tmp_path / "out", tmp_path / "gt.json", 0)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [one["image_id"] for one in results] == [99, 99]


def test_label_maps_are_vocs_pngs(images, tmp_path):
    def scores(image):
        found = torch.zeros(3, *image.shape[-2:])
        found[2, :, 20:] = 1
        return found

    assert predict_folder(Predictor("semantic", (0, 5, 15), scores), CPU, images, tmp_path / "out", None, 0) == (
        "2 label PNGs"
    )
    labels = read_labels(tmp_path / "out" / "7.png")
    assert labels.shape == SIZE
    assert (labels[:, 20:] == 15).all()
    assert not labels[:, :20].any()


def test_a_trained_network_predicts(images, tmp_path, capsys):
    options = {
        "body": "resnet18", "min_size": 64, "max_size": 96, "pretrained": False, "trainable_layers": 5,
        "grids": [6, 5, 4, 3, 2], "ranges": [[1, 512]] * 5, "width": 16, "kernel": 16,
    }  # fmt: skip
    target = f"{SoloV2.__module__}.{SoloV2.__qualname__}"
    facts = {"network": {"_target_": target, **options}, "backbone": None, "classes": [3], "count": 2}
    save_network(tmp_path / "network.safetensors", SoloV2(classes=2, **options), facts)
    words = [str(images), str(tmp_path / "out"), "--model", str(tmp_path / "network.safetensors"), "--device", "cpu"]
    assert main(["predict", *words]) == 0
    assert isinstance(json.loads((tmp_path / "out" / "results.json").read_text()), list)
    assert "results.json, in" in capsys.readouterr().out


def test_mistakes_are_one_sentence(images, tmp_path, capsys, monkeypatch):
    assert main(["predict", str(tmp_path / "nowhere"), str(tmp_path / "out")]) == 1
    assert "nowhere is not a folder" in capsys.readouterr().err
    assert main(["predict", str(images), str(tmp_path / "out"), "--model", "yolo"]) == 1
    assert "yolo is neither mask_rcnn" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("samref.training.predictors.predictor_of", lambda *_: Predictor("instance", (0, 1), square))
    assert main(["predict", str(tmp_path / "empty"), str(tmp_path / "out")]) == 1
    assert "holds none of the images" in capsys.readouterr().err


def test_without_a_connection_torchvisions_weights_are_missed_in_one_sentence(images, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refused(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", refused)
    assert main(["predict", str(images), str(tmp_path / "out"), "--model", "mask_rcnn"]) == 1
    assert "cannot be fetched (no route to host)" in capsys.readouterr().err
