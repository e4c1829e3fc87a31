import pytest
import torch

from samref.backbones.cache import EmbeddingStore, embeddings_folder
from samref.cli.main import main


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMREF_CACHE", str(tmp_path))
    store = EmbeddingStore(embeddings_folder(), max_gb=1)
    for group, key in (("vit_b", "ab"), ("vit_b", "cd"), ("mobile_sam", "ef")):
        store.write(group, key, {"features": torch.zeros(500_000)})
    return store


def test_stats_tell_entries_and_size_by_backbone(store, capsys, tmp_path):
    assert main(["cache", "--stats"]) == 0
    printed = capsys.readouterr().out
    assert str(tmp_path / "embeddings") in printed
    rows = {line.split()[0]: line.split()[1:3] for line in printed.splitlines() if line.strip()}
    assert rows["vit_b"] == ["2", "4.0"]
    assert rows["mobile_sam"] == ["1", "2.0"]


def test_clear_empties_the_cache(store, capsys):
    assert main(["cache", "--clear"]) == 0
    assert "3 entries deleted, 6.0 MB freed" in capsys.readouterr().out
    main(["cache", "--stats"])
    assert "no entries" in capsys.readouterr().out


def test_without_words_it_shows_what_is_there(store, capsys):
    assert main(["cache"]) == 0
    assert "vit_b" in capsys.readouterr().out


def test_it_says_what_it_takes(capsys):
    with pytest.raises(SystemExit):
        main(["cache", "--empty"])
    assert "--clear" in capsys.readouterr().err
