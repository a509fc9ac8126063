"""Held-out figures at any threshold, against scikit-learn, scipy and metrics.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from hf_model.metrics.decision import Decision
from hf_model.metrics.held_out import HeldOut, Rate, recorded
from hf_model.metrics.scores import Scores


@pytest.mark.parametrize(("hits", "total"), [(0, 12), (12, 12), (1, 7), (374, 390), (199, 234)])
def test_interval_is_wilsons(hits: int, total: int) -> None:
    expected = binomtest(hits, total).proportion_ci(0.95, method="wilson")
    assert Rate(hits, total).interval == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.412345, 0.5, 0.83, 1.0])
def test_counts_are_scikit_learns(checkpoint_folder: Path, threshold: float) -> None:
    decision = Decision.load(checkpoint_folder)
    scores = Scores.from_csv(checkpoint_folder / "scores" / "test.csv")
    called = [decision.probability(*pair) >= threshold for pair in scores.logits.tolist()]
    tn, fp, fn, tp = confusion_matrix(scores.labels, called, labels=[0, 1]).ravel().tolist()

    performance = HeldOut.load(checkpoint_folder, decision).at(threshold)

    assert performance.counts == {"tp": tp, "fn": fn, "tn": tn, "fp": fp}
    assert performance.pictures == 100


def test_figures_of_the_presets_are_those_of_metrics_json(checkpoint_folder: Path) -> None:
    decision = Decision.load(checkpoint_folder)
    held_out = HeldOut.load(checkpoint_folder, decision)
    points = json.loads((checkpoint_folder / "metrics.json").read_text())["test"]["test"]["points"]
    for name in ("default", "rule_out", "rule_in", "0.5"):
        shown, record = held_out.at(points[name]["threshold"]), points[name]
        assert shown.counts == record["confusion"]
        for rate in ("sensitivity", "specificity"):
            assert getattr(shown, rate).value == pytest.approx(record[rate]["value"], abs=1e-12)
            assert getattr(shown, rate).interval == pytest.approx(record[rate]["interval"], abs=1e-9)


def test_without_scores_only_recorded_points_have_figures(checkpoint_folder: Path) -> None:
    metrics = json.loads((checkpoint_folder / "metrics.json").read_text())
    point = metrics["test"]["test"]["points"]["rule_in"]
    assert recorded(metrics, point["threshold"]).counts == point["confusion"]
    assert recorded(metrics, point["threshold"] + 0.01) is None
    assert recorded(None, 0.5) is None


def test_missing_scores_and_broken_scores(tmp_path: Path) -> None:
    assert HeldOut.load(tmp_path, Decision()) is None
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "test.csv").write_text("label,logit_normal,logit_pneumonia\n1,0.2,oops\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"test\.csv, line 2: not a row of scores"):
        HeldOut.load(tmp_path, Decision())
