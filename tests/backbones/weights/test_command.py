import pytest

from samref.backbones.weights.checkpoint import file_sha256
from samref.backbones.weights.hub_models import HUB_MODELS
from samref.backbones.weights.registry import CHECKPOINTS
from samref.cli.main import main
from tests.backbones.weights.conftest import NAME


def test_a_name_fetches_and_prints_where(cache, publish, capsys):
    entry = publish()
    assert main(["weights", NAME]) == 0
    printed = capsys.readouterr().out
    assert str(cache / "pretend.pth") in printed
    assert entry.sha256 in printed


def test_the_list_names_every_backbone_and_what_is_cached(cache, publish, capsys):
    publish()
    main(["weights", NAME])
    capsys.readouterr()
    assert main(["weights", "--list"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows.keys() >= {*CHECKPOINTS, *HUB_MODELS}
    assert rows[NAME].split()[-1] == "pth"
    assert rows["vit_h"].split()[-1] == "-"


def test_verify_is_content_with_right_files(cache, publish, capsys):
    publish()
    main(["weights", NAME])
    assert main(["weights", "--verify"]) == 0
    assert main(["weights", "--verify", NAME]) == 0


def test_verify_removes_a_wrong_file_and_says_so(cache, publish, capsys):
    publish()
    main(["weights", NAME])
    (cache / "pretend.pth").write_bytes(b"damaged")
    assert main(["weights", "--verify"]) == 1
    assert "wrong, removed" in capsys.readouterr().out
    assert not (cache / "pretend.pth").exists()
    assert main(["weights", "--verify"]) == 0


def test_verify_of_a_name_demands_the_file(cache, publish):
    publish()
    assert main(["weights", "--verify", NAME]) == 1


def test_an_error_is_one_sentence_and_exit_code_1(cache, capsys):
    assert main(["weights", "vit_x"]) == 1
    assert capsys.readouterr().err.startswith("error: no weights are published for 'vit_x'")


def test_without_arguments_it_says_what_it_takes(capsys):
    with pytest.raises(SystemExit) as raised:
        main(["weights"])
    assert raised.value.code == 2
    assert "--list" in capsys.readouterr().err


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's cache with one model, as its client leaves it; returns the file under its hash."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models--facebook--sam2.1-hiera-tiny"
    (folder / "blobs").mkdir(parents=True)
    (folder / "snapshots" / "1").mkdir(parents=True)
    written = tmp_path / "written"
    written.write_bytes(b"weights")
    blob = written.rename(folder / "blobs" / file_sha256(written))
    (folder / "snapshots" / "1" / "model.safetensors").symlink_to(blob)
    return blob


def test_models_of_the_hub_are_listed_with_what_its_cache_has(cache, hub, capsys):
    assert main(["weights", "--list"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["sam2_hiera_t"].split()[-2:] == [f"{hub.name[:8]}...", "hub"]
    assert rows["sam2_hiera_l"].split()[-1] == "-"
    assert "gated" in rows["sam3"]


def test_files_of_the_hub_are_compared_with_its_hash(cache, hub, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    assert main(["weights", "--verify", "sam2_hiera_t"]) == 0
    assert main(["weights", "--verify", "sam2_hiera_l"]) == 1
    hub.write_bytes(b"damaged")
    assert main(["weights", "--verify", "sam2_hiera_t"]) == 1
    # In a table that wraps beside a long path.
    assert {"not", "hash", "hub", "publishes"} <= set(capsys.readouterr().out.split())
    assert hub.exists()


def test_a_name_of_the_hub_is_fetched_there(cache, monkeypatch, capsys, tmp_path):
    fetched = []
    monkeypatch.setattr("samref.cli.weights_found.fetch_from_hub", lambda name: fetched.append(name) or tmp_path)
    assert main(["weights", "sam3"]) == 0
    assert fetched == ["facebook/sam3"]
    printed = capsys.readouterr().out
    assert str(tmp_path) in printed
    assert "SAM License" in printed
