"""Random subsets, and mixtures of true and pseudo masks, as Table 3's networks are trained on."""

import json

import pytest

from samref.cli.main import main
from samref.datasets.coco.coco import CocoDataset
from samref.datasets.coco.subsets import write_mixture, write_subset
from samref.errors import DatasetError, InputError
from samref.io.coco_masks import decode
from tests.factories_benchmarks import SIZE, annotation, image_record, make_coco, result, write_json


@pytest.fixture
def coco(tmp_path):
    return make_coco(tmp_path)


@pytest.fixture
def many(tmp_path):
    """Annotations of 40 images with a mask each."""
    content = {
        "categories": [{"id": 1, "name": "person"}],
        "images": [image_record(k) for k in range(1, 41)],
        "annotations": [annotation(100 + k, k, 1, (5, 5, 25, 30)) for k in range(1, 41)],
    }
    return write_json(tmp_path / "many.json", content)


def read(path):
    return json.loads(path.read_text())


def drawn(*arguments, **options):
    write_subset(*arguments, **options)
    return [image["id"] for image in read(arguments[1])["images"]]


def test_a_subset_is_the_same_for_a_seed_whatever_the_order_of_the_file(many, tmp_path):
    first = drawn(many, tmp_path / "a.json", 12)
    turned = read(many)
    turned["images"].reverse()
    write_json(many, turned)
    assert set(drawn(many, tmp_path / "b.json", 12)) == set(first)
    assert len(set(first)) == 12
    assert set(drawn(many, tmp_path / "c.json", 12, seed=1)) != set(first)
    found = read(tmp_path / "a.json")
    assert {record["image_id"] for record in found["annotations"]} == set(first)
    assert found["categories"] == read(many)["categories"]


def test_a_subset_has_none_of_the_labeled_images(many, tmp_path):
    labeled = tmp_path / "labeled.txt"
    labeled.write_text("\n".join(map(str, range(1, 31))))
    assert set(drawn(many, tmp_path / "a.json", 10, labeled)) == set(range(31, 41))
    with pytest.raises(DatasetError, match=r"11 images cannot be drawn from the 10 of .* that are not in .*labeled"):
        write_subset(many, tmp_path / "b.json", 11, labeled)
    assert not (tmp_path / "b.json").exists()


def test_a_mixture_has_true_masks_of_labeled_images_and_pseudo_masks_of_all_others(coco, tmp_path):
    (tmp_path / "labeled.json").write_text("[1]")
    out = tmp_path / "mixture.json"
    said = write_mixture(coco.annotations, tmp_path / "labeled.json", coco.predictions, out)
    assert "2 true masks of 1 images, 1 pseudo masks of the others, 2 of labeled images left out" in said
    found = read(out)
    assert [record["id"] for record in found["annotations"]] == [1, 2, 3]
    assert [record["image_id"] for record in found["annotations"]] == [1, 1, 2]
    assert found["annotations"][0]["segmentation"] == coco.content["annotations"][0]["segmentation"]
    pseudo = found["annotations"][2]
    assert (decode(pseudo["segmentation"], SIZE) == decode(coco.results[1]["segmentation"], SIZE)).all()
    assert (pseudo["area"], pseudo["bbox"], pseudo["iscrowd"]) == (28 * 25, [12, 8, 28, 25], 0)
    assert "score" not in pseudo
    data = CocoDataset(images=coco.images, annotations=out)
    assert [len(data[k].masks) for k in range(len(data))] == [2, 1]


def test_annotations_are_mixed_as_they_are(coco, tmp_path):
    (tmp_path / "labeled.txt").write_text("2")
    others = {**coco.content, "annotations": [{**coco.content["annotations"][0], "note": "mine"}]}
    pseudo = write_json(tmp_path / "pseudo.json", others)
    write_mixture(coco.annotations, tmp_path / "labeled.txt", pseudo, tmp_path / "out.json")
    true, made = read(tmp_path / "out.json")["annotations"]
    assert true == {**coco.content["annotations"][2], "id": 1}
    assert made == {**others["annotations"][0], "id": 2}


def test_what_does_not_fit_is_one_sentence(coco, tmp_path):
    labeled = tmp_path / "labeled.txt"
    labeled.write_text("1")
    out = tmp_path / "out.json"

    def refusal(error, pattern, *, truth=coco.annotations, results=coco.results):
        pseudo = write_json(tmp_path / "pseudo.json", results)
        with pytest.raises(error, match=pattern) as caught:
            write_mixture(truth, labeled, pseudo, out)
        assert "\n" not in str(caught.value)
        assert not out.exists()

    refusal(DatasetError, "record 0 of .* has image_id 77", results=[result(77, 1, (5, 5, 9, 9), 1.0)])
    refusal(DatasetError, "category_id 99", results=[result(2, 99, (5, 5, 9, 9), 1.0)])
    refusal(InputError, "record 0 of .*pseudo", results=[{"image_id": 2, "category_id": 1, "segmentation": "x"}])
    refusal(DatasetError, "is no annotations file", truth=coco.predictions)
    labeled.write_text("1 55")
    refusal(DatasetError, "lists image 55, which .* does not have")


def test_both_are_commands(many, coco, tmp_path, capsys):
    (tmp_path / "labeled.txt").write_text("1 2 3")
    words = ["--images", "7", "--without", str(tmp_path / "labeled.txt"), "--seed", "3"]
    assert main(["datasets", "subset", str(many), str(tmp_path / "few.json"), *words]) == 0
    assert "7 of 40 images" in capsys.readouterr().out
    files = [coco.annotations, tmp_path / "labeled.txt", coco.predictions, tmp_path / "mixture.json"]
    assert main(["datasets", "mixture", *map(str, files)]) == 0
    assert "3 of labeled images left out" in capsys.readouterr().out
    assert main(["datasets", "mixture", "one.json"]) == 1
    assert "four files" in capsys.readouterr().err
    assert main(["datasets", "subset", "one.json"]) == 1
    assert "two files" in capsys.readouterr().err
