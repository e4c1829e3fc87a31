import pytest

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
    assert rows.keys() >= CHECKPOINTS.keys()
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
