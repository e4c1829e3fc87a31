import json
from pathlib import Path

import torch
from torch import nn

from benchmarks import sigmoid
from benchmarks.results import FOLDER
from tests.factories import make_davis585


def test_the_layer_predicts_the_same_through_a_sigmoid():
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(40, 8, generator=generator)
    layer = nn.Linear(8, 4)
    with torch.no_grad():
        layer.weight.uniform_(-0.1, 0.1, generator=generator)
        layer.bias.fill_(0.6)
        found = sigmoid.logit_layer(layer, features)(features).sigmoid()
        assert layer(features).std() > 0.02
        torch.testing.assert_close(found, layer(features), atol=0.05, rtol=0)


def test_all_forms_are_trained(tmp_path):
    root = make_davis585(tmp_path / "davis585", sequences=1, frames=2, objects=2)
    sigmoid.main([str(root), "--backbone", "tiny", "--seeds", "2", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "sigmoid.json").read_text())["rows"]
    assert [row["ranked"] for row in rows] == [what for _, what, margins in sigmoid.TRIALS for _ in margins]
    assert all(0 <= row["after"] <= 100 and row["masks"] == 4 for row in rows)


def test_the_documentation_has_the_committed_table():
    page = (Path(__file__).parents[2] / "docs" / "guide" / "models.md").read_text(encoding="utf-8")
    lines = [line for line in (FOLDER / "sigmoid.md").read_text().splitlines() if line.startswith("|")]
    assert "\n".join(lines) in page
