import json

import pytest


def nested(flat):
    """{"a.b": 1} as {"a": {"b": 1}}."""
    tree = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


@pytest.fixture
def write_report(tmp_path):
    """Writes a report.json as a run leaves it; the config is given by dotted keys."""

    def write(experiment, config, refined, coarse=None, folder=None, finished="2025-05-01T12:00:00+00:00", **more):
        count = len(list((tmp_path / "outputs").rglob("report.json")))
        path = (folder or tmp_path / "outputs" / experiment) / f"job{count}" / "report.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        report = {
            "experiment": experiment,
            "command": f"python run.py +experiment={experiment} job={count}",
            "config": nested(config),
            "metrics": {"coarse": coarse or {}, "refined": refined},
            "counts": {"images": 10, "masks": 20},
            "timing": {"total": 90.0},
            "finished": finished,
        }
        path.write_text(json.dumps({**report, **more}))
        return path

    return write
