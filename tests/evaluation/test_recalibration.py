"""A new decision for the same weights: what is refused, kept and renewed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from generated import make_scores

from hf_model.evaluation.recalibration import TooFewPatientsError, refit, write_recalibrated
from hf_model.metrics.decision import Decision
from hf_model.metrics.operating_point import fit_decision
from hf_model.metrics.scores import Scores


def test_too_few_patients_are_refused_with_the_number_needed():
    small = make_scores(76)  # 57 with pneumonia, 19 without
    with pytest.raises(TooFewPatientsError, match=r"57 patients with pneumonia and 19 .* least 59 .*20 without"):
        refit(small)
    enough = refit(make_scores(80), provenance={"dataset": "local"})
    assert enough.points["default"].patients == 60
    assert enough.provenance["dataset"] == "local"


def test_a_recalibrated_checkpoint_keeps_its_weights_and_renews_its_figures(tmp_path, scores):
    source, target = tmp_path / "old", tmp_path / "new"
    old = fit_decision(scores)
    old.save(source)
    (source / "model.safetensors").write_bytes(b"weights")
    (source / "README.md").write_text("old card")
    test = make_scores(50, seed=9)
    test.to_csv(source / "scores" / "test-chest-set.csv")
    local = make_scores(300, seed=4, separation=1.0)
    metrics = {"seed": 1, "test": {"chest-set": {}}, "renderings": {"x": 1}, "test_openings": [{"count": 1}]}
    new = refit(local)
    write_recalibrated(source, target, new, local, metrics, {"dataset": "local"})
    assert (target / "model.safetensors").read_bytes() == b"weights"
    assert not (target / "README.md").exists()
    assert Decision.load(target) == new != old
    renewed = json.loads((target / "metrics.json").read_text())
    assert renewed["test"]["chest-set"]["points"]["default"]["threshold"] == new.threshold
    assert "renderings" not in renewed
    assert renewed["test_openings"] == [{"count": 1}]
    assert renewed["recalibration"]["before"]["threshold"] == old.threshold
    assert renewed["recalibration"]["dataset"] == "local"
    assert np.array_equal(Scores.from_csv(target / "scores" / "calibration.csv").logits, local.logits)
    assert [path.name for path in sorted((target / "scores").glob("calibration*"))] == ["calibration.csv"]
    assert Decision.load(source) == old
    assert math.isclose(renewed["calibration"]["mean_probability"], new.prevalence, abs_tol=1e-6)
