import pytest

from samref.cli.main import main
from samref.datasets.sources.catalog import SOURCES
from samref.datasets.sources.verify import configured
from samref.errors import ConfigError
from tests.factories_benchmarks import annotation, make_big, make_coco, make_lvis, make_voc, write_json


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_where_it_comes_from_and_what_lies_where(capsys, name):
    assert main(["datasets", name]) == 0
    text = capsys.readouterr().out
    source = SOURCES[name]
    assert source.page in text and source.terms in text and source.layout[0] in text
    assert all(f"{archive.url}" in text and archive.shown_size in text for archive in source.archives)


@pytest.mark.parametrize("name", SOURCES)
def test_without_files_verification_says_what_to_give_and_where_it_comes_from(capsys, name):
    assert main(["datasets", name, "--verify"]) == 1
    text = capsys.readouterr().err
    assert text.startswith("error: ") and "dataset." in text and SOURCES[name].page in text


def test_a_sound_coco_is_confirmed(tmp_path, capsys):
    make_coco(tmp_path)
    assert main(["datasets", "coco", "--verify", f"root={tmp_path}", f"predictions={tmp_path}/predictions.json"]) == 0
    assert "coco: 2 images with coarse masks, scored by average_precision" in capsys.readouterr().out


def test_sound_lvis_voc_and_big_are_confirmed(tmp_path, capsys):
    lvis, voc, big = make_lvis(tmp_path / "lvis"), make_voc(tmp_path / "voc"), make_big(tmp_path / "big")
    assert main(["datasets", "lvis", "--verify", f"images={lvis.images}", f"annotations={lvis.annotations}"]) == 0
    assert main(["datasets", "voc", "--verify", f"dataset.root={voc.root}", f"coarse={voc.coarse}", "stm.mu=0.25"]) == 0
    assert main(["datasets", "big", "--all", f"root={big.root}"]) == 0
    text = capsys.readouterr().out
    assert "lvis: 2 images" in text and "voc: 3 images" in text and "2 images read, 2 masks" in text


def test_problems_are_listed_and_do_not_fail(tmp_path, capsys):
    coco = make_coco(tmp_path)
    stray = annotation(5, 1, 1, (0, 0, 9, 9), segmentation=[])
    write_json(coco.annotations, {**coco.content, "annotations": [*coco.content["annotations"], stray]})
    assert main(["datasets", "coco", "--verify", f"root={tmp_path}"]) == 0
    assert "1 problems known before reading" in (text := capsys.readouterr().out) and "annotation 5" in text


def test_broken_samples_fail_the_verification(tmp_path, capsys):
    coco = make_coco(tmp_path)
    broken = annotation(5, 1, 1, (0, 0, 9, 9), segmentation={"size": [48, 64], "counts": "PPP"})
    write_json(coco.annotations, {**coco.content, "annotations": [*coco.content["annotations"], broken]})
    (coco.images / "000000000002.jpg").write_bytes(b"no image")
    assert main(["datasets", "coco", "--all", f"root={tmp_path}"]) == 1
    text = capsys.readouterr().out
    assert "2 problems found in reading" in text and "annotation 5" in text and "000000000002.jpg" in text


def test_a_folder_with_odd_characters_is_taken_as_it_is(tmp_path):
    root = tmp_path / "a = b, {c} [d] $e"
    make_big(root)
    assert len(configured("big", [f"root={root}"])) == 2


def test_settings_reach_nested_options_and_unknown_ones_are_named(tmp_path):
    voc = make_voc(tmp_path)
    data = configured("voc", [f"root={voc.root}", f"coarse={voc.coarse}", "stm.enabled=false", "truth=null"])
    assert (data.stm.enabled, data.protocol) == (False, "none")
    with pytest.raises(ConfigError, match=r"no option rot; expected one of .*root"):
        configured("voc", ["rot=x"])
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        configured("voc", ["root"])


def test_the_released_preset_decides_the_rule(tmp_path):
    voc = make_voc(tmp_path)
    assert configured("voc", [f"root={voc.root}", f"coarse={voc.coarse}"]).stm.rule == "paper"


@pytest.mark.parametrize(
    "arguments", [["nothing", "--verify"], ["coco", "root=x"], ["cocofy", "one"], ["big", "--download", "x"]]
)
def test_a_wrong_command_is_one_sentence(capsys, arguments):
    assert main(["datasets", *arguments]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_cocofy_writes_the_file(tmp_path, capsys):
    lvis = make_lvis(tmp_path)
    assert main(["datasets", "cocofy", str(lvis.annotations), str(tmp_path / "out.json")]) == 0
    assert (tmp_path / "out.json").is_file() and "2 of 3 annotations" in capsys.readouterr().out
