"""The best of several refiners: chosen by edges, without labels, and noted mask by mask."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from samref.config.compose import compose_config
from samref.engine import runner
from samref.engine.parts import build_refiner, sam_of
from samref.errors import ConfigError
from samref.refiners.best_of import BestOf, best_supported
from samref.refiners.edges import edge_strength
from samref.refiners.samrefiner import SAMRefiner
from samref.refiners.settling import Kept, refine_each
from samref.structures import EMPTY, FALLBACK, KEPT, REFINED
from tests.factories import make_folder
from tests.refiners.networks import patch_networks

SIZE = (60, 80)
TRUTH = np.zeros(SIZE, bool)
TRUTH[15:45, 20:60] = True
IMAGE = np.where(TRUTH[..., None], np.uint8([200, 40, 40]), np.uint8([20, 90, 200])).astype(np.uint8)


def shifted(pixels):
    return np.roll(TRUTH, pixels, axis=1)


class Giving:
    """Returns the same for every mask, and remembers how often it was run."""

    def __init__(self, mask, logit=None):
        self.mask, self.logit, self.runs = mask, logit, 0

    def refine_sample(self, sample, *, keep_candidates=False, keep_logits=False):
        self.runs += 1
        logits = None
        if keep_logits and self.logit is not None:
            logits = np.full(sample.masks.shape, self.logit, np.float32)
        return refine_each(sample, lambda row: self.mask, {"decode": 1.0}, logits)


def test_the_contour_on_edges_wins_whatever_its_place():
    strength = edge_strength(IMAGE)
    for masks, place in (
        ([shifted(6), TRUTH], 1),
        ([TRUTH, shifted(6)], 0),
        ([shifted(8), shifted(-6), TRUTH, shifted(4)], 2),
        ([np.zeros(SIZE, bool), shifted(9)], 1),
    ):
        assert best_supported(strength, masks)[0] == place
    same = best_supported(strength, [TRUTH, TRUTH.copy(), TRUTH.copy()])
    assert same == (0, 1.0), "of equals the first"


def test_without_edges_the_most_agreed_on_wins():
    flat = np.zeros(SIZE, np.float32)
    assert best_supported(flat, [shifted(12), shifted(1), TRUTH])[0] != 0


def test_each_mask_comes_from_one_refiner_with_its_name():
    good, bad = Giving(TRUTH, 3.0), Giving(shifted(6))
    refiner = BestOf(["bad", "good"], {"good": good, "bad": bad, "never": None})
    found = refiner.refine(IMAGE, np.stack([shifted(3), np.zeros(SIZE, bool)]), keep_logits=True)
    assert found.origins == ("good", "")
    assert found.flags == (REFINED, EMPTY)
    assert (found.masks[0] == TRUTH).all()
    assert (found.logits[0] == 3).all()
    assert 0 < found.scores[0] < 1
    assert found.reasons[0].startswith("good: ")
    assert found.timing == {"decode": 2.0}
    assert (good.runs, bad.runs) == (1, 1)


def test_the_coarse_mask_is_a_hypothesis_like_others():
    found = BestOf(["coarse", "bad"], {"bad": Giving(shifted(6))}).refine(IMAGE, TRUTH, keep_logits=True)
    assert found.origins == ("coarse",)
    assert found.flags == (KEPT,)
    assert (found.logits[0] == np.where(TRUTH, 0, -np.inf)).all()


def test_flags_and_reasons_are_the_winners():
    class Keeping(Giving):
        def refine_sample(self, sample, **options):
            return refine_each(sample, lambda row: Kept("kept: too small"), {})

    found = BestOf(["keeping", "bad"], {"keeping": Keeping(None), "bad": Giving(shifted(6))}).refine(IMAGE, TRUTH)
    assert (found.flags, found.reasons) == ((KEPT,), ("keeping: kept: too small",))
    lost = BestOf(["lost", "bad"], {"lost": Giving(None), "bad": Giving(shifted(6))}).refine(IMAGE, TRUTH)
    assert lost.flags == (FALLBACK,)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["good", "best"], "names 'best'; expected some of coarse, good, bad"),
        (["good"], "two different ones or more"),
        (["good", "good"], "two different ones or more"),
    ],
)
def test_names_that_make_no_sense_are_one_sentence(names, sentence):
    with pytest.raises(ConfigError, match=sentence):
        BestOf(names, {"good": Giving(TRUTH), "bad": Giving(TRUTH)})


@pytest.fixture
def run(tmp_path, monkeypatch):
    patch_networks(monkeypatch)
    data = make_folder(tmp_path / "data", names=("a", "b", "c"), size=SIZE, truth=True)

    def go(*overrides):
        folders = [f"dataset.{name}={data / name}" for name in ("images", "masks", "truth")]
        quiet = ["callbacks.progress=false", "callbacks.picture=0", "logger=none", f"paths.outputs={tmp_path / 'out'}"]
        return runner.run(
            compose_config(["dataset=folder", "backbone=tiny", "refiner=best_of", *folders, *quiet, *overrides])
        )

    return go


def test_a_run_reports_the_share_that_each_refiner_won(run):
    report = run("refiner.hypotheses=[samrefiner,segrefiner,bpr,coarse]", "refiner.members.bpr.patch=16")
    rows = list(csv.DictReader((Path(report["folder"]) / "samples.csv").read_text().splitlines()))
    assert sum(report["origins"].values()) == pytest.approx(1)
    for name, share in report["origins"].items():
        assert share == pytest.approx(np.mean([row["origin"] == name for row in rows]))
    assert set(report["origins"]) <= {"samrefiner", "segrefiner", "bpr", "coarse"}
    assert json.loads((Path(report["folder"]) / "report.json").read_text())["origins"] == report["origins"]


def test_verdict_and_zoom_belong_to_the_member_that_takes_them(run):
    pytest.importorskip("pydensecrf")
    cfg = compose_config(["refiner=best_of", "backbone=tiny", "refiner.hypotheses=[samrefiner,dense_crf]"])
    refiner = build_refiner(cfg.refiner, cfg.backbone, cfg.prompts)
    assert isinstance(refiner.sam, SAMRefiner)
    assert sam_of(refiner) is refiner.sam
    report = run("refiner.hypotheses=[samrefiner,coarse]", "verdict.source=polygons")
    assert report["source"]["source"] == "polygons"


def test_only_named_members_are_built():
    cfg = compose_config(["refiner=best_of", "backbone=tiny", "refiner.hypotheses=[samrefiner,coarse]"])
    OmegaConf.update(cfg, "refiner.members.segrefiner.mode", "nonsense")
    assert set(build_refiner(cfg.refiner, cfg.backbone, cfg.prompts).members) == {"samrefiner"}
