"""What is printed at the end of a run."""

import io

from rich.console import Console

from samref.report.screen import print_report


def report(folder, **more):
    return {
        "metrics": {"coarse": {"iou": 0.817}, "refined": {"iou": 0.8831, "top1_acc": 0.5}},
        "config": {"dataset": {}, "hydra_choices": {"dataset": "folder", "prompts": "all"}},
        "counts": {"images": 2, "masks": 3, "kept": 0, "failed": 1},
        "timing": {"total": 1.5, "masks_per_second": 2.0},
        "failures": [{"image": "a[b]", "reason": "a[b].jpg is not an image"}],
        "folder": str(folder),
        **more,
    }


def printed(report, **options):
    out = io.StringIO()
    print_report(report, Console(file=out, width=100), **options)
    return out.getvalue()


def test_metrics_counts_failures_and_places_are_said(tmp_path):
    (tmp_path / "gallery.html").touch()
    text = printed(report(tmp_path))
    for words in ("81.70", "88.31", "+6.61", "2 images, 3 masks, 1 failed in 1.5 s of refinement, 2.0 masks/s",
                  "failed: a[b]: a[b].jpg is not an image", f"gallery: {tmp_path}/gallery.html",
                  f"report: {tmp_path}/report.json"):  # fmt: skip
        assert words in text
    assert "masks:" not in text and "kept" not in text


def test_masks_are_where_the_options_say(tmp_path):
    output = tmp_path / "elsewhere"
    shown = report(tmp_path, config={"dataset": {"output": str(output)}}, metrics={})
    assert "masks: " not in printed(shown)
    output.mkdir()
    assert f"masks: {output}" in printed(shown)


def test_a_job_of_a_sweep_is_one_line(tmp_path):
    assert printed(report(tmp_path), brief=True).strip() == (
        "iou 81.7 -> 88.3, top1_acc 50.0, 3 masks, 1.5 s of refinement"
    )
